"""The lock of a run folder: one process at a time writes to it.

It is `flock` on the file `.lock` in the folder. The kernel lets it go when its process ends, however it ends, so that
none is ever left over and nobody has to clean up. What stands in the file says who holds it, for the message alone.
"""

import atexit
import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perlhf.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has none: there two runs in one folder are not noticed
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what a file system says that has none
_held: dict[str, int] = {}  # descriptors of the locks of this process, by the real path of the folder


def take(folder: Path) -> bool:
    """Takes the lock of a run folder that exists. Returns whether it did; False where this process has it already.

    Raises:
        UserError: another process has it.
    """
    key = os.path.realpath(folder)
    if key in _held and _is_file(_held[key], folder / LOCK):
        return False
    release(folder)  # of a folder that was deleted and made anew
    descriptor = None if fcntl is None else _locked(folder)
    if descriptor is not None:
        _held[key] = descriptor
        os.ftruncate(descriptor, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        with suppress(OSError):  # a full disk: the lock is held without it
            os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename}, since {since}".encode())
    return True


def _locked(folder: Path) -> int | None:
    """Returns the descriptor of the locked file; None, with a line, where the file system has no locks."""
    path = folder / LOCK
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            said = os.read(descriptor, 1000).decode(errors="replace")
            os.close(descriptor)
            if error.errno in _NO_LOCKS:
                print(f"{folder}: this file system has no locks, so a second run is not kept out", file=sys.stderr)
                return None
            raise UserError(
                f"{folder} is being written to by {said or 'another process'}; wait until that ends, or end it; a run "
                "of its own takes another --output-dir."
            ) from None
        if _is_file(descriptor, path):
            return descriptor
        os.close(descriptor)  # whoever had it has just removed the file


def _is_file(descriptor: int, path: Path) -> bool:
    """Returns whether an open file is the one that has this path now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def release(folder: Path) -> None:
    """Lets the lock of a folder go, where this process has it."""
    descriptor = _held.pop(os.path.realpath(folder), None)
    if descriptor is None:
        return
    if _is_file(descriptor, folder / LOCK):
        with suppress(OSError):  # a folder that cannot be written to any more
            os.unlink(folder / LOCK)
    os.close(descriptor)


@atexit.register
def _release_all() -> None:
    for key in list(_held):
        release(Path(key))


@contextmanager
def released_after() -> Iterator[None]:
    """Lets go after the block, or after the function that it decorates, what locks were taken inside."""
    before = set(_held)
    try:
        yield
    finally:
        for key in _held.keys() - before:
            release(Path(key))


def _forget() -> None:
    """Leaves the locks to the process that this one was forked from."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_forget)
