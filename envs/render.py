"""Draws a turn: the conversation as chat bubbles, the response in colour, its score and gold as bars below."""

import re
from textwrap import wrap
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from envs.font import open_font
from envs.turn import Turn
from perlhf.conversation import SPEAKERS, Conversation

WIDTH, HEIGHT, FOOTER, MARGIN = 512, 512, 64, 16  # pixels: of the card, of its foot with the scores, at its edges
_SPEAKER = re.compile(r"\n\n(Human|Assistant): ?")
PAPER, INK, FAINT = (247, 246, 242), (34, 36, 40), (120, 124, 132)
_HUMAN, _ASSISTANT, RESPONSE = (226, 226, 222), (214, 228, 246), (47, 93, 168)
GOOD, BAD, RAIL = (62, 142, 90), (196, 78, 66), (222, 221, 216)


class _Bubble(NamedTuple):
    speaker: str
    lines: list[str]
    fill: tuple[int, int, int]
    ink: tuple[int, int, int]


def split_transcript(prompt: str) -> list[tuple[str, str]]:
    """(speaker, text) of each message or part of an HH transcript; a prompt of another form is one part by "Prompt"."""
    if isinstance(prompt, Conversation):
        return [(SPEAKERS[message.role], message.content.strip()) for message in prompt.messages]
    parts = _SPEAKER.split(prompt)
    if len(parts) == 1:
        return [("Prompt", prompt.strip())]
    before = [("Prompt", parts[0].strip())] if parts[0].strip() else []
    said = [(who, text.strip()) for who, text in zip(parts[1::2], parts[2::2], strict=True)]
    return before + [(who, text) for who, text in said if text]


def write_card(turn: Turn, score: float | None, gold: float | None) -> str:
    """Returns the turn as plain text, one line a speaker; `score` and `gold` are left out where they are None."""
    lines = [f"{who}: {text}" for who, text in split_transcript(turn.prompt)]
    if score is not None:
        lines.append(f"> Assistant: {turn.response}")
        lines.append(f"score {score:+.2f}" + ("" if gold is None else f"   gold {gold:.2f}"))
    return "\n".join(lines)


def draw_card(turn: Turn, score: float | None, gold: float | None) -> np.ndarray:
    """Draws the turn, (512, 512, 3) uint8; where it does not fit, the oldest lines run out at the top."""
    card = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(card)
    bubbles = [_bubble(who, text) for who, text in split_transcript(turn.prompt)]
    if score is not None:
        bubbles.append(_bubble("Response", turn.response or "(empty)"))
    bottom = HEIGHT - FOOTER - MARGIN
    for bubble in reversed(bubbles):
        bottom = _draw_bubble(draw, bubble, bottom) - 10
        if bottom < 0:
            break
    if score is not None:
        draw_footer(draw, score, gold)
    return np.asarray(card)


def _bubble(speaker: str, text: str) -> _Bubble:
    lines = [line for paragraph in text.splitlines() or [""] for line in wrap(paragraph, 48) or [""]]
    fill = {"Assistant": _ASSISTANT, "Response": RESPONSE}.get(speaker, _HUMAN)
    return _Bubble(speaker, lines, fill, (255, 255, 255) if speaker == "Response" else INK)


def _draw_bubble(draw: ImageDraw.ImageDraw, bubble: _Bubble, bottom: int) -> int:
    """Draws a bubble that ends at `bottom` and returns where it begins."""
    small, line_height = open_font(14), 20
    width = max(int(small.getlength(line)) for line in bubble.lines) + 24
    height = line_height * len(bubble.lines) + 16
    left = MARGIN if bubble.speaker in ("Human", "System", "Prompt") else WIDTH - MARGIN - width
    top = bottom - height
    draw.rounded_rectangle((left, top, left + width, bottom), radius=10, fill=bubble.fill)
    for i, line in enumerate(bubble.lines):
        draw.text((left + 12, top + 7 + i * line_height), line, fill=bubble.ink, font=small)
    draw.text((left + 4, top - 16), bubble.speaker, fill=FAINT, font=open_font(11))
    return top - 16


def draw_footer(draw: ImageDraw.ImageDraw, score: float, gold: float | None) -> None:
    """Score and gold as bars along the bottom of a card; `gold` is left out where it is None."""
    draw.rectangle((0, HEIGHT - FOOTER, WIDTH, HEIGHT), fill=(255, 255, 255))
    draw.line((0, HEIGHT - FOOTER, WIDTH, HEIGHT - FOOTER), fill=RAIL)
    # A score has no fixed range; 4 is where the bundled reward models are clipped.
    _draw_bar(draw, MARGIN, "score", f"{score:+.2f}", np.clip(score / 4, -1, 1))
    if gold is not None:
        _draw_bar(draw, WIDTH // 2 + MARGIN, "gold", f"{gold:.2f}", 2 * np.clip(gold, 0, 1) - 1)


def _draw_bar(draw: ImageDraw.ImageDraw, left: int, name: str, value: str, level: float) -> None:
    """Draws a bar of `level` in [-1, 1], filled from its left end."""
    top, width = HEIGHT - FOOTER + 14, WIDTH // 2 - 2 * MARGIN
    draw.text((left, top), name, fill=FAINT, font=open_font(13))
    draw.text((left + width, top), value, fill=INK, font=open_font(13), anchor="ra")
    draw.rounded_rectangle((left, top + 22, left + width, top + 32), radius=5, fill=RAIL)
    filled = int(width * (level + 1) / 2)
    if filled > 0:
        end = left + max(filled, 10)
        draw.rounded_rectangle((left, top + 22, end, top + 32), radius=5, fill=GOOD if level > 0 else BAD)
