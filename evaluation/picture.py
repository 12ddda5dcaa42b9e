"""One picture of a run: the same prompt answered by SFT and by the policy, and the curves of its training.

python -m evaluation.picture --run runs/HH-v0-ppo-seed0 --output docs/hh.png
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from envs.font import open_font
from envs.render import WIDTH, draw_card
from envs.turn import Turn
from perlhf.errors import UserError, run_command
from perlhf.options import option, parse_options

GAP, TITLE, CURVES = 24, 44, 230  # pixels: between cards, and the heights of the titles and of the curves
_PAPER, _INK, _FAINT, _RAIL = (255, 255, 255), (34, 36, 40), (120, 124, 132), (225, 225, 220)
_LINES = {"rollout/gold": ((62, 142, 90), "gold"), "rollout/score": ((47, 93, 168), "score")}


@dataclass
class Options:
    """Draws a finished and evaluated run."""

    run: str = option("", "the run folder", positional=True)
    output: str = option("run.png", "the PNG file to write")
    sample: int = option(-1, "which prompt of evaluation.json; the one that improved most by default", low=-1)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.picture")
    if not options.run:
        raise UserError("give the folder of a finished, evaluated run: picture DIR, or --run DIR.")
    folder = Path(options.run)
    for name in ("evaluation.json", "metrics.jsonl"):
        if not (folder / name).is_file():
            raise UserError(f"{folder} has no {name}; give the folder of a finished, evaluated run.")
    report = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    output = Path(options.output)
    if output.suffix.lower() != ".png":
        raise UserError(f"--output {output}: expected a name that ends in .png.")
    output.parent.mkdir(parents=True, exist_ok=True)
    draw(chosen(report["samples"], options.sample), rows, control_of(report)).save(output)
    print(f"-> {output}")


def chosen(samples: Sequence[dict[str, Any]], number: int) -> dict[str, Any]:
    """Returns the sample of that number; -1 is the one that improved most.

    Raises:
        UserError: there are not so many.
    """
    if number >= len(samples):
        raise UserError(f"--sample {number}: evaluation.json has the samples 0 to {len(samples) - 1}.")
    return samples[number] if number >= 0 else max(samples, key=gain)


def gain(sample: dict[str, Any]) -> float:
    """Returns how much better the policy's sampled answer is than SFT's."""
    key = "score" if sample["policy_sampled"]["gold"] is None else "gold"
    return float(sample["policy_sampled"][key] - sample["sft_sampled"][key])


def control_of(report: dict[str, Any]) -> dict[str, float]:
    """Returns how good SFT is at its best temperature, under the name of its curve; nothing of earlier versions."""
    if "sft_temperature" not in report:
        return {}
    return {f"rollout/{report['sft_temperature']['by']}": report["sft"]["best"]["mean"]}


def draw(
    sample: dict[str, Any], rows: Sequence[dict[str, Any]], control: Mapping[str, float] | None = None
) -> Image.Image:
    """Draws the two cards side by side, without the empty space above them, over the curves.

    Args:
        sample: of evaluation.json.
        rows: of metrics.jsonl.
        control: by name of a curve what SFT reaches at its best temperature, a line across it.
    """
    answers = {"before: SFT": sample["sft_sampled"], "after PPO": sample["policy_sampled"]}
    cards = [draw_card(Turn(sample["prompt"], a["text"]), a["score"], a["gold"]) for a in answers.values()]
    empty = min(int(np.flatnonzero((card != card[0, 0]).any(axis=(1, 2)))[0]) for card in cards)
    cards = [card[max(0, empty - GAP) :] for card in cards]
    width, height = 2 * WIDTH + 3 * GAP, len(cards[0])
    picture = Image.new("RGB", (width, TITLE + height + CURVES + 2 * GAP), _PAPER)
    pen = ImageDraw.Draw(picture)
    for number, (title, card) in enumerate(zip(answers, cards, strict=True)):
        left = GAP + number * (WIDTH + GAP)
        pen.text((left, 14), title, fill=_INK, font=open_font(18))
        picture.paste(Image.fromarray(card), (left, TITLE))
    _draw_curves(pen, rows, control or {}, (GAP, TITLE + height + GAP, width - GAP, TITLE + height + GAP + CURVES))
    return picture


def _draw_curves(
    pen: ImageDraw.ImageDraw,
    rows: Sequence[dict[str, Any]],
    control: Mapping[str, float],
    box: tuple[int, int, int, int],
) -> None:
    """Each series over the turns trained on, in its own range, with its first and last value written."""
    font = open_font(13)
    present = [(key, *style) for key, style in _LINES.items() if any(row.get(key) is not None for row in rows)]
    height = (box[3] - box[1]) // max(1, len(present))
    for number, (key, colour, name) in enumerate(present):
        top = box[1] + number * height
        left, right, bottom = box[0] + 150, box[2] - 60, top + height - 22
        values = smoothed([row[key] for row in rows if row.get(key) is not None])
        across = [control[key]] if key in control else []
        low, high = min(values + across), max(values + across)
        span = (high - low) or 1.0
        points = [
            (left + (right - left) * i / max(1, len(values) - 1), bottom - (bottom - top - 6) * (v - low) / span)
            for i, v in enumerate(values)
        ]
        pen.line((left, bottom, right, bottom), fill=_RAIL)
        for value in across:
            level = bottom - (bottom - top - 6) * (value - low) / span
            pen.line((left, level, right, level), fill=_FAINT)
            pen.text((box[0], top + 24), f"line: SFT's best, {value:.2f}", fill=_FAINT, font=font)
        pen.line(points, fill=colour, width=3, joint="curve")
        pen.text((box[0], top + 6), f"{name} in training", fill=_INK, font=font)
        pen.text((left - 8, points[0][1]), f"{values[0]:.2f}", fill=_FAINT, font=font, anchor="rm")
        pen.text((right + 8, points[-1][1]), f"{values[-1]:.2f}", fill=_INK, font=font, anchor="lm")
    turns = rows[-1]["step"] if rows else 0
    pen.text((box[2] - 60, box[3] - 14), f"{turns:,} turns", fill=_FAINT, font=font, anchor="ra")


def smoothed(values: Sequence[float], window: int = 5) -> list[float]:
    """Returns the mean of each value and up to `window - 1` before it."""
    return [
        sum(values[max(0, i - window + 1) : i + 1]) / len(values[max(0, i - window + 1) : i + 1])
        for i in range(len(values))
    ]


if __name__ == "__main__":
    run_command(main)
