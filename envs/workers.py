"""`Workers`: episodes in worker processes, for tasks whose Python takes long. It has the methods of `Episodes`.

A worker makes its own task and plays its share of the episodes, which stay with it: what a task keeps open, such as the
session of a browser, stays in one process. Turns come back to be scored together, so a reward model is in memory once.

Workers are new interpreters that import `envs`, the module of the task, and not the script that runs: none of torch,
and no `if __name__ == "__main__":` is needed. They are not forked, since threads do not survive that.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
from gymnasium.error import ClosedEnvironmentError

from envs.episodes import Episodes, Over, Settled
from envs.task import Task
from envs.turn import Turn
from perlhf.errors import UserError, one_line

_SECONDS_TO_LEAVE = 5  # that workers are given, all together, when they are told to
_SECONDS_AT_EXIT = 1  # the same when this process ends


class Workers:
    """Plays episodes in processes of their own, in even shares, the first episodes in the first of them.

    Args:
        make: makes the task, in each worker. It is sent there, so it is a function of a module that can be imported.
        count: of the episodes.
        workers: processes; not more than there are episodes.
    """

    def __init__(self, make: "partial[Task]", count: int, workers: int) -> None:
        shares = [count // workers + (k < count % workers) for k in range(workers)]
        self._bounds = list(pairwise(accumulate(shares, initial=0)))  # which episodes each worker has
        self._images: list[np.ndarray] = []  # what is shown now, of each worker
        self._asked = [0] * workers  # questions so far
        context = multiprocessing.get_context("spawn")
        self._processes: list[SpawnProcess] = []
        self._connections: list[Connection] = []
        for share in shares:
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, make, share), daemon=True)
            _start_without_script(process)
            theirs.close()  # so that a worker's end is the end of the pipe
            self._processes.append(process)
            self._connections.append(ours)
        # Before multiprocessing, which asks them by a signal and waits for good.
        self._at_exit = partial(_end_at_exit, os.getpid(), self._connections, self._processes)
        atexit.register(self._at_exit)

    def __getstate__(self) -> NoReturn:
        raise UserError("an env with worker processes cannot be copied or pickled; get_state and set_state can.")

    # The methods of `Episodes`.

    def seed(self, seeds: Sequence[int | None]) -> None:
        self._ask("seed", self._shared(seeds))

    def start(self, options: Mapping[str, Any], once: bool = False) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        parts = self._ask("start", self._same(options, once))
        return [info for infos, _ in parts for info in infos], self._joined([shown for _, shown in parts])

    def draw(self, which: Sequence[bool], options: Mapping[str, Any]) -> list[Any]:
        shares = [(wanted, options) for (wanted,) in self._shared(which)]
        return [start for part in self._ask("draw", shares) for start in part]

    def begin(self, starts: Sequence[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        parts = self._ask("begin", self._shared(starts))
        return [info for infos, _ in parts for info in infos], self._joined([shown for _, shown in parts])

    def play(self, responses: Sequence[str | None]) -> list[Turn | None]:
        return self._turns(self._ask("play", self._shared(responses)))

    def settle(self, limit: int | None) -> Settled:
        parts: list[Settled] = self._ask("settle", self._same(limit))
        terminated = [each for part in parts for each in part.terminated]
        truncated = [each for part in parts for each in part.truncated]
        over: dict[int, Over] = {}
        for (first, _), part in zip(self._bounds, parts, strict=True):
            over |= {first + i: each for i, each in part.over.items()}
        return Settled(terminated, truncated, over, self._joined([part.observations for part in parts]))

    def turns(self) -> list[Turn]:
        return [turn for turn in self._turns(self._ask("turns", self._same())) if turn is not None]

    def oracle(self) -> tuple[str, ...]:
        return tuple(said for part in self._ask("oracle", self._same()) for said in part)

    def plausible_action(self, rng: np.random.Generator) -> tuple[tuple[str, ...], np.random.Generator]:
        said: list[str] = []
        for k in range(len(self._processes)):  # one after the other, as the generator goes from row to row
            self._send(k, "plausible_action", (rng,))
            part, rng = self._received(k)
            said += part
        return tuple(said), rng

    def get_state(self) -> dict[str, list[Any]]:
        parts = self._ask("get_state", self._same())
        return {name: [value for part in parts for value in part[name]] for name in parts[0]}

    def set_state(self, state: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        shares = [({name: values[i:j] for name, values in state.items()},) for i, j in self._bounds]
        return self._joined(self._ask("set_state", shares))

    def close(self) -> None:
        """Ends the workers; one that does not leave by itself is killed."""
        _end(self._connections, self._processes, _SECONDS_TO_LEAVE)
        atexit.unregister(self._at_exit)
        self._processes, self._connections = [], []

    # What is sent and what comes back.

    def _same(self, *arguments: Any) -> list[tuple[Any, ...]]:
        return [arguments] * len(self._bounds)

    def _shared(self, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return [(list(values[i:j]),) for i, j in self._bounds]

    def _joined(self, shown: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Returns the observations of all workers as one."""
        joined: dict[str, Any] = {"prompt": tuple(prompt for part in shown for prompt in part["prompt"])}
        if "image" in shown[0]:
            self._images = [part["image"] for part in shown]
            joined["image"] = np.concatenate(self._images)
        return joined

    def _turns(self, parts: Sequence[Sequence[Turn | None]]) -> list[Turn | None]:
        """Returns the turns of all workers; their pictures are those that are shown, and were not sent again."""
        turns = [turn for part in parts for turn in part]
        if not self._images:
            return turns
        images = (image for part in self._images for image in part)
        return [turn and replace(turn, picture=image) for turn, image in zip(turns, images, strict=True)]

    def _ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Calls a method of the episodes of every worker, all at once, and returns what each gave.

        Raises:
            UserError: a worker has ended, or the task raised in it; that of the first one, when all have answered.
        """
        for k, each in enumerate(arguments):
            self._send(k, method, each)
        answers: list[Any] = []
        errors: list[UserError] = []
        for k in range(len(arguments)):
            try:
                answers.append(self._received(k))
            except UserError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return answers

    def _send(self, k: int, method: str, arguments: tuple[Any, ...]) -> None:
        if not self._connections:
            raise ClosedEnvironmentError("the env is closed.")
        self._asked[k] += 1
        try:
            self._connections[k].send((self._asked[k], method, arguments))
        except OSError:
            raise self._lost(k) from None

    def _received(self, k: int) -> Any:
        """Returns what worker k answers to its last question; UserError where it has ended or the task raised."""
        number, answer, error = 0, None, None
        while number != self._asked[k]:  # an answer may be left from when Ctrl-C came between
            try:
                number, answer, error = self._connections[k].recv()
            except (EOFError, OSError):
                raise self._lost(k) from None
        if error is not None:
            raise error
        return answer

    def _lost(self, k: int) -> UserError:
        process = self._processes[k]
        process.join(_SECONDS_TO_LEAVE)
        code = process.exitcode
        how = f"exit code {code}" if code is None or code >= 0 else signal.Signals(-code).name
        first, end = self._bounds[k]
        return UserError(
            f"worker process {k + 1} of {len(self._bounds)}, which plays envs {first} to {end - 1}, has ended ({how}); "
            "its episodes are lost, so go on from the last checkpoint."
        )


def _end(connections: Sequence[Connection], processes: Sequence[SpawnProcess], seconds: float) -> None:
    """Closes the connections to workers, at which they leave, and kills those that do not within so many seconds."""
    for connection in connections:
        connection.close()
    end = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    for process in processes:
        if process.is_alive():
            process.kill()
            process.join()


def _end_at_exit(owner: int, connections: Sequence[Connection], processes: Sequence[SpawnProcess]) -> None:
    """Ends workers with the process that started them, and not with one that was forked from it."""
    if os.getpid() == owner:
        _end(connections, processes, _SECONDS_AT_EXIT)


def _start_without_script(process: SpawnProcess) -> None:
    """Starts a process that does not run the script anew, as spawned ones do by default to know its functions.

    Of a command that would be 0.3 GB and some seconds for torch, and a script without a guard would start it all again.
    Ctrl-C waits meanwhile, and is blocked in the process until that ignores it.
    """
    script = sys.modules["__main__"]
    blocks = hasattr(signal, "pthread_sigmask")  # Windows has none
    if blocks:
        resource_tracker.ensure_running()  # spawning starts it, and it unblocks signals then
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = script
        if blocks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


# In the worker.


def _serve(connection: Connection, make: "partial[Task]", count: int) -> None:
    """Makes the task and answers questions until the other end of the connection is closed."""
    # What asks a whole group of processes to stop is for the main one, which then closes the connection.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _wait_for_main)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # else what the task starts inherits the block
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    episodes, problem = None, None
    try:
        episodes = Episodes(make(), count)
    except Exception as error:
        problem = _told(error)
    while True:
        try:
            number, method, arguments = connection.recv()
        except (EOFError, OSError):
            if episodes is not None:
                episodes.task.close()
            return
        try:
            answer = None if episodes is None else _answer(episodes, method, arguments)
            message = ForkingPickler.dumps((number, answer, problem))
        except Exception as error:  # of the task, or of what cannot be pickled
            message = ForkingPickler.dumps((number, None, _told(error)))
        try:
            connection.send_bytes(message)
        except OSError:  # closed in the middle of a turn
            return


def _wait_for_main(*_: object) -> None:
    """Does nothing, as SIG_IGN, which programs that the task starts would inherit."""


def _answer(episodes: Episodes, method: str, arguments: tuple[Any, ...]) -> Any:
    answer = getattr(episodes, method)(*arguments)
    if method in ("play", "turns") and episodes.task.image_shape is not None:
        # What is shown is there already, as observation.
        return [turn and replace(turn, picture=None) for turn in answer]
    return answer


def _told(error: Exception) -> UserError:
    """Returns the error as one line, with the traceback as a note for whoever catches it in Python."""
    if isinstance(error, UserError):
        return error
    at = traceback.extract_tb(error.__traceback__)[-1]
    told = UserError(f"in a worker process: {type(error).__name__}: {one_line(error)} ({at.filename}:{at.lineno})")
    told.add_note(traceback.format_exc())
    return told


def _leave_with_parent() -> None:
    """Ends this process with the main one, even in the middle of a turn and however that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
