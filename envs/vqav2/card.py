"""A question on a picture as a card: both, people's answers as chips beside them, the policy's answer below."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from envs.font import open_font
from envs.render import (
    BAD,
    FAINT,
    FOOTER,
    GOOD,
    HEIGHT,
    INK,
    MARGIN,
    PAPER,
    RAIL,
    RESPONSE,
    WIDTH,
    draw_footer,
)
from envs.turn import Turn
from envs.vqav2.accuracy import normalise_answer

_SIDE, _TOP = 280, 70  # of the picture on the card
_COLUMN = MARGIN + _SIDE + 14  # where what stands beside it begins
_CHIPS, _CHIP = 6, 25  # how many answers have a chip of their own, and its height
_VIEW = 72  # the picture as the policy sees it
_DRAWN = 256  # what a generated picture is drawn at for the card
_SMALL = 100  # pictures of fewer pixels a side are enlarged dot by dot
_CHIP_FILL, _CHIP_BAR, _AGREED, _AGREED_BAR = (235, 234, 229), (208, 213, 222), (221, 236, 225), (168, 209, 181)
_HALF = (201, 140, 48)  # the colour of an answer that some people gave
_LONGEST = 200  # characters of a text that is measured at all


def draw_answer(turn: Turn, load: Callable[[int], np.ndarray], score: float | None, gold: float | None) -> np.ndarray:
    """Returns the card, (512, 512, 3) uint8; `load` gives the picture, as `PictureQuestion.load`."""
    card = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(card)
    _draw_question(draw, turn.reference["question"])
    _paste_picture(card, load(_DRAWN))
    _draw_chips(draw, counted(turn.reference["answers"]), None if score is None else normalise_answer(turn.response))
    if turn.image is not None:
        _paste_view(card, draw, turn.image)
    _draw_response(draw, None if score is None else turn.response, gold)
    if score is not None:
        draw_footer(draw, score, gold)
    return np.asarray(card)


def write_answer(turn: Turn, score: float | None, gold: float | None) -> str:
    """Returns the turn as plain text; the last two lines are left out where there is no response yet."""
    lines = [f"Question: {turn.reference['question']}"]
    if "caption" in turn.reference:
        lines.append(f"Picture: {turn.reference['caption']}")
    said = ", ".join(f"{answer} ({count})" for answer, count in counted(turn.reference["answers"]))
    lines.append(f"People: {said or 'nobody was asked'}")
    if score is not None:
        lines.append(f"> {turn.response}")
        lines.append(f"score {score:+.2f}" + ("" if gold is None else f"   gold {gold:.2f}"))
    return "\n".join(lines)


def counted(answers: Sequence[str]) -> list[tuple[str, int]]:
    """Returns the different answers, as they stand, and how many people gave each; the commonest first."""
    return Counter(answers).most_common()


def _draw_question(draw: ImageDraw.ImageDraw, question: str) -> None:
    """In the largest letters in which it takes two lines, or three small ones."""
    for size in (21, 18, 15):
        lines = _wrapped(question, size)
        if len(lines) <= 2:
            break
    top = 12 if len(lines) > 1 else 24
    for i, line in enumerate(lines[:3]):
        draw.text((MARGIN, top + i * (size + 4)), line, fill=INK, font=open_font(size))


def _wrapped(text: str, size: int) -> list[str]:
    lines = [""]
    for word in _clean(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and open_font(size).getlength(longer) > WIDTH - 2 * MARGIN:
            lines.append(word)
        else:
            lines[-1] = longer
    return [_shortened(line, size, WIDTH - 2 * MARGIN) for line in lines]


def _clean(text: str) -> str:
    """Returns the beginning of a text, on one line and without signs that cannot be printed."""
    return "".join(sign if sign.isprintable() else " " for sign in text[:_LONGEST])


def _shortened(text: str, size: int, width: int) -> str:
    """Returns a text that is `width` pixels at most, with dots where its end is missing."""
    shown = _clean(text)
    cut = len(shown) < len(text)
    while shown and open_font(size).getlength(shown + "..." * cut) > width:
        shown, cut = shown[:-1], True
    return shown + "..." * cut


def _enlarged(picture: np.ndarray, side: int) -> Image.Image:
    """Returns the picture with its proportions as large as fits into a square."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    how = Image.Resampling.NEAREST if max(height, width) < _SMALL else Image.Resampling.LANCZOS
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(picture).resize(size, how)


def _paste_picture(card: Image.Image, picture: np.ndarray) -> None:
    shown = _enlarged(picture, _SIDE)
    left, top = MARGIN + (_SIDE - shown.width) // 2, _TOP + (_SIDE - shown.height) // 2
    frame = (MARGIN - 1, _TOP - 1, MARGIN + _SIDE, _TOP + _SIDE)
    ImageDraw.Draw(card).rectangle(frame, fill=(255, 255, 255), outline=RAIL)
    card.paste(shown, (left, top))


def _draw_chips(draw: ImageDraw.ImageDraw, answers: Sequence[tuple[str, int]], response: str | None) -> None:
    """One chip an answer, filled as far as people gave it; green where it is the policy's."""
    total = sum(count for _, count in answers)
    title = {0: "nobody was asked", 1: "label of the data"}.get(total, f"{total} people say")
    draw.text((_COLUMN, _TOP - 2), title, fill=FAINT, font=open_font(13))
    for i, (answer, count) in enumerate(answers[:_CHIPS]):
        agreed = normalise_answer(answer) == response
        _draw_chip(draw, _TOP + 18 + i * (_CHIP + 3), answer, count / total, count, agreed)
    if len(answers) > _CHIPS:
        top = _TOP + 18 + _CHIPS * (_CHIP + 3)
        draw.text((_COLUMN, top - 2), f"and {len(answers) - _CHIPS} more", fill=FAINT, font=open_font(11))


def _draw_chip(draw: ImageDraw.ImageDraw, top: int, answer: str, share: float, count: int, agreed: bool) -> None:
    right, radius = WIDTH - MARGIN, _CHIP // 2
    fill, bar = (_AGREED, _AGREED_BAR) if agreed else (_CHIP_FILL, _CHIP_BAR)
    draw.rounded_rectangle((_COLUMN, top, right, top + _CHIP), radius=radius, fill=fill)
    end = _COLUMN + max(2 * radius, int((right - _COLUMN) * share))
    draw.rounded_rectangle((_COLUMN, top, end, top + _CHIP), radius=radius, fill=bar)
    text = _shortened(answer, 14, right - _COLUMN - 52)
    draw.text((_COLUMN + 11, top + _CHIP / 2), text, fill=INK, font=open_font(14), anchor="lm")
    draw.text((right - 11, top + _CHIP / 2), f"x {count}", fill=FAINT, font=open_font(13), anchor="rm")


def _paste_view(card: Image.Image, draw: ImageDraw.ImageDraw, image: np.ndarray) -> None:
    """Pastes what the policy is shown, in small."""
    top = _TOP + _SIDE - _VIEW
    how = Image.Resampling.LANCZOS if image.shape[0] > _VIEW else Image.Resampling.NEAREST
    card.paste(Image.fromarray(image).resize((_VIEW, _VIEW), how), (_COLUMN, top))
    draw.rectangle((_COLUMN - 1, top - 1, _COLUMN + _VIEW, top + _VIEW), outline=RAIL)
    height, width = image.shape[:2]
    for i, line in enumerate(("what the", "policy sees:", f"{width} x {height}")):
        draw.text((_COLUMN + _VIEW + 10, top + 14 + 16 * i), line, fill=FAINT, font=open_font(12))


def _draw_response(draw: ImageDraw.ImageDraw, response: str | None, gold: float | None) -> None:
    """Draws the policy's answer: green, amber or red by its gold, blue where there is none."""
    box = (MARGIN, _TOP + _SIDE + 28, WIDTH - MARGIN, HEIGHT - FOOTER - 12)
    middle = (box[1] + box[3]) / 2
    draw.text((MARGIN + 4, box[1] - 19), "answer", fill=FAINT, font=open_font(13))
    if response is None:
        draw.rounded_rectangle(box, radius=12, outline=RAIL, width=2)
        draw.text((MARGIN + 14, middle), "(not yet)", fill=FAINT, font=open_font(18), anchor="lm")
        return
    colour = RESPONSE if gold is None else GOOD if gold >= 0.9 else _HALF if gold > 0 else BAD
    draw.rounded_rectangle(box, radius=12, fill=colour)
    text = _shortened(response, 22, WIDTH - 2 * MARGIN - 28) or "(empty)"
    draw.text((MARGIN + 14, middle), text, fill=(255, 255, 255), font=open_font(22), anchor="lm")
