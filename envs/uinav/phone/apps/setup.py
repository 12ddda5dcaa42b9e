"""Makes a phone from the options of UINav-v0: which apps are on it, and which tasks are drawn."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from envs.uinav.phone.app import Known, apps_of_module, find_template, templates_of
from envs.uinav.phone.apps import BUILT_IN, KEPT
from envs.uinav.phone.attack import attack_kinds
from envs.uinav.phone.device import PhoneDevice
from envs.uinav.phone.levels import easiest
from perlhf.errors import UserError, did_you_mean

ACROSS = "across"  # stands for all templates over several apps
EASIEST = "easiest"  # stands for those of level 1 that the phone's state judges, of the train split
UNSEEN = ("values", "wordings", "layouts", "templates", "apps")  # what can be new, each alone


def make_phone(
    templates: str | Sequence[str],
    apps: str | Sequence[str],
    split: str,
    unseen: str = "",
    across: Mapping[str, Known] | None = None,
    attack: str = "",
) -> PhoneDevice:
    """Makes the phone.

    Args:
        templates: names, joined by "+" or as a list; none takes all of the split: those that are held out are in the
            test split alone. "across" stands for all templates over several apps, "easiest" for the easiest ones.
        apps: what is on it, in the same form; see `installed_apps`.
        split: "train", "validation" or "test".
        unseen: one of `UNSEEN`, for the test split alone; "" for the split as it is.
        across: the templates over several apps, by name; they are drawn only where they are named.
        attack: kinds of attack, joined by "+", of which each episode has one; "all" for every kind, "" for none. In
            the test split they say what they say in no other split.

    Raises:
        UserError: an unknown template, app, module, kind of newness or kind of attack.
    """
    if unseen not in ("", *UNSEEN):
        hint = did_you_mean(str(unseen), UNSEEN)
        raise UserError(f"unknown unseen {unseen!r}; it is one of {', '.join(UNSEEN)}, or '' for none.{hint}")
    if unseen and split != "test":
        raise UserError(f"unseen={unseen!r} is of split 'test', which nothing is learned from; got split {split!r}.")
    installed = installed_apps(listed(apps))
    if unseen == "apps":
        installed = tuple(dict.fromkeys((*installed, *KEPT)))
    default, over_several = templates_of(installed), _possible(across or {}, installed)
    known = {**default, **over_several}
    named = _spelled_out(listed(templates), known, over_several)
    drawn = named or [name for name, each in default.items() if _is_drawn(each, split, unseen)]
    if unseen == "wordings" and (bare := [name for name in named if not known[name].template.unseen_goals]):
        raise UserError(f"template {bare[0]!r} has no wording that is kept from training; leave it out.")
    if unseen and (other := [name for name in named if not _is_drawn(known[name], split, unseen)]):
        raise UserError(f"template {other[0]!r} is none of those that unseen={unseen!r} is about; leave one out.")
    if not drawn:
        words = f"split {split!r}" + (f" with unseen {unseen!r}" if unseen else "")
        raise UserError(f"there is no template in apps {'+'.join(installed)!r} for {words}.")
    return PhoneDevice(installed, drawn, unseen, known, attack_kinds(attack), unseen_attacks=split == "test")


def _possible(across: Mapping[str, Known], installed: Sequence[str]) -> dict[str, Known]:
    """Returns the templates over several apps whose apps are all there."""
    there = set(installed)
    return {name: each for name, each in across.items() if {each.app, *each.template.needs} <= there}


def _spelled_out(names: Sequence[str], known: Mapping[str, Known], over_several: Mapping[str, Known]) -> list[str]:
    """Returns the names of templates with "across" and "easiest" spelled out.

    Raises:
        UserError: a template is unknown, or "across" is named and the apps on the phone go with none of them.
    """
    if ACROSS in names and not over_several:
        raise UserError(f"templates {ACROSS!r} are over two or three apps, and no two that go together are in apps.")
    choices = {**known, ACROSS: None, EASIEST: None}
    stands_for: dict[str, Callable[[], Iterable[str]]] = {
        ACROSS: lambda: over_several,
        EASIEST: lambda: easiest({name: each for name, each in known.items() if name not in over_several}),
    }
    found = [find_template(name, choices) for name in names]
    return list(dict.fromkeys(each for name in found for each in stands_for.get(name, lambda name=name: (name,))()))


def _is_drawn(known: Known, split: str, unseen: str) -> bool:
    """Returns whether a template is drawn where none is named."""
    app, template = known
    if unseen == "apps":
        return app in KEPT
    if unseen == "templates":
        return template.held_out
    if unseen == "wordings":
        return bool(template.unseen_goals) and not template.held_out
    return not template.held_out or (split == "test" and not unseen)


def installed_apps(names: Sequence[str]) -> tuple[str, ...]:
    """Names of apps: "all" stands for those that ship with perlhf, a name for one of them, a module for its own."""
    found: list[str] = []
    for name in names:
        found += BUILT_IN if name == "all" else [name] if name in (*BUILT_IN, *KEPT) else apps_of_module(name)
    if not found:
        raise UserError("apps must name at least one app; 'all' is those that ship with perlhf.")
    return tuple(dict.fromkeys(found))


def modules_of_apps(names: str | Sequence[str]) -> set[str]:
    """Returns those of the names of apps that stand for modules."""
    return {name for name in listed(names) if name not in ("all", *BUILT_IN, *KEPT)}


def listed(names: str | Sequence[str]) -> list[str]:
    """Names joined by "+", or a list of them.

    Raises:
        UserError: it is neither.
    """
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise UserError(f"templates and apps are names, joined by '+' or in a list; got {names!r}.")
    return [name for name in names.split("+") if name] if isinstance(names, str) else list(names)
