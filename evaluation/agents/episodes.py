"""Plays episodes by an agent, many at a time, and hands on what became of each as it ends.

An agent is asked turn by turn. Where it gives no answer the episode is lost: nobody judges it, and it is played anew
when the command is run again.
"""

import time
from collections.abc import Callable, Sequence
from itertools import islice
from multiprocessing.pool import ThreadPool
from threading import Event, Lock
from typing import Any, NamedTuple, Protocol

from envs.task import Task
from evaluation.agents.outcomes import outcome_of, said_about
from perlhf.errors import UserError


class NoAnswerError(UserError):
    """An agent that gives no answer; it says why."""


class Asked(NamedTuple):
    """Holds what an agent is asked in one turn.

    Attributes:
        number: of the episode.
        step: how many answers it gave before.
        state: of the episode, for those that may see behind the screen, as an oracle.
        observation: "prompt", and "image" where the env shows pictures.
    """

    number: int
    step: int
    state: Any
    observation: dict[str, Any]


class Said(NamedTuple):
    """Holds an answer, and what it took where somebody counts tokens."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Agent(Protocol):
    """What plays.

    Attributes:
        together: episodes that it is asked about in one call, at most.
    """

    together: int

    def answer(self, asked: Sequence[Asked]) -> list[Said]:
        """Returns an answer for each.

        Raises:
            NoAnswerError: it has none; all episodes of the call are lost.
        """


class Lost(NamedTuple):
    """An episode that was not played to its end, and why."""

    number: int
    why: str


Record = dict[str, Any]  # what is kept of an episode: a line of episodes.jsonl
Keep = Callable[[Record | Lost], None]


class _Episode:
    """Follows one episode."""

    def __init__(self, task: Task, number: int, start: Any) -> None:
        self.task, self.number, self.start, self.state = task, number, start, start
        self.steps: list[dict[str, Any]] = []
        self.over, self.failed = False, ""

    def asked(self) -> Asked:
        return Asked(self.number, len(self.steps), self.state, self.task.observe(self.state))

    def play(self, asked: Asked, said: Said, seconds: float) -> None:
        text = _whole(said.text)[: self.task.max_response_length]
        played = self.task.play(self.state, text)
        self.state, self.over = played.state, played.terminated or played.truncated
        self.played = played
        if played.turn.reference.get("failed"):
            self.failed = str(played.turn.reference.get("problem") or "the device failed")
        self.steps.append(
            {
                "prompt": str(asked.observation["prompt"]),
                "said": text,
                **said_about(self.task, played),
                "prompt_tokens": said.prompt_tokens,
                "completion_tokens": said.completion_tokens,
                "seconds": round(seconds, 3),
            }
        )

    def outcome(self) -> Record | Lost:
        if self.failed:
            return Lost(self.number, self.failed)
        return {
            "episode": self.number,
            "start": self.task.state_to_json(self.start) if self.task.repeats else None,
            **outcome_of(self.task, self.start, self.played),
            "steps": self.steps,
        }


def play_episodes(task: Task, starts: Sequence[tuple[int, Any]], agent: Agent, at_a_time: int, keep: Keep) -> None:
    """Plays episodes to their ends. Where one is over the next begins in its place.

    Args:
        task: of all of them.
        starts: number and first state of each.
        agent: that plays.
        at_a_time: calls of the agent on their way at a time; 1 stays in this thread, as agents and devices may need.
        keep: takes what became of each episode; may raise to stop all.
    """
    waiting, lock, stopped = iter(starts), Lock(), Event()

    def begun(count: int) -> list[_Episode]:
        with lock:
            return [] if stopped.is_set() else [_Episode(task, *each) for each in islice(waiting, count)]

    def play(_: int) -> None:
        live: list[_Episode] = []
        try:
            while live := [*live, *begun(agent.together - len(live))]:
                live = _play_turn(live, agent, keep)
        except BaseException:
            stopped.set()  # the other threads begin no more
            raise

    if at_a_time == 1:
        play(0)
        return
    # Its threads are daemons, so one that waits for a dead server keeps no process from ending.
    with ThreadPool(at_a_time) as pool:
        for _ in pool.imap_unordered(play, range(at_a_time)):
            pass


def _play_turn(live: Sequence[_Episode], agent: Agent, keep: Keep) -> list[_Episode]:
    """Plays a turn of some episodes and hands on those that are over, or lost; returns the others."""
    asked, began = [episode.asked() for episode in live], time.perf_counter()
    try:
        said = agent.answer(asked)
    except NoAnswerError as error:
        for episode in live:
            keep(Lost(episode.number, str(error)))
        return []
    seconds = (time.perf_counter() - began) / len(live)
    for episode, question, answer in zip(live, asked, said, strict=True):
        episode.play(question, answer, seconds)
        if episode.over:
            keep(episode.outcome())
    return [episode for episode in live if not episode.over]


def _whole(text: str) -> str:
    """Returns a text without halves of UTF-16 pairs, as broken JSON escapes leave behind: no file could hold them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
