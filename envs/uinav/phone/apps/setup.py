"""Makes a phone from the options of UINav-v0: which apps are on it, and which tasks are drawn."""

from collections.abc import Sequence

from envs.uinav.phone.app import apps_of_module, find_template, templates_of
from envs.uinav.phone.apps import BUILT_IN
from envs.uinav.phone.device import PhoneDevice
from perlhf.errors import UserError


def make_phone(templates: str | Sequence[str], apps: str | Sequence[str], split: str) -> PhoneDevice:
    """Makes the phone.

    Args:
        templates: names, joined by "+" or as a list; none takes all of the split: those that are held out are in the
            test split alone.
        apps: what is on it, in the same form; see `installed_apps`.
        split: "train", "validation" or "test".

    Raises:
        UserError: an unknown template, app or module.
    """
    installed = installed_apps(listed(apps))
    known = templates_of(installed)
    drawn = [find_template(name, known) for name in listed(templates)]
    by_default = [name for name, each in known.items() if split == "test" or not each.template.held_out]
    if not drawn and not by_default:
        raise UserError(f"there is no template in apps {'+'.join(installed)!r} for split {split!r}.")
    return PhoneDevice(installed, drawn or by_default)


def installed_apps(names: Sequence[str]) -> tuple[str, ...]:
    """Names of apps: "all" stands for those that ship with perlhf, a name for one of them, a module for its own."""
    found: list[str] = []
    for name in names:
        found += BUILT_IN if name == "all" else [name] if name in BUILT_IN else apps_of_module(name)
    if not found:
        raise UserError("apps must name at least one app; 'all' is those that ship with perlhf.")
    return tuple(dict.fromkeys(found))


def listed(names: str | Sequence[str]) -> list[str]:
    """Names joined by "+", or a list of them.

    Raises:
        UserError: it is neither.
    """
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise UserError(f"templates and apps are names, joined by '+' or in a list; got {names!r}.")
    return [name for name in names.split("+") if name] if isinstance(names, str) else list(names)
