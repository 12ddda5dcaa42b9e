"""Ends a run that is asked to stop, by Ctrl-C (SIGINT), SIGTERM or a terminal that closes (SIGHUP).

While something is learned (`saved_first`) the first signal asks alone: what is learned comes to a point that it can go
on from, is saved, and `Stopped` ends the process with 128 + the number of the signal, as shells count. A second signal
ends it at once. At all other times there is nothing to save, and the first one raises (`at_once`).

A signal that is ignored, as SIGHUP is under nohup, stays so.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

Handler = Callable[[int, FrameType | None], object]

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
PATIENCE = 5.0  # seconds after which what is under way is given up, where that can be done
_TOGETHER = 2.0  # seconds in which a launcher may hand on the signal that the terminal has sent to all
_asked = 0  # the signal that asked to stop; 0 for none
_asked_at = 0.0


class Stopped(KeyboardInterrupt):
    """Raised where a process that was asked to stop can do so; `status` is what it leaves with."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def asked() -> int:
    """Returns the number of the signal that asked to stop; 0 while none has."""
    return _asked


def stop(number: int) -> NoReturn:
    """Ends what is learned, which stands at a point that it can go on from.

    Raises:
        Stopped: always.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    raise Stopped(number)


@contextmanager
def at_once() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP end the block by an exception, as Ctrl-C does, so that files and processes are closed."""

    def leave(number: int, _: FrameType | None) -> None:
        raise Stopped(number)

    with _handled([number for number in _SIGNALS if number != signal.SIGINT], leave):
        yield


@contextmanager
def saved_first(gives_up: bool = False) -> Iterator[None]:
    """Has the first signal ask alone inside the block, which looks at `asked` where it can stop.

    Args:
        gives_up: whether what is under way may be broken off anywhere, after `PATIENCE` seconds, by a `Stopped`.
    """
    global _asked

    def ask(number: int, _: FrameType | None) -> None:
        global _asked, _asked_at
        if _asked:
            if "WORLD_SIZE" in os.environ and time.monotonic() - _asked_at < _TOGETHER:
                return
            _leave_at_once(number)
        _asked, _asked_at = number, time.monotonic()
        if os.environ.get("RANK", "0") == "0":
            # Not by print, which may be what the signal has interrupted.
            os.write(2, f"\n{signal.Signals(number).name}: saving; a second one ends this at once\n".encode())
        if gives_up and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def give_up(_: int, __: FrameType | None) -> None:
        stop(_asked)

    alarm = [signal.SIGALRM] if gives_up and hasattr(signal, "SIGALRM") else []
    _asked = 0
    with _handled(alarm, give_up), _handled(_SIGNALS, ask):
        try:
            yield
        finally:
            if alarm and _asked:
                signal.setitimer(signal.ITIMER_REAL, 0)


def _leave_at_once(number: int) -> NoReturn:
    import multiprocessing  # where it is needed: --help shall be there at once

    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(128 + number)


@contextmanager
def _handled(numbers: Sequence[int], handler: Handler) -> Iterator[None]:
    """Handles signals inside the block, but for ignored ones; does nothing in a thread, which gets none."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: old for number in numbers if (old := signal.getsignal(number)) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)
