"""Finds the live device that `device` of UINav names."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from inspect import signature
from typing import Any

from envs.entry_points import load_callable
from envs.uinav.interface.device import DeviceError
from envs.uinav.interface.live import LiveDevice
from perlhf.errors import UserError, did_you_mean


def make_device(device: Any, templates: str | Sequence[str], max_elements: int) -> LiveDevice:
    """Returns the device that is named: "browser", "module:name" of a class or function that makes one, or one itself.

    Args:
        device: as given to `UINav`.
        templates: what to draw tasks from; where none are given, "module:name" is called with nothing.
        max_elements: of a page, the most that are shown.

    Raises:
        UserError: it names no device.
    """
    if device == "browser":
        from envs.uinav.browser.device import BrowserDevice  # what drives browsers waits until one is asked for

        return BrowserDevice(templates, max_elements)
    made = device
    if isinstance(device, str):
        if ":" not in device:
            hint = did_you_mean(device, ("phone", "browser"))
            raise UserError(f"unknown device {device!r}.{hint} One of your own is 'module:name'.")
        made = _made(device, {"templates": templates} if templates else {})
    elif templates:
        raise UserError("templates are given to a device that is made already; give them to its maker.")
    if not isinstance(made, LiveDevice):
        raise UserError(
            f"device {device!r} gave {type(made).__name__}, expected an envs.uinav.interface.live.LiveDevice."
        )
    return made


def _made(name: str, given: Mapping[str, Any]) -> Any:
    """Calls what "module:name" stands for."""
    make = load_callable(name, f"device {name!r}")
    try:
        with suppress(ValueError):  # some classes of C do not say what they take
            signature(make).bind(**given)
    except TypeError as error:
        raise UserError(f"device {name!r} cannot be made with {', '.join(given) or 'nothing'}: {error}.") from None
    try:
        return make(**given)
    except DeviceError as error:
        raise UserError(f"device {name!r}: {error}.") from None


def refuse_of_phone(given: Mapping[str, Any]) -> None:
    """Refuses options that a live device does not have; UserError.

    Args:
        given: the options of the phone and of recordings, by name, and whether they differ from their defaults.
    """
    named = [name for name, is_given in given.items() if is_given]
    if named:
        raise UserError(f"{' and '.join(named)}: of the simulated phone or of recordings; leave out with device=...")
