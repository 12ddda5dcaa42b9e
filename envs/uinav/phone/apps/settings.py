"""Settings: sections of switches and choices, Wi-Fi networks, and what the phone says about itself."""

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import FEW, App, Route, Template, Values, register_app
from envs.uinav.phone.families import ASK, CHANGE, RENAME, TURN, Asked, Draw, questions, wordings
from envs.uinav.phone.oracle import Hands
from envs.uinav.phone.shared_widgets import save_button
from envs.uinav.phone.state import Phone, go, put
from envs.uinav.phone.widgets import Widget, button, field, item, option, text, title, toggle

LEVELS = ("10%", "25%", "50%", "75%", "100%")
TONES = (
    "Silver bells|Silver moon|Morning birds|Morning rain|Ocean waves|Ocean breeze|Old piano|Old radio|Soft guitar|"
    "Soft drums|Night train|Night owl|Green forest|Happy whistle|Marimba|Crystal"
).split("|")
LANGUAGES = "Dansk Deutsch English Eesti Hrvatski Italiano Latina Magyar Nederlands Norsk Polski Suomi Svenska".split()
NETWORKS = (
    "Blue cafe|Blue cafe guest|Green cafe|City library|City hall|Home 24|Home 42|Office guest|Office staff|Hotel lobby|"
    "Hotel pool|Airport free|Lake house|Harbor inn|North gym|Station guest|Maple street|Garden flat|Upstairs|Workshop"
).split("|")
COLORS = "Blue Green Silver Golden Red Violet Amber Coral Ivory Copper Indigo Scarlet White Black".split()
ANIMALS = "Falcon Otter Tiger Panda Heron Badger Lynx Raven Beaver Dolphin Moose Koala Gecko Bison".split()
WORDS = "maple river candle window pepper lemon rocket garden mirror pillow ticket basket".split()

ROWS = {  # what each section holds
    "Network": ("Wi-Fi", "Wi-Fi networks", "Bluetooth", "Airplane mode", "Mobile data", "Hotspot"),
    "Display": ("Dark mode", "Auto rotate", "Night light", "Large text", "Brightness"),
    "Sound": ("Do not disturb", "Vibration", "Touch sounds", "Ringtone", "Media volume", "Call volume", "Alarm volume"),
    "Battery": ("Battery saver", "Battery percentage"),
    "Privacy": ("Location", "Camera access", "Microphone access"),
    "Apps": ("Mail notifications", "Clock notifications", "Notes notifications", "Automatic updates"),
    "About": ("Device name", "Language", "Model", "Android version", "Serial number", "Build number", "IP address"),
}
SECTION_OF = {row: name for name, rows in ROWS.items() for row in rows}
LEVELED = ("Brightness", "Media volume", "Call volume", "Alarm volume")
CHOICES = {**dict.fromkeys(LEVELED, LEVELS), "Ringtone": TONES, "Language": LANGUAGES}
FACTS = ROWS["About"][2:]
SWITCHES = tuple(row for row in SECTION_OF if row not in (*CHOICES, *ROWS["About"], "Wi-Fi networks"))
OPTIONAL = tuple(row for row in SWITCHES if row not in ("Wi-Fi", "Dark mode", "Battery saver", "Location"))


def make(rng: Random) -> dict[str, Any]:
    """Switches, of which each phone lacks some, choices, networks and facts; whether it is dark is the phone's own."""
    missing, bits = ("Dark mode", *words.some(rng, OPTIONAL, 3)), rng.getrandbits(len(SWITCHES))
    names = words.some(rng, NETWORKS, 5 + int(rng.random() * 4))
    start = int(rng.random() * len(TONES))
    tones = (*TONES[start:], *TONES[:start])[3:]
    return {
        **{row: bool(bits >> i & 1) for i, row in enumerate(SWITCHES) if row not in missing},
        **{name: words.pick(rng, LEVELS) for name in LEVELED},
        **facts(rng),
        "tones": tones,
        "Ringtone": words.pick(rng, tones),
        "Language": "English",
        "Device name": f"My {device_name(rng)}",
        "networks": tuple({"name": name, "password": password(rng) if i % 4 else ""} for i, name in enumerate(names)),
        "joined": names[int(rng.random() * 2)] if rng.random() < 0.5 else "",
        "joining": (),
    }


def facts(rng: Random) -> dict[str, str]:
    """Returns the facts that stand on the page about the phone alone."""
    bits = rng.getrandbits(30)
    return {
        "Model": f"{words.pick(rng, ('Nova', 'Orbit', 'Pico', 'Terra'))} {10 + bits % 64}",
        "Android version": f"{11 + bits % 6}.{bits % 10}",
        "Serial number": f"{words.pick(rng, 'ABCDEFGH')}{10_000 + bits % 90_000}",
        "Build number": f"{words.pick(rng, 'QRSTUV')}P{100 + bits // 64 % 900}",
        "IP address": f"10.0.{bits >> 15 & 127}.{bits >> 22 & 127}",
    }


def password(rng: Random) -> str:
    """Returns a password, such as maple4821."""
    return f"{words.pick(rng, WORDS)}{1000 + int(rng.random() * 9000)}"


def device_name(rng: Random) -> str:
    """Returns a name for a phone, such as Blue Falcon."""
    return f"{words.pick(rng, COLORS)} {words.pick(rng, ANIMALS)}"


# Pages


def settings(phone: Phone) -> Iterator[Widget]:
    """Yields the sections, in an order of this phone's own."""
    yield _SETTINGS
    yield from phone.shuffled(_SECTIONS, "sections")


def section(phone: Phone) -> Iterator[Widget]:
    """Yields the rows of a section."""
    yield title(phone.arg)
    for row in phone.shuffled(ROWS[phone.arg], phone.arg):
        if row == "Wi-Fi networks" or has(phone, row):
            yield row_of(phone, row)


def row_of(phone: Phone, row: str) -> Widget:
    """Returns a switch, the way to a page, or words."""
    if row in SWITCHES:
        on = is_on(phone, row)
        return toggle(row, on, turn, row, not on)
    if row == "Wi-Fi networks":
        return item(row, go, "networks")
    value = phone.data[row]
    if row == "Device name":
        return item(f"{row}, {value}", go, "rename", None, {"name": value})
    return item(f"{row}, {value}", go, "choice", row) if row in CHOICES else text(f"{row}: {value}")


def choice(phone: Phone) -> Iterator[Widget]:
    """Yields what can be chosen."""
    name = phone.arg
    yield title(name)
    for value in phone.data["tones"] if name == "Ringtone" else CHOICES[name]:
        yield option(value, value == phone.data[name], put, name, value)


def networks(phone: Phone) -> Iterator[Widget]:
    """Yields the networks in reach, while Wi-Fi is on."""
    data = phone.data
    yield title("Wi-Fi networks")
    yield toggle("Wi-Fi", data["Wi-Fi"], turn, "Wi-Fi", not data["Wi-Fi"])
    if not data["Wi-Fi"]:
        yield text("Turn on Wi-Fi to see networks")
        return
    for i, network in enumerate(data["networks"]):
        name, label = network["name"], network["name"]
        if name == data["joined"]:
            label = f"{name}, connected"
        elif name in data["joining"]:
            label = f"{name}, connecting"
        yield item(label, join, i, name="network")


def enter_password(phone: Phone) -> Iterator[Widget]:
    """Yields the password of a network."""
    yield title(phone.data["networks"][phone.arg]["name"])
    yield field("password", "Password", enter=(connect,))
    yield button("Connect", connect, enabled=len(phone.typed("password")) >= 8)


def rename(phone: Phone) -> Iterator[Widget]:
    """Yields the name of the phone."""
    yield title("Device name")
    yield save_button(phone, save_name)
    yield field("name", "Name")


# What the buttons do


def is_on(phone: Phone, row: str) -> bool:
    """Returns whether a switch is on."""
    return phone.dark if row == "Dark mode" else phone.data[row]


def turn(phone: Phone, row: str, on: bool) -> Phone:
    """Returns the phone where a switch is on, or off; airplane mode asks first."""
    if row == "Dark mode":
        return phone._replace(dark=on)
    if row == "Airplane mode" and on:
        return phone.ask("Airplane mode stops calls. Turn it on?", ("Turn on", put, row, True), ("Cancel",))
    if row == "Wi-Fi" and not on:
        phone = phone.put(joining=())
    return phone.put(**{row: on})


def join(phone: Phone, index: int) -> Phone:
    """Returns the phone where a network is being joined or left, or its password asked for."""
    network = phone.data["networks"][index]
    name = network["name"]
    if name == phone.data["joined"]:
        return phone.ask(f"Disconnect from {name}?", ("Disconnect", put, "joined", ""), ("Cancel",))
    return phone.go("password", index) if network["password"] else phone.put(joining=(name, 2))


def connect(phone: Phone) -> Phone:
    """Returns the phone where the network is being joined, if the password is right."""
    network = phone.data["networks"][phone.arg]
    if phone.typed("password") != network["password"]:
        return phone.say("Wrong password")
    return phone.back().put(joining=(network["name"], 2))


def proceed(phone: Phone) -> Phone:
    """Returns the phone one action later: a network that was being joined is joined."""
    if not phone.data["joining"]:
        return phone
    name, left = phone.data["joining"]
    if left > 1:
        return phone.put(joining=(name, left - 1))
    return phone.put(joining=(), joined=name).say(f"Connected to {name}")


def save_name(phone: Phone) -> Phone:
    """Returns the phone with the name of the form, if it is a name."""
    name = phone.typed("name")
    if not 0 < len(name) <= 24:
        return phone.say("Enter a name of 1 to 24 letters")
    return phone.back().put(**{"Device name": name}).say("Saved")


# What pages show on every phone, made once

_SETTINGS = title("Settings")
_SECTIONS = tuple(item(name, go, "section", name, name="section") for name in ROWS)


# Tasks


def draw_switch(rng: Random, phone: Phone) -> Values:
    """Returns a switch that is there, and the other state."""
    name = words.pick(rng, [row for row in SWITCHES if has(phone, row)])
    on = phone.dark if name == "Dark mode" else phone.of("settings")[name]
    return {**there(phone, name), "state": "off" if on else "on"}


def no_switch(rng: Random, phone: Phone) -> Values:
    """Returns a switch that this phone lacks."""
    name = words.pick(rng, [row for row in OPTIONAL if not has(phone, row)])
    return {**there(phone, name), "state": words.pick(rng, ("on", "off"))}


def has(phone: Phone, row: str) -> bool:
    """Returns whether the phone has this switch."""
    return row == "Dark mode" or row in phone.of("settings")


def there(phone: Phone, name: str) -> dict[str, Any]:
    """Returns a row, where it is, and the theme as it was."""
    return {"name": name, "section": SECTION_OF[name], "dark": phone.dark}


def draw_level(rng: Random, phone: Phone) -> Values:
    """Returns a level that is not chosen yet."""
    name = words.pick(rng, LEVELED)
    level = phone.of("settings")[name]
    return {**there(phone, name), "level": level, "new": words.other(rng, (level,), LEVELS)}


def draw_language(rng: Random, phone: Phone) -> Values:
    """Returns a language that is not chosen yet."""
    return {**there(phone, "Language"), "new": words.other(rng, (phone.of("settings")["Language"],), LANGUAGES)}


def draw_fact(rng: Random, phone: Phone) -> Values:
    """Returns a fact about the phone, and what it is."""
    name = words.pick(rng, FACTS)
    return {**there(phone, name), "fact": phone.of("settings")[name]}


def ringing(rng: Random, phone: Phone) -> Values:
    """Returns the ringtone that is chosen."""
    return {**there(phone, "Ringtone"), "tone": phone.of("settings")["Ringtone"]}


def draw_tone(rng: Random, phone: Phone, offered: bool = True) -> Values:
    """Returns a ringtone that is not chosen yet, or one that is not to be had."""
    data = phone.of("settings")
    tones = [tone for tone in TONES if (tone in data["tones"]) == offered and tone != data["Ringtone"]]
    return {**there(phone, "Ringtone"), "new": words.pick(rng, tones)}


def draw_network(rng: Random, phone: Phone) -> Values:
    """Returns a network with a password that is not joined yet."""
    data = phone.of("settings")
    known = [n for n in data["networks"] if n["password"] and n["name"] != data["joined"]]
    network = words.pick(rng, known)
    return {**there(phone, "Wi-Fi networks"), "network": network["name"], "password": network["password"]}


def no_network(rng: Random, phone: Phone) -> Values:
    """Returns a network that is out of reach."""
    name = words.other(rng, [network["name"] for network in phone.of("settings")["networks"]], NETWORKS)
    return {**there(phone, "Wi-Fi networks"), "network": name, "password": password(rng)}


def in_section(then: Route) -> dict[str, Route]:
    """Routes that open the section of the goal and do this there."""
    return {
        "settings": lambda hands: hands.tap(hands["section"], "section"),
        "section": lambda hands: then(hands) if hands.arg == hands["section"] else None,
    }


def open_row(hands: Hands) -> Action:
    """Opens the row of the goal."""
    return hands.tap(hands["name"])


def on_row(then: Route) -> dict[str, Route]:
    """Routes to the section of the goal, and this there once its row can be seen."""

    def look(hands: Hands) -> Action | None:
        row = hands.tap(hands["name"])
        return then(hands) if row.kind == "click" else row

    return in_section(look)


def choose(hands: Hands) -> Action | None:
    """Chooses the value of the goal."""
    return hands.set(hands["new"], True) if hands.arg == hands["name"] else None


def to_network(hands: Hands) -> Action:
    """Opens the network of the goal, or waits until it is joined."""
    if hands["network"] in hands.data["joining"]:
        return Action("wait")
    return hands.set("Wi-Fi", True) or hands.tap(hands["network"], "network")


def give_password(hands: Hands) -> Action | None:
    """Types the password of the network and connects."""
    if hands.data["networks"][hands.arg]["name"] != hands["network"]:
        return None
    return hands.fill(password=hands["password"]) or hands.tap("Connect")


def changed(phone: Phone, values: Values, **changes: Any) -> bool:
    """Returns whether these changed and nothing else, the theme included."""
    return phone.dark == values["dark"] and phone.changed_only("settings", **changes)


def was_turned(phone: Phone, values: Values) -> bool:
    """Returns whether the switch is as wanted, and nothing else changed."""
    on = values["state"] == "on"
    if values["name"] == "Dark mode":
        return changed(phone, {"dark": on})
    return changed(phone, values, **{values["name"]: on})


def was_chosen(phone: Phone, values: Values) -> bool:
    """Returns whether the value is chosen, and nothing else changed."""
    return changed(phone, values, **{values["name"]: values["new"]})


def was_joined(phone: Phone, values: Values) -> bool:
    """Returns whether the network is joined over Wi-Fi, and nothing else changed."""
    return changed(phone, values, joined=values["network"], **{"Wi-Fi": True})


PHONE = "this phone"
TOGGLE = Template(
    "toggle_setting",
    draw=draw_switch,
    route=in_section(lambda hands: hands.set(hands["name"], hands["state"] == "on")),
    check=was_turned,
    absent=no_switch,
    **wordings("toggle_setting", TURN, "{name}", ("Switch {name} {state} in the settings",)),
)
WIFI = Template(
    "connect_wifi",
    (
        "Connect to {network} with password {password}",
        "Join the Wi-Fi network {network}, the password is {password}",
        "Connect to the Wi-Fi of {network} with the password {password}",
    ),
    draw_network,
    {**in_section(open_row), "networks": to_network, "password": give_password},
    check=was_joined,
    absent=no_network,
    demonstrated=FEW,
    unseen_goals=("Connect to the Wi-Fi network {network}, the password is {password}",),
)


def choosing(name: str, draw: Draw, demonstrated: float, goals: Mapping[str, Any], absent: Draw | None) -> Template:
    """Makes the template of something that is chosen."""
    way = {**in_section(open_row), "choice": choose}
    return Template(name, draw=draw, route=way, check=was_chosen, absent=absent, demonstrated=demonstrated, **goals)


RINGTONE = choosing(
    "set_ringtone",
    draw_tone,
    1,
    wordings("set_ringtone", CHANGE, PHONE, ("Set the ringtone to {new}",), field="ringtone"),
    lambda rng, phone: draw_tone(rng, phone, offered=False),
)
LEVEL = choosing(
    "set_brightness",
    draw_level,
    1,
    wordings("set_brightness", CHANGE, "{name}", ("Set {name} to {new}",), field="level"),
    None,
)
LANGUAGE = choosing("set_language", draw_language, FEW, wordings("set_language", CHANGE, PHONE, field="language"), None)
RENAME_IT = Template(
    "rename_device",
    draw=lambda rng, phone: {**there(phone, "Device name"), "new": device_name(rng)},
    route={**in_section(open_row), "rename": lambda hands: hands.fill(name=hands["new"]) or hands.tap("Save")},
    check=lambda phone, values: changed(phone, values, **{"Device name": values["new"]}),
    **wordings("rename_device", RENAME, PHONE, ("Change the device name to {new}",)),
)
FACT = Template(
    "device_version",
    draw=draw_fact,
    route=in_section(lambda hands: hands.say(hands["fact"])),
    answer=lambda phone, values: str(values["fact"]),
    **wordings("device_version", ASK, PHONE, ("Look up the {name} in the settings",), field="{name}"),
)
LOUDNESS = questions("{name}", [Asked("level_of", "level", "level", 0)], draw_level, on_row)
RINGS = Asked("find_ringtone", "ringtone", "tone", own=("Which ringtone is set?",), held_out=True)
TONE = questions(PHONE, [RINGS], ringing, on_row)

APP = register_app(
    App(
        "settings",
        "Settings",
        make,
        {
            "settings": settings,
            "section": section,
            "choice": choice,
            "networks": networks,
            "password": enter_password,
            "rename": rename,
        },
        templates=(TOGGLE, WIFI, RINGTONE, LEVEL, LANGUAGE, RENAME_IT, FACT, *LOUDNESS, *TONE),
        tick=proceed,
    )
)
