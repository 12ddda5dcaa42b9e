"""Processes forked from a test: commands that are killed or asked to stop, at the cost of a second and not of ten."""

import os
import signal
import sys
import time

from perlhf.errors import run_command


def start_child(function, before=lambda: None, said=os.devnull):
    """Runs `function` as a command in a forked process; returns its id. What it prints on stderr goes to a file."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        for descriptor, path in ((1, os.devnull), (2, said)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), descriptor)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
        before()
        run_command(function)
        status = 0
    except SystemExit as left:
        status = left.code
    finally:
        os._exit(status)


def in_child(function, before=lambda: None, said=os.devnull):
    """Runs it to its end; returns its wait status."""
    return os.waitpid(start_child(function, before, said), 0)[1]


def exit_code(child, seconds=120):
    """Waits for a child; returns what it left with, or what killed it as a negative number, after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError(f"it did not end within {seconds} s")


def wait_until(holds, seconds=120):
    """Waits until a condition holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


def lines_in(path):
    """How many whole lines a file has; none where there is no such file."""
    return path.read_text().count("\n") if path.exists() else 0
