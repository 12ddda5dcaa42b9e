"""`Task`: one dataset as a source of episodes."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from envs.render import draw_card, write_card
from envs.turn import Turn
from perlhf.allowed_code import module_of

if TYPE_CHECKING:  # feedback is itself a task
    from envs.feedback import Feedback


class Played(NamedTuple):
    """Holds what became of one response.

    Attributes:
        turn: as reward functions see it.
        state: after it.
        terminated: whether the episode is over.
        truncated: whether it is broken off, since it took too many steps.
    """

    turn: Turn
    state: Any
    terminated: bool
    truncated: bool = False


class Scored(NamedTuple):
    """Holds what a policy reached.

    Attributes:
        name: of the policy.
        golds: of n episodes.
        groups: of each of them, what it is counted under.
        officials: of each, see `Task.judge_officially`; none where there is nothing but golds.
    """

    name: str
    golds: Sequence[float]
    groups: Sequence[Sequence[str]]
    officials: Sequence[float] = ()


class Catalogue(NamedTuple):
    """A table of what there is to do in a task.

    Attributes:
        head: of its columns.
        rows: of as many texts.
    """

    head: Sequence[str]
    rows: Iterator[Sequence[str]]


class Task(ABC):
    """One dataset as a source of episodes.

    A task is read-only and may be shared by many envs. What changes during an episode is its state: a value that is
    replaced and not changed, that can be deep-copied and pickled, and that `state_to_json` can write down. Everything
    a new dataset needs is one subclass and one line, `envs.register_task`; docs/adding_a_text_task.md shows it.
    """

    instructions: str | None = None  # what a model with a chat template is told first, if the task needs it
    examples: tuple[tuple[str, str], ...] = ()  # prompts and right responses, shown behind the instructions
    default_reward: str = "gold"  # "" for none: then there is no judge either, and the reward must be given
    needs_data: ClassVar[bool] = False  # whether `data` must be given, since the task has none of its own
    trained_reward: Any = None  # the reward spec that commands take for "bundled", where that is not the default
    shipped_backbone: str = "tiny"  # what `--backbone tiny` means for this task
    max_prompt_length: int = 100_000
    max_response_length: ClassVar[int] = 20_000
    image_shape: tuple[int, int, int] | None = None  # of `Turn.image`, (height, width, 3); None for text alone
    success_at: float = 0.8  # the verdict from which an episode is a success; infinity where nobody knows
    has_oracle: bool = True  # whether `oracle` knows what is right
    has_seats: bool = False  # whether each episode under way holds an env of its own, so that there are not too many
    repeats: bool = True  # whether an episode can be begun again: that of an env of somebody else's may not
    reset_options: frozenset[str] = frozenset()  # what `start` knows of `env.reset(options=...)`
    max_steps: int | None = None  # responses after which an episode is truncated; None where it never is
    on_screen: ClassVar[bool] = False  # whether an episode is played on the screen of a device: `frame` has pictures

    @abstractmethod
    def start(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Any:
        """Draws an episode and returns its first state. `options` is what `env.reset` was given."""

    @abstractmethod
    def turn(self, state: Any, response: str = "") -> Turn:
        """Returns the turn that `response` makes of `state`; its prompt and image are what is observed in `state`."""

    def observe(self, state: Any) -> dict[str, Any]:
        """Returns the observation of `state`: "prompt", and "image" where there is one."""
        turn = self.turn(state)
        return {"prompt": turn.prompt} if self.image_shape is None else {"prompt": turn.prompt, "image": turn.image}

    @abstractmethod
    def advance(self, state: Any, response: str) -> tuple[Any, bool]:
        """Returns the state after `response`, and whether the episode has terminated. Never raises."""

    def play(self, state: Any, response: str) -> Played:
        """`turn` and `advance` in one; a task whose turns say what came of the response has its own. `state` stays."""
        turn = self.turn(state, response)
        return Played(turn, *self.advance(state, response))

    @abstractmethod
    def judge(self, turn: Turn) -> float | None:
        """Returns the task's own verdict in [0, 1] on the last turn of an episode; None where the data have none."""

    def judge_officially(self, turn: Turn) -> float | None:
        """Returns the verdict of the script that everybody reports, where it differs from `judge`'s; None elsewhere."""
        return None

    def judge_cut(self, turn: Turn) -> float | None:
        """Returns the verdict where somebody else, such as a time limit, breaks an episode off after `turn`."""
        return self.judge(turn)

    def final_info(self, turn: Turn) -> dict[str, Any]:
        """Says in `info` more of an episode that is over with `turn`, beside the verdict; plain values."""
        return {}

    def whole_verdict(self, turn: Turn) -> dict[str, Any]:
        """Says more of an episode that is over with `turn`, where that takes time: numbers, truths, lists of words.

        None stands for what cannot be said of this episode.
        """
        return {}

    def progress(self, turn: Turn) -> float | None:
        """Returns how much nearer to its goal a turn brought the episode, as a potential; None where nobody knows."""
        return None

    def has_gold(self, state: Any) -> bool:
        """Returns whether there is a verdict on an episode that is in `state`."""
        return self.judge(self.play(state, "").turn) is not None

    @abstractmethod
    def oracle(self, state: Any) -> str:
        """Returns a right response in `state`."""

    @abstractmethod
    def plausible_action(self, state: Any, rng: np.random.Generator) -> str:
        """Draws a plausible response in `state`, good or bad."""

    def draw(self, turn: Turn, score: float | None, gold: float | None) -> np.ndarray:
        """Returns a turn as a picture, (height, width, 3) uint8; `score` is None before there was a response."""
        return draw_card(turn, score, gold)

    def write(self, turn: Turn, score: float | None, gold: float | None) -> str:
        """Returns a turn as plain text."""
        return write_card(turn, score, gold)

    def info(self, state: Any) -> dict[str, Any]:
        """Returns the info of `state` at reset: plain values, the same ones for the same state."""
        return {}

    @property
    def not_repeatable(self) -> str:
        """Says why `repeats` is False."""
        return f"{type(self).__name__} cannot begin an episode again."

    def close(self) -> None:  # noqa: B027 - most tasks are memory alone
        """Lets go of what episodes are played in, where it is not memory alone."""

    def groups(self, state: Any) -> Sequence[str]:
        """Names the groups that an episode is counted under which begins in `state`, as its kind of prompt."""
        return ()

    def first_states(self, n: int) -> list[Any]:
        """Returns where n episodes begin to compare policies in, always the same; fewer where the data have fewer."""
        return [self.first_state(i) for i in range(n)]

    def first_state(self, number: int) -> Any:
        """Draws the state in which one of these begins."""
        return self.start(np.random.default_rng([21, number]), {})  # 21: nothing else draws from it

    # What is learned from, and what else is measured.

    @classmethod
    def modules_in(cls, options: Mapping[str, Any]) -> set[str]:
        """Returns the modules whose code these arguments of the class name; by default of values "module:name"."""
        return {module for module in map(module_of, options.values()) if module}

    def feedback(self) -> "Feedback | None":
        """Returns the records that SFT and reward models learn from; None where there are none."""
        return None

    def single_steps(self, count: int) -> "Feedback | None":
        """Returns single steps of long episodes, in which a policy is judged too; None where there are none.

        Args:
            count: of the states, where they are drawn; of recorded episodes all are taken.
        """
        return None

    def figures_of(self, responses: Sequence[str]) -> dict[str, float]:
        """Returns what else is measured of responses, by name: shares of them, whatever they were said to."""
        return {}

    def frame(self, state: Any, response: str) -> np.ndarray:
        """Draws `state` and where `response` points in it, (height, width, 3) uint8."""
        return self.draw(self.turn(state, response), None, None)

    def catalogue(self) -> Catalogue | None:
        """Returns a table of what there is to do; None where that would be no table."""
        return None

    def shortcut_scores(self, train: "Task", count: int, seed: int) -> Iterator[Scored] | None:
        """Yields what policies reach that know a shortcut and not the task, and the oracle; see `evaluation.baselines`.

        None where there are no shortcuts, and of text tasks, whose `Feedback.shortcuts` are tried.

        Args:
            train: the task over the training split, for what learns.
            count: of episodes, or fewer where the split has fewer.
            seed: of the shortcuts that draw.
        """
        return None

    def group_tables(self, groups: Sequence[str]) -> list[list[str]]:
        """Sorts the groups of `shortcut_scores` into the columns of tables; by default one table of all."""
        return [list(groups)]

    def state_to_json(self, state: Any) -> Any:
        """Returns the state as JSON, for exact resumption of a run."""
        return state

    def state_from_json(self, value: Any) -> Any:
        """Returns the inverse of `state_to_json`."""
        return value
