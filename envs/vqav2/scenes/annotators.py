"""Ten annotators of a picture: answers with confidences, and the mistakes that people make.

A slip is the other of yes and no, a count that is off by one or written out, a colour taken for a near one, a shape or
material by another name, or a wrong guess. Most pictures have few, some have many, and at least six of the ten always
say the truth, so the consensus (VQAv2's `multiple_choice_answer`) is the program's answer. People agree here more often
than in VQAv2 (there .89 on yes/no, .74 on numbers, .62 on the rest), since the pictures are clear.
"""

from collections.abc import Mapping, Sequence

from envs.vqav2.scenes.scene import Draw

ANNOTATORS = 10  # people asked, as in VQA v2.0
AGREEING = 6  # at least so many say the truth
SLIPS: Mapping[str, float] = {"yes/no": 0.06, "number": 0.16, "other": 0.22}  # the mean share of slips
_BY_LEVEL = (0.7, 0.9, 1.1, 1.3)  # harder questions have more of them
# (yes, maybe) of those who say the truth and of those who do not, by answer type; the rest is "no". As in VQAv2.
_CONFIDENCES: Mapping[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "yes/no": ((0.88, 0.11), (0.65, 0.32)),
    "number": ((0.87, 0.12), (0.55, 0.37)),
    "other": ((0.86, 0.13), (0.66, 0.27)),
}
_NEAR: Mapping[str, tuple[str, ...]] = {
    "red": ("orange", "pink", "dark red"),
    "orange": ("red", "yellow", "light brown"),
    "yellow": ("orange", "gold"),
    "green": ("dark green", "blue"),
    "blue": ("purple", "light blue"),
    "purple": ("blue", "pink", "violet"),
    "pink": ("purple", "red", "rose"),
    "black": ("dark gray", "gray"),
    "circle": ("round", "ball", "disc"),
    "square": ("box", "rectangle", "cube"),
    "triangle": ("pyramid", "cone"),
    "star": ("5 pointed star", "stars"),
    "diamond": ("square", "rhombus"),
    "cross": ("plus", "plus sign"),
    "heart": ("hearts", "love"),
    "ring": ("circle", "donut", "round"),
    "rubber": ("plastic", "rubbery"),
    "metal": ("steel", "iron", "glass"),
    "wood": ("wooden", "plastic"),
}
_WORDS = "zero one two three four five six seven".split()


def annotate(
    truth: str, answer_type: str, level: int, answers: Sequence[str], draw: Draw
) -> list[dict[str, str | int]]:
    """Ten answers in VQAv2's form.

    Args:
        truth: the right answer.
        answer_type: "yes/no", "number" or "other".
        level: 1 to 4, of the question.
        answers: what the question can be answered with.
        draw: random choices.

    Returns:
        Ten times {"answer", "answer_confidence": "yes", "maybe" or "no", "answer_id": 1 to 10}.
    """
    # The square of a uniform number has the mean 1/3: most pictures are easy, a few are not.
    share = SLIPS[answer_type] * _BY_LEVEL[level - 1] * 3 * draw.number() ** 2
    slips = [draw.number() < share for _ in range(ANNOTATORS)]
    while sum(slips) > ANNOTATORS - AGREEING:
        slips[slips.index(True)] = False
    given = [slip(truth, answer_type, answers, draw) if slipped else truth for slipped in slips]
    return [
        {"answer": answer, "answer_confidence": _confidence(answer == truth, answer_type, draw), "answer_id": i + 1}
        for i, answer in enumerate(given)
    ]


def slip(truth: str, answer_type: str, answers: Sequence[str], draw: Draw) -> str:
    """Returns an answer that a person might give instead of the truth; never the truth itself."""
    if answer_type == "yes/no":
        return "no" if truth == "yes" else "yes"
    if answer_type == "number":
        return _miscounted(int(truth), draw)
    near = _NEAR.get(truth)
    return draw.pick(near) if near and draw.number() < 0.8 else draw.other(answers, truth)


def _miscounted(count: int, draw: Draw) -> str:
    chance = draw.number()
    if chance < 0.2:
        return _WORDS[count]  # right in other signs, as some people write it
    if chance < 0.9:
        return str(count + 1 if count == 0 or draw.coin() else count - 1)
    return str(count + 2)


def _confidence(agrees: bool, answer_type: str, draw: Draw) -> str:
    sure, unsure = _CONFIDENCES[answer_type][0 if agrees else 1]
    chance = draw.number()
    return "yes" if chance < sure else "maybe" if chance < sure + unsure else "no"
