"""Says in a sentence why nothing can be learned from rollouts, where that shows in their figures.

Each kind is said once in a run, and stands in summary.json. What only slows learning down is none of these: a sentence
means that most of what was played, or all of it, is lost. Few responses may do so by chance, so rollouts are taken
together until they have `ENOUGH`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv
from tqdm import tqdm

from agents.rollout import Rollout
from agents.rollout_log import sound_scores
from agents.steps import Step
from backbones import group
from backbones.backbone import Backbone
from envs.corpora.lazy import Lazy
from envs.task import Task
from perlhf.terminal import printable

ENOUGH = 32  # responses, or of scores episodes, below which chance may do all of this
_MOST_CUT = 0.5  # share of the responses
_FAR = 2.0  # nats a token
_UPDATES = 3  # of the policy, after which it has moved if it moves at all
_SHOWN = 40  # characters of a response that a sentence quotes


class Facts(NamedTuple):
    """Says of one or more rollouts what a diagnosis is made from.

    Attributes:
        responses: that the env did not fail at.
        cut: share of these that have no end.
        limit: tokens after which a response is cut.
        lowest, highest: score of a response; of an episode too where each has one.
        episodes: that ended, without those that the env failed at.
        group_size: episodes that are compared with each other; 1 where none are.
        has_advantages: whether any advantage is not 0.
        kl: to the reference, in nats a response.
        length: of a response in tokens, on average.
        updates: of the policy so far.
        parsed: share of the responses that are actions; None where the task has none.
        sample: one of the responses.
    """

    responses: int
    cut: float
    limit: int
    lowest: float
    highest: float
    episodes: int
    group_size: int
    has_advantages: bool
    kl: float
    length: float
    updates: int
    parsed: float | None = None
    sample: str = ""


def diagnose(facts: Facts) -> dict[str, str]:
    """Returns sentences on why nothing can be learned, by kind: "cut", "scores", "advantages", "actions", "kl"."""
    found: dict[str, str] = {}
    # Of several turns at 1 each the sums differ where the lengths do; sums of 0 are alike however long.
    scores_are_sums = facts.episodes == facts.responses or facts.highest == 0
    if facts.episodes >= ENOUGH and facts.lowest == facts.highest and scores_are_sums:
        found["scores"] = (
            f"all scores of the last {facts.episodes} episodes are {facts.lowest:.4g}: no response is better than "
            "another, so there is nothing to learn; look at what --reward gives"
        )
    if facts.responses < ENOUGH:
        return found
    if facts.parsed == 0:
        shown = printable(facts.sample).replace("\n", " ")[:_SHOWN]
        found["actions"] = (
            f"no action could be parsed in {facts.responses} responses, such as {shown!r}: the policy has to know how "
            "actions are written (agents.train_sft), or --env-options lenient=true finds them in other text"
        )
    if facts.cut > _MOST_CUT:
        found["cut"] = (
            f"{facts.cut:.0%} of the responses were cut at {facts.limit} tokens, so how they end is never seen; "
            "raise --max-new-tokens, or say with --stop where a response is over"
        )
    if "scores" not in found and facts.group_size > 1 and not facts.has_advantages:
        found["advantages"] = (
            f"the advantages of all groups are 0: the {facts.group_size} episodes of each group score alike; raise "
            "--group-size or --temperature, or begin where some succeed (--frontier)"
        )
    if facts.updates >= _UPDATES and abs(facts.kl) < 1e-6:
        found["kl"] = (
            f"the KL to SFT is 0 after {facts.updates} updates: the policy has not moved; raise --learning-rate"
        )
    elif facts.kl > _FAR * facts.length:
        found["kl"] = (
            f"the KL to SFT is {facts.kl:.0f} nats a response of {facts.length:.0f} tokens: the policy has left the "
            "language that it began with; lower --learning-rate, or raise --kl-coef"
        )
    return found


def together(first: Facts, second: Facts) -> Facts:
    """Returns the facts of two rollouts, or more, as of one; `second` is the later."""
    count = first.responses + second.responses

    def mean(one: float, other: float) -> float:
        return (one * first.responses + other * second.responses) / count

    parsed = None
    if first.parsed is not None and second.parsed is not None:
        parsed = mean(first.parsed, second.parsed)
    return second._replace(
        responses=count, cut=mean(first.cut, second.cut), parsed=parsed, kl=mean(first.kl, second.kl),
        length=mean(first.length, second.length), episodes=first.episodes + second.episodes,
        lowest=min(first.lowest, second.lowest), highest=max(first.highest, second.highest),
        has_advantages=first.has_advantages or second.has_advantages,
    )  # fmt: skip


def facts_of(model: Any, rollout: Rollout, steps: Sequence[Step]) -> Facts:
    """Returns the facts of a rollout of `agents.PPO` with at least one step that the env did not fail at."""
    sound, h = ~rollout.failed, model.hyperparameters
    scores = sound_scores(steps)
    texts = _Texts(model.policy.backbone, rollout.responses)
    task = task_of(model.env)
    return Facts(
        responses=int(sound.sum()),
        cut=1.0 - rollout.ended[sound].float().mean().item(),
        limit=model.policy.max_new_tokens,
        lowest=float(scores.min()),
        highest=float(scores.max()),
        episodes=sum(bool(done) and row not in step.failed for step in steps for row, done in enumerate(step.dones)),
        group_size=h.group_size or 1,
        has_advantages=bool(rollout.advantages.any()),
        kl=rollout.response_kl.mean().item(),
        length=rollout.response_mask.sum(1)[sound].float().mean().item(),
        updates=model.n_updates // h.n_epochs - h.value_warmup,
        parsed=None if task is None else share_of_actions(task, texts),
        sample=texts[0],
    )


class _Texts(Lazy[str]):
    """Responses as texts: a few of them are mostly enough, and all are thousands."""

    def __init__(self, backbone: Backbone, responses: Sequence[Sequence[int]]) -> None:
        self._backbone, self._responses = backbone, responses

    def __len__(self) -> int:
        return len(self._responses)

    def make(self, index: int) -> str:
        return self._backbone.decode(self._responses[index])


def task_of(env: VecEnv) -> Task | None:
    """Returns the task that envs play; None where they are somebody else's, behind a vector env of Gymnasium's."""
    try:
        task = env.get_attr("task")[0]
    except AttributeError:
        return None
    return task if isinstance(task, Task) else None


def share_of_actions(task: Task, responses: Sequence[str]) -> float | None:
    """Returns the share of responses that a task reads actions in, as it reads them; None where it knows no actions.

    Where there are some among the first few, it is the share of these.
    """
    name = "actions, leniently read" if getattr(task, "lenient", False) else "actions"
    of_few = task.figures_of(responses[:ENOUGH]).get(name)
    return task.figures_of(responses).get(name) if of_few == 0 else of_few


class Diagnoses(BaseCallback):
    """Says each kind of diagnosis once, with the turn, and notes it for summary.json.

    What is known of rollouts that are not `ENOUGH` yet is in the run's `Watched`, so that a resumed run says the same.
    """

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        model: Any = self.model
        if model.rollout.failed.all():
            return
        now = facts_of(model, model.rollout, self.locals["steps"])
        before = {name: Facts(**facts) for name, facts in model.watched.facts.items()}
        kinds = ("responses", "episodes")
        facts_by = {name: together(before[name], now) if name in before else now for name in kinds}
        model.watched.facts = {
            name: facts._asdict() for name, facts in facts_by.items() if getattr(facts, name) < ENOUGH
        }
        of_episodes = diagnose(facts_by["episodes"])
        found = diagnose(facts_by["responses"]) | of_episodes
        if "scores" not in of_episodes:  # some turns of these episodes may be in rollouts of before
            found.pop("scores", None)
        for kind, sentence in found.items():
            if kind not in model.watched.diagnoses:
                model.watched.diagnoses[kind] = {"turns": self.num_timesteps, "said": sentence}
                if group.is_first():
                    tqdm.write(f"diagnosis after {self.num_timesteps} turns: {sentence}")
