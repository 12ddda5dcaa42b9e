"""Settings of all tests: repeatable hypothesis examples, one torch thread."""

from hypothesis import settings

settings.register_profile("perlhf", derandomize=True, deadline=None)
settings.load_profile("perlhf")

try:
    import torch
except ImportError:
    pass
else:
    torch.set_num_threads(1)
