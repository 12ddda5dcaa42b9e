"""Writes the tables of docs/scaling.md out of `perlhf plan`, and its picture, docs/scaling.svg.

Run it with `make scaling`. A test compares the page and the picture with what this makes.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURE = ROOT / "docs" / "scaling.md", ROOT / "docs" / "scaling.svg"
sys.path[:0] = [str(ROOT)]

from agents.plan.estimate import Estimate, Figure, Sizes, estimate, sizes_of  # noqa: E402
from agents.plan.table import describe  # noqa: E402
from agents.plan.workload import Workload  # noqa: E402

GPUS = (8, 64, 1000)
WORK = {
    "7B": Workload("7B", rollout="server"),
    "8B": Workload("8B", rollout="server"),
    "70B": Workload("70B", rollout="server", shard_base=True, gradient_checkpointing=True),
}


@cache
def sizes(model: str) -> Sizes:
    """Returns the sizes of a model, as its workload has them; they are the same for full machines."""
    return sizes_of(WORK[model])


def planned(model: str, gpus: int) -> Estimate:
    """Returns what `perlhf plan` estimates."""
    return estimate(replace(WORK[model], gpus=gpus), sizes(model))


def command() -> str:
    """Returns what `perlhf plan 70B --gpus 64` and its other options print."""
    return f"```\n{describe(planned('70B', 64))}\n```"


def held_table() -> str:
    """Returns what a GPU holds and is sent, a row a model and number of GPUs; of four full models in brackets."""
    lines = [
        "| model, GPUs | held, GB | gradients a step, MB | rows an iteration, MB | layers a forward, GB "
        "| policy to the server, MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for model, gpus, found in _all():
        sent = {figure.name.split(",")[0]: figure for figure in found.sent}
        cells = [
            _pair(found.held[-1], 1e9), _pair(sent["gradients"], 1e6), f"{sent['rows'].here / 1e6:,.0f}",
            _pair(sent["layers"], 1e9) if "layers" in sent else "-", _pair(sent["policy to the server"], 1e6),
        ]  # fmt: skip
        lines.append(f"| {model}, {gpus:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def seconds_table() -> str:
    """Returns the seconds of an iteration by phase, and what breaks first."""
    lines = [
        "| model, GPUs | sampling | scoring | training | messages | an iteration | what breaks first |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for model, gpus, found in _all():
        cells = [_pair(figure, 1.0) for figure in found.seconds]
        first = (
            found.breaks[0].split(":")[0] if found.breaks else f"nothing; gathering rollouts at {found.limit:,} GPUs"
        )
        lines.append(f"| {model}, {gpus:,} | " + " | ".join([*cells, first]) + " |")
    return "\n".join(lines)


def local_table() -> str:
    """Returns what sampling in each process costs beside a server, in seconds of an iteration."""
    lines = ["| model | in each process | by a server |", "|---|---:|---:|"]
    for model in WORK:
        local = estimate(replace(WORK[model], rollout="local"), sizes(model)).seconds[0].here
        lines.append(f"| {model} | {local:.3g} | {planned(model, 8).seconds[0].here:.3g} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """Returns the page with its tables made anew; each stands between two comments with its name."""
    makers = {"held": held_table, "seconds": seconds_table, "local": local_table, "command": command}
    for name, make in makers.items():
        begin, end = f"<!-- {name}: made by docs/make_scaling.py -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", flags=re.S)
        assert len(pattern.findall(text)) == 1, name
        made = make()
        text = pattern.sub(lambda found, made=made: f"{found[1]}\n{made}\n\n{found[2]}", text)  # type: ignore[misc]
    return text


def _all() -> Iterator[tuple[str, int, Estimate]]:
    return ((model, gpus, planned(model, gpus)) for model in WORK for gpus in GPUS)


def _pair(figure: Figure, unit: float) -> str:
    """Returns a figure, and that of four full models in brackets."""
    here = _short(figure.here / unit)
    return here if figure.four is None else f"{here} ({_short(figure.four / unit)})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# The picture: one machine of two processes in full, another in outline, and a server.

_BLUE, _GREEN, _RED, _GREY, _INK = "#dbe7f6", "#dff0e2", "#f8e3de", "#f1f1ee", "#222428"


def picture() -> str:
    """Returns the picture of what is computed where, as SVG."""
    parts = [
        _box(16, 40, 568, 380, _GREY, "a machine"),
        *_process(32, 72, "process 0, GPU 0"), *_process(312, 72, "process 1, GPU 1"),
        _box(616, 40, 168, 212, _GREY, "another machine"),
        _box(632, 72, 136, 168, "#ffffff", "process 2, 3, ..."),
        _text(700, 132, "a base of its own,", middle=True), _text(700, 150, "whole or cut over", middle=True),
        _text(700, 168, "its processes", middle=True),
        _box(616, 276, 168, 144, _RED, "server (--rollout URL)"),
        _text(700, 322, "base + policy adapter", middle=True), _text(700, 344, "prompts of token ids,", middle=True),
        _text(700, 362, "a seed each -> token", middle=True), _text(700, 380, "ids and log p", middle=True),
        _arrow(568, 186, 632, 186), _arrow(632, 206, 568, 206),
        _arrow(568, 300, 616, 330), _arrow(616, 352, 568, 322),
        _box(16, 436, 768, 88, "#ffffff", "what travels"),
        _text(26, 477, "every env step: token ids and scores, to all.  every rollout: log p, values, entropy, to all."),
        _text(26, 495, "every optimizer step: the sum of adapter gradients and logged figures, one message."),
        _text(26, 513, "every update: the policy adapter to the server.  every forward, with --shard-base: layers."),
    ]  # fmt: skip
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="800" height="540" viewBox="0 0 800 540" '
        'font-family="sans-serif" font-size="13">\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{_INK}"/></marker></defs>\n'
        '<rect width="800" height="540" fill="#ffffff"/>\n'
        + _text(16, 26, "Several processes: each has its episodes, all have the rollout, each trains on its rows", 15)
        + "\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _process(x: int, y: int, name: str) -> list[str]:
    """Returns the boxes of one process, from its envs down to the optimizer step."""
    steps = (
        (_GREEN, "its share of the envs", "play, judge; --env-workers N beside it"),
        (_BLUE, "sample its rows", "policy adapter, or the server does"),
        (_BLUE, "score its rows", "policy, value, reward, reference"),
        (_GREEN, "all rows: rewards, advantages", "the same on every process"),
        (_BLUE, "its rows of the minibatch", "gradients of adapters, summed; Adam"),
    )
    found = [_box(x, y, 256, 336, "#ffffff", name)]
    for number, (colour, title, below) in enumerate(steps):
        top = y + 30 + 48 * number
        found += [
            _box(x + 12, top, 232, 40, colour),
            _text(x + 22, top + 16, title),
            _text(x + 22, top + 33, below, 11),
        ]
    found += [
        _box(x + 12, y + 276, 232, 48, _GREY),
        _text(x + 22, y + 295, "one frozen base, and adapters"),
        _text(x + 22, y + 313, "whole, or a share of each layer", 11),
    ]
    return found


def _box(x: int, y: int, width: int, height: int, colour: str, title: str = "") -> str:
    rect = (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="{colour}" stroke="#9a9a94" '
        'stroke-width="1"/>'
    )
    return rect + (_text(x + 10, y + 20, title) if title else "")


def _text(x: int, y: int, text: str, size: int = 13, middle: bool = False) -> str:
    anchor = ' text-anchor="middle"' if middle else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{_INK}"{anchor}>{escape(text)}</text>'


def _arrow(x: int, y: int, to_x: int, to_y: int) -> str:
    return f'<line x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}" stroke="{_INK}" marker-end="url(#tip)"/>'


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")
