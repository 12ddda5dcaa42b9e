"""Lets a process that was forked from one with torch score with it.

torch's CPU threads do not survive a fork: a worker that `gym.make_vec(..., "async")` forks from a process that has used
them waits for them for good as soon as it multiplies a larger matrix. With one thread there is nothing to wait for, as
in the workers of torch's own `DataLoader`; and workers share the machine's cores anyway.
"""

import os
import sys

_forked = False  # and has not scored yet


def _note_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_note_fork)


def one_thread_after_fork() -> None:
    """Sets torch to one thread, once, in a process that was forked; any other, and one that never asks, keeps its own.

    Where torch is not there yet it will start threads of its own.
    """
    global _forked
    if not _forked:
        return
    _forked = False
    set_threads = getattr(sys.modules.get("torch"), "set_num_threads", None)
    if set_threads is not None:
        set_threads(1)
