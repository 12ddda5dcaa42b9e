"""Lets worker processes score with a learned reward.

torch's CPU threads do not survive a fork: a worker that `gym.make_vec(..., "async")` forks from a process that has used
them waits for them for good as soon as it multiplies a larger matrix. With one thread there is nothing to wait for, as
in the workers of torch's own `DataLoader`; and workers share the machine's cores anyway.
"""

import multiprocessing
import os
from functools import partial

import torch

if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))


def one_thread_in_workers() -> None:
    """Sets torch to one thread in a process that multiprocessing started, and changes nothing in any other.

    For a worker that imports this module by itself: it was forked before there was anything to run at the fork.
    """
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)
