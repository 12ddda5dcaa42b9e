"""Chooses which answers a page shows, and plays them again where there is more to see than their text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from agents.setup import Setup
from envs.render import split_transcript
from envs.task import Task
from envs.uinav.task import UINav
from envs.vqav2.task import VQAv2
from evaluation.reporting.run import Run
from evaluation.reporting.screens import Frames, screens_of
from evaluation.side_by_side import extremes
from perlhf.chat_endpoint import data_url
from perlhf.errors import UserError

_SIDES = {"sft": "SFT", "policy": "policy"}
_DRAWN = 256  # pixels that a generated picture is drawn at
_FINE: dict[str, Any] = {"format": "WEBP", "quality": 85}


class Chosen(NamedTuple):
    """Holds an episode of evaluation.json that a page shows: its row, and why it is there."""

    row: Mapping[str, Any]
    why: str

    @property
    def episode(self) -> int:
        return int(self.row["episode"])


class Turned(NamedTuple):
    """Holds one turn of an episode that was played again."""

    prompt: str
    image: np.ndarray | None
    response: str


def chosen_of(evaluation: Mapping[str, Any], count: int, seed: int = 0) -> tuple[list[Chosen], str]:
    """Chooses `count` of the first episodes by lot, and takes all that stand out.

    Args:
        evaluation: evaluation.json.
        count: of the episodes drawn; all of the kept ones where they are fewer.
        seed: of the lot.

    Returns:
        The episodes, those drawn first, none twice; and a sentence that says how they were chosen.
    """
    kept = [{"episode": k, **row} for k, row in enumerate(evaluation.get("samples", []))]
    if not kept or not count:
        return [], ""
    drawn = sorted(np.random.default_rng(seed).permutation(len(kept))[:count].tolist())
    standing_out = evaluation.get("extremes")
    among = f"all {evaluation['policy']['n']:,}"
    if standing_out is None:  # of an evaluation before there were any
        standing_out, among = _extremes_of(kept), f"these {len(kept)}"
    shown = {k: Chosen(kept[k], "drawn by lot") for k in drawn}
    for row in standing_out:
        why = ", ".join(row["why"])
        before = shown.get(row["episode"])
        shown[row["episode"]] = Chosen(row, why if before is None else f"{before.why}; {why}")
    drawn_of = f"{len(drawn)} of the first {len(kept)} held-out episodes, drawn by lot"
    usual = "What stands out is not what is usual: the answers drawn by lot show that."
    return list(shown.values()), f"{drawn_of}, and those that stand out among {among}. {usual}"


def _extremes_of(kept: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    sides = [[row[f"{side}_sampled"] for row in kept] for side in _SIDES]
    scores = [[answer["score"] for answer in side] for side in sides]
    golds = [[answer["gold"] for answer in side] for side in sides]
    judged = None not in golds[0] + golds[1]
    found = extremes(scores[0], scores[1], *(golds if judged else []))
    return [{**kept[k], "why": whys} for k, whys in found.items()]


class Episodes:
    """Plays episodes of a run's evaluation again.

    Args:
        run: the run.
        setup: what it was on.
        chosen: the episodes.

    Raises:
        UserError: the task cannot be made, or its held-out episodes are others than those that were evaluated.
    """

    def __init__(self, run: Run, setup: Setup, chosen: Sequence[Chosen]) -> None:
        split = run.evaluation.get("split", run.config.get("eval_split", "test"))
        self.task: Task = setup.task(split)
        if not self.task.repeats:
            self.task.close()
            raise UserError(self.task.not_repeatable)
        last = max(each.episode for each in chosen)
        self.states = self.task.first_states(last + 1)
        for each in chosen:
            k = each.episode
            if k >= len(self.states) or str(self.task.observe(self.states[k])["prompt"]) != each.row["prompt"]:
                which = f"episode {k} of split {split!r}"
                raise UserError(f"{which} is another one than was evaluated: other data, or another split.")

    def turns(self, episode: int, answer: Mapping[str, Any]) -> list[Turned] | None:
        """Returns the turns of an episode with an answer to it; None where they do not end as they did.

        Answers of earlier evaluations do not say where a turn ends, and then it is guessed.
        """
        state, turns, judged = self.states[episode], [], None
        responses = answer.get("responses") or [answer["text"]]
        if len(responses) == 1 and not self._ends(state, responses[0]):
            responses = answer["text"].split("; ")
        for number, response in enumerate(responses):
            shown = self.task.observe(state)
            turns.append(Turned(shown["prompt"], shown.get("image"), response))
            played = self.task.play(state, response)
            if (played.terminated or played.truncated) != (number == len(responses) - 1):
                return None
            state, judged = played.state, self.task.judge(played.turn)
        same = judged == answer["gold"] or (judged is not None and round(judged, 3) == answer["gold"])
        return turns if same else None

    def add_to(self, shown: dict[str, Any], frames: Frames) -> list[Turned] | None:
        """Adds goal, picture, oracle and films to what a page shows of an episode.

        Args:
            shown: `episode` is its number, and each of its `sides` has the answer `sampled`.
            frames: takes the pictures of films.

        Returns:
            The turns of the last side; None where they are not known.
        """
        k, turns = shown["episode"], None
        shown["goal"] = self.task.info(self.states[k]).get("goal", "")
        shown["picture"], shown["right"] = self.picture(k), self.right(k)
        for side in shown["sides"]:
            turns = self.turns(k, side["sampled"])
            if turns is not None:
                side["film"] = self.film(k, turns, frames)
                reached = (side["sampled"]["gold"] or 0.0) >= self.task.success_at
                side["end"] = "goal reached" if reached else "goal not reached"
        return turns

    def _ends(self, state: Any, response: str) -> bool:
        played = self.task.play(state, response)
        return played.terminated or played.truncated

    def film(self, episode: int, turns: Sequence[Turned], frames: Frames) -> list[dict[str, Any]] | None:
        """Returns the screens of an episode on the phone; None of other tasks."""
        if not isinstance(self.task, UINav):
            return None
        return screens_of(self.task, self.states[episode], [turn.response for turn in turns], frames)

    def picture(self, episode: int) -> dict[str, Any] | None:
        """Returns the picture that a question is about, as it is and as the policy sees it, and what people answered.

        None of tasks that show none, and of the phone, whose screens are in its films.
        """
        seen = self.task.observe(self.states[episode]).get("image")
        if seen is None or isinstance(self.task, UINav):
            return None
        found = {"seen": data_url(seen, format="PNG"), "size": f"{seen.shape[1]} x {seen.shape[0]}"}
        if not isinstance(self.task, VQAv2):
            return {**found, "whole": found["seen"], "people": []}
        whole = self.task.records[self.states[episode]].load(_DRAWN)
        answers = self.task.turn(self.states[episode]).reference["answers"]
        return {**found, "whole": data_url(whole, **_FINE), "people": Counter(answers).most_common()}

    def right(self, episode: int) -> str:
        """Returns the oracle's answer to a prompt that takes one turn; "" where there is none."""
        state = self.states[episode]
        if not self.task.has_oracle or self.task.on_screen:
            return ""
        return self.task.oracle(state)


def shown_of(chosen: Chosen, answers: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    """Returns what a page shows of an episode if all there is of it is text; `Episodes.add_to` adds the rest.

    Args:
        chosen: the episode.
        answers: who says what, sampled and greedy.
    """
    sides = [
        {"name": name, "sampled": sampled, "greedy": greedy, "film": None, "end": ""}
        for name, sampled, greedy in answers
    ]
    prompt = [(who, text) for who, text in split_transcript(chosen.row["prompt"]) if text]
    about = {"episode": chosen.episode, "why": chosen.why, "prompt": prompt, "sides": sides}
    return {**about, "goal": "", "picture": None, "right": "", "tokens": []}
