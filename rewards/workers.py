"""Lets worker processes score with a learned reward."""

import multiprocessing

import torch


def one_thread_in_workers() -> None:
    """Sets torch to one thread in a process that multiprocessing started, and changes nothing in any other.

    Workers share the machine's cores. One that was forked from a process with torch has one thread already when an env
    scores in it, see `envs.forks`.
    """
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)
