"""Runs a command in each of the processes that torchrun or `accelerate launch` started for it.

The first process alone prints. Whichever fails first says why, in one line; all others end with it and say nothing.
With one process a command runs as `perlhf.errors.run_command` runs it.
"""

import logging
import multiprocessing
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, TextIO

import torch.distributed as dist

from backbones import group
from perlhf import errors, stopping
from perlhf.errors import UserError, line_of, out_of_memory, status_of

_FAILED = "perlhf/failed"  # how many processes have failed
_EVERY = 1.0  # seconds between two looks at the others
_GRACE = 5.0  # seconds that a process has to end by itself, which closes its files; then it is ended
_FIRST_SPEAKS = 1.0  # seconds: what goes wrong on all of them is the first one's to say
_WHEN_ONE_IS_GONE = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Socket closed",
    "remote process exited",
    "communicator was aborted",
)
_OF_A_LOST_ONE = "another process of this run ended without a word; its launcher says which, and what killed it."


def run_command(main: Callable[[], None]) -> None:
    """Runs a command's `main` in this process, with the others that a launcher has started.

    A mistake of the user's or a fault of the disk's, on whichever of them, is one line on stderr. All of them end with
    the first that fails, is interrupted or is killed, with a status that is not 0, as `perlhf.errors.run_command` says.
    """
    if group.launched() == 1:
        errors.run_command(main)
        return
    errors.run_command(group.start)
    others = _Others(sys.stderr)
    if not group.is_first():
        _be_silent()
    try:
        with stopping.at_once():
            _unless_it_leaves(main)
        others.finish()
    except SystemExit as left:
        others.leave(left.code if isinstance(left.code, int) else 1, "")
    except KeyboardInterrupt as stopped:
        others.leave(status_of(stopped), "")
    except (UserError, OSError) as error:
        others.leave(status_of(error), f"error: {others.here}{line_of(error)}\n")
    except Exception as error:
        if line := _OF_A_LOST_ONE if _is_of_a_lost_one(error) else out_of_memory(error):
            others.leave(1, f"error: {line}\n")
        others.leave(1, traceback.format_exc())


def _unless_it_leaves(main: Callable[[], None]) -> None:
    """Runs `main`, which may leave as after --help."""
    try:
        main()
    except SystemExit as left:
        if left.code:
            raise


def _be_silent() -> None:
    """Prints nothing from here on: no text, progress bar, warning or log line."""
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - to the end of the process
    logging.disable(logging.CRITICAL)


def _is_of_a_lost_one(error: Exception) -> bool:
    """Returns whether an error says no more than that another process is gone."""
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WHEN_ONE_IS_GONE)


class _Others:
    """Watches the other processes of a run, by a count of failures at the place where they met.

    Args:
        stderr: where this process says why it fails.
    """

    def __init__(self, stderr: TextIO) -> None:
        self._stderr = stderr
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        # One of their own, which is never busy with what waits for the others.
        self._store = dist.TCPStore(host, port, is_master=False, timeout=group.TO_MEET)
        self._launcher = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        self._over, self._have_failed = threading.Event(), False
        self._thread = threading.Thread(target=self._watch, name="other processes", daemon=True)
        self._thread.start()

    @property
    def here(self) -> str:
        """Says where this is, for messages of others than the first: "process 1 on HOST: "."""
        return "" if group.is_first() else f"process {group.rank()} on {socket.gethostname()}: "

    def _watch(self) -> None:
        """Ends this process soon after another has failed, or the launcher is gone: it may wait for them for good."""
        while not self._over.wait(_EVERY):
            if self._is_over():
                if not self._over.wait(_GRACE):
                    os._exit(1)
                return

    def _is_over(self) -> bool:
        try:
            self._have_failed = self._store.check([_FAILED])
        except RuntimeError:  # whoever held the store is gone
            return True
        return self._have_failed or (self._launcher is not None and os.getppid() != self._launcher)

    def leave(self, status: int, message: str) -> NoReturn:
        """Ends this process, and all others with it; says why unless another has done so."""
        self._stop()
        if self._is_first_to_fail():
            if message:
                self._stderr.write(message)
                self._stderr.flush()
            if group.is_first() and self._launcher is None:  # the store ends with this process: until all have seen it
                time.sleep(2 * _EVERY)
        with suppress(OSError):  # who read it may be gone
            sys.stdout.flush()
        for worker in multiprocessing.active_children():
            worker.terminate()
        os._exit(status)  # what is left to do at exit may wait for the others

    def _is_first_to_fail(self) -> bool:
        if self._have_failed:
            return False
        try:
            until = time.monotonic() + (0.0 if group.is_first() else _FIRST_SPEAKS)
            while time.monotonic() < until and not self._store.check([_FAILED]):
                time.sleep(0.05)
            return self._store.add(_FAILED, 1) == 1
        except RuntimeError:  # the store went with the first process
            return group.rank() <= 1

    def finish(self) -> None:
        """Waits until all are done."""
        group.gather(None)
        self._stop()
        dist.destroy_process_group()

    def _stop(self) -> None:
        self._over.set()
        self._thread.join()
