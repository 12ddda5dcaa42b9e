"""Tables of many runs, whose figures are kept in docs/reproduction/: a later session makes what is missing."""
