"""`perlhf plan`: estimates what a run on many GPUs holds, sends and takes, before there are any."""
