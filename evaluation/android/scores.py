"""Scores rows under all conventions: how many are right, of which kinds of actions, and on which rows they differ."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Generic, NamedTuple

from evaluation.android.conventions import CONVENTIONS
from evaluation.android.points import POINT_CONVENTIONS
from evaluation.android.predictions import Reading, read_action, read_place
from evaluation.android.rows import Kind, Row
from evaluation.android.steps import KINDS, OPPOSITE, AndroidAction, Point, Rect, Step, Target

Verdicts = Mapping[str, Sequence[bool | None]]  # of each convention, on each row; None where it has none
_HINTED = 0.1  # by how much more has to be right under another reading for a hint
_OTHERS = ("pixels", "0-1000", "0-1")


class Judged(NamedTuple, Generic[Kind]):
    """Rows of one sort, what was said for each, None where nobody can read it, and the verdicts on them."""

    rows: Sequence[Row[Kind]]
    said: Sequence[Any]
    verdicts: Verdicts


def judge_steps(rows: Sequence[Row[Step]], reading: Reading) -> Judged[Step]:
    """Returns the verdicts of all conventions on steps; an unreadable prediction is wrong under each."""
    said = [read_action(row.said, reading, row.shown) for row in rows]
    verdicts = {
        name: [_step_verdict(name, row, each) for row, each in zip(rows, said, strict=True)] for name in CONVENTIONS
    }
    return Judged(rows, said, verdicts)


def _step_verdict(name: str, row: Row[Step], said: AndroidAction | None) -> bool | None:
    if row.of.gold.kind not in CONVENTIONS[name].counted:
        return None
    return False if said is None else CONVENTIONS[name].judge(row.of, said)


def judge_targets(rows: Sequence[Row[Target]], reading: Reading) -> Judged[Target]:
    """Returns the verdicts of all conventions on targets; an unreadable prediction is wrong under each."""
    said = [read_place(row.said, reading, row.shown) for row in rows]
    verdicts = {
        name: [_target_verdict(name, row, each) for row, each in zip(rows, said, strict=True)]
        for name in POINT_CONVENTIONS
    }
    return Judged(rows, said, verdicts)


def _target_verdict(name: str, row: Row[Target], said: Point | Rect | None) -> bool | None:
    return False if said is None else POINT_CONVENTIONS[name].judge(row.of, said)


def step_figures(judged: Judged[Step], left_out: Collection[str]) -> dict[str, Any]:
    """Returns the step accuracy under each convention.

    Args:
        judged: steps.
        left_out: kinds of recorded actions that are left out of `without`.

    Returns:
        `rows`; `unreadable`, predictions; `conventions`, from the name of each to `says`; `all`, `without` and, in
        `actions`, each kind of recorded action, with `right`, `n` and `share` (None of no rows); and `not_judged`, rows
        of kinds that it counts without what it needs.
    """
    kinds = [row.of.gold.kind for row in judged.rows]
    conventions = {}
    for name, verdicts in judged.verdicts.items():
        pairs = list(zip(kinds, verdicts, strict=True))
        conventions[name] = {
            "says": CONVENTIONS[name].says,
            "all": _share(verdict for _, verdict in pairs),
            "without": _share(verdict for kind, verdict in pairs if kind not in left_out),
            "actions": {kind: _share(v for k, v in pairs if k == kind) for kind in KINDS if kind in kinds},
            "not_judged": sum(v is None and kind in CONVENTIONS[name].counted for kind, v in pairs),
        }
    return {
        "rows": len(kinds),
        "unreadable": sum(said is None for said in judged.said),
        "left_out": sorted(left_out),
        "conventions": conventions,
    }


def point_figures(judged: Judged[Target]) -> dict[str, Any]:
    """Returns the point accuracy under each convention.

    Two means of it are in use: over all targets, and over groups, of which each weighs as much as another. SeeClick's
    is the latter, over mobile, desktop and web, text and icons (OSU-NLP-Group/UGround: offline_evaluation/ScreenSpot/
    eval.py; bytedance/UI-TARS#1). SeeClick itself has 53.4 by groups and 55.75 by targets (OS-Copilot/OS-Atlas#38).

    Returns:
        `rows`; `unreadable`, predictions; `conventions`, from the name of each to `says`; `by_target` and `by_group`,
        the two means (the latter None where no row has a group); `groups`, each with `right`, `n` and `share`; and
        `not_judged`, rows that it cannot judge.
    """
    names = [row.of.group for row in judged.rows]
    conventions = {}
    for name, verdicts in judged.verdicts.items():
        pairs = list(zip(names, verdicts, strict=True))
        groups = {group: _share(v for g, v in pairs if g == group) for group in sorted(set(names) - {""})}
        shares = [group["share"] for group in groups.values() if group["share"] is not None]
        conventions[name] = {
            "says": POINT_CONVENTIONS[name].says,
            "by_target": _share(verdicts),
            "by_group": sum(shares) / len(shares) if shares else None,
            "groups": groups,
            "not_judged": sum(verdict is None for verdict in verdicts),
        }
    return {"rows": len(names), "unreadable": sum(said is None for said in judged.said), "conventions": conventions}


def _share(verdicts: Any) -> dict[str, Any]:
    known = [verdict for verdict in verdicts if verdict is not None]
    return {"right": sum(known), "n": len(known), "share": sum(known) / len(known) if known else None}


def differences(judged: Judged[Kind]) -> list[dict[str, Any]]:
    """Returns the rows that are right under some conventions and wrong under others, `kind` left aside.

    Returns:
        `where`, `id`, `said`, the prediction as it was read, `gold` of a step or `box` of a target, and the names of
        the conventions: `right`, `wrong`, and `not_judged` where there are any.
    """
    found = []
    for i, row in enumerate(judged.rows):
        verdicts = {name: of_all[i] for name, of_all in judged.verdicts.items() if name != "kind"}
        sides = {verdict: [name for name, v in verdicts.items() if v is verdict] for verdict in (True, False, None)}
        if not sides[True] or not sides[False]:
            continue
        wanted = {"gold": _plain(row.of.gold)} if isinstance(row.of, Step) else {"box": list(row.of.box)}
        difference = {"where": row.of.where, "id": row.of.name, **wanted, "said": _plain(judged.said[i])}
        difference |= {"right": sides[True], "wrong": sides[False]}
        found.append({**difference, "not_judged": sides[None]} if sides[None] else difference)
    return found


def _plain(said: Any) -> Any:
    """Returns an action as an object of JSON, without what it has not; a place as it is."""
    return {k: v for k, v in said._asdict().items() if v} if isinstance(said, AndroidAction) else said


def unreadable(judged: Judged[Kind]) -> list[str]:
    """Returns a line on the predictions that nobody can read; none where there are none."""
    places = [row.of.where for row, said in zip(judged.rows, judged.said, strict=True) if said is None]
    return [f"{len(places)} of {len(judged.rows)} predictions cannot be read, first {places[0]}"] if places else []


def repeated(rows: Sequence[Row[Step]]) -> list[str]:
    """Returns a line on steps whose `id` another one before them has; none where there are none."""
    first: dict[str, str] = {}
    named = [(row.of.name, row.of.where) for row in rows if row.of.name]
    places = [where for name, where in named if first.setdefault(name, where) != where]
    return [f"{len(places)} steps have an id that one before them has, first {places[0]}"] if places else []


def misreadings(judged: Judged[Step], reading: Reading) -> list[str]:
    """Returns lines on what looks like a mistake in how predictions of steps are read; none where nothing does."""
    found = []
    scrolls = [
        (row.of.gold.text, said.text)
        for row, said in zip(judged.rows, judged.said, strict=True)
        if said is not None and said.kind == row.of.gold.kind == "scroll"
    ]
    turned = sum(OPPOSITE[gold] == said for gold, said in scrolls)
    if turned > len(scrolls) / 2:
        found.append(f"{turned} of {len(scrolls)} scrolls go the opposite way: is what they say the finger's? --scroll")
    clicks = [row for row in judged.rows if row.of.gold.kind == "click"]
    shares = {c: _right_clicks(clicks, reading._replace(coordinates=c)) for c in _OTHERS} if clicks else {}
    best = max(shares, key=lambda name: shares[name], default=reading.coordinates)
    if shares and shares[best] >= shares[reading.coordinates] + _HINTED:
        now, then = shares[reading.coordinates], shares[best]
        found.append(f"read as {best}, {then:.1%} of the clicks are near and not {now:.1%}: see --coordinates")
    return found


def _right_clicks(rows: Sequence[Row[Step]], reading: Reading) -> float:
    """Returns the share of clicks that are right under `gui-odyssey`, with their numbers read in some way."""
    verdicts = [_step_verdict("gui-odyssey", row, read_action(row.said, reading, row.shown)) for row in rows]
    return sum(bool(verdict) for verdict in verdicts) / len(verdicts)
