"""Clock: alarms, a timer, and the time in other cities."""

import re
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import App, Check, Route, Template, Values, register_app
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.shared_widgets import minutes_of, save_button, tab_rows, time_at
from envs.uinav.phone.state import Phone, ask, go, put, put_item, swapped, with_item, without
from envs.uinav.phone.widgets import Widget, button, check, field, icon, item, text, title, toggle

LABELS = (
    "Wake up|Gym|School run|Take pills|Water plants|Call home|Team call|Bake bread|Walk the dog|Laundry|Lunch break|"
    "Bus to town|Piano practice|Feed the cat|Go to bed|Stretching|Team lunch|Call the bank|Wash the car|Study"
).split("|")
CITIES = (
    "Accra|Athens|Auckland|Bogota|Boston|Cairo|Dakar|Delhi|Dublin|Hanoi|Havana|Kyoto|Lima|Madrid|Manila|Milan|Osaka|"
    "Oslo|Paris|Perth|Porto|Quito|San Jose|San Juan|Santiago|Seoul|Tunis|Vienna"
).split("|")


def make(rng: Random) -> dict[str, Any]:
    """Alarms at different times, one of them on at least; cities; sometimes a timer that runs."""
    count = 4 + int(rng.random() * 5)
    labels, lit = words.some(rng, LABELS, count), int(rng.random() * count)
    minutes, alarms = 300 + 5 * int(rng.random() * 20), []
    for i, label in enumerate(labels):
        minutes += 5 + 5 * int(rng.random() ** 2 * 24)  # often two in the same hour
        on = i == lit or rng.random() < 0.6
        alarms.append({"time": time_at(minutes), "label": label, "repeat": rng.random() < 0.4, "on": on})
    gap = int(rng.random() * (len(CITIES) - 3))
    offered = (*CITIES[:gap], *CITIES[gap + 3 :])
    return {
        "alarms": tuple(alarms),
        "timer": 5 * int(1 + rng.random() * 9) if rng.random() < 0.2 else 0,
        "offered": offered,
        "cities": tuple(words.some(rng, offered, 2 + int(rng.random() * 3))),
        "now": int(rng.random() * 1440),
    }


def in_order(alarms: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Returns the alarms by their times."""
    return tuple(sorted(alarms, key=lambda alarm: minutes_of(alarm["time"]) or 0))


# Pages


def alarms(phone: Phone) -> Iterator[Widget]:
    """Yields the alarms; a long press opens a menu."""
    yield from _ALARMS
    for i, alarm in enumerate(phone.data["alarms"]):
        name = f"{alarm['time']}, {alarm['label']}"
        menu = (ask, f"Alarm {name}", ("Open", go, "alarm", i), ("Delete", delete, i), ("Cancel",))
        yield item(name if alarm["on"] else f"{name}, off", go, "alarm", i, name="alarm", hold=menu)


def alarm(phone: Phone) -> Iterator[Widget]:
    """One alarm."""
    i = phone.arg
    alarm = phone.data["alarms"][i]
    yield title(alarm["time"])
    delete_it = icon("Delete", ask, f"Delete the {alarm['time']} alarm?", ("Delete", delete, i), ("Cancel",))
    yield from phone.shuffled((icon("Edit", edit, i), delete_it), "alarm icons")
    yield text(alarm["label"] or "No label", name="label")
    yield text("Repeats daily" if alarm["repeat"] else "Rings once")
    yield toggle("Alarm", alarm["on"], put_item, "alarms", i, {"on": not alarm["on"]})


def form(phone: Phone) -> Iterator[Widget]:
    """Yields an alarm being set or changed."""
    yield title("New alarm" if phone.arg is None else "Edit alarm")
    yield save_button(phone, save, phone.arg)
    yield from phone.shuffled(_FIELDS, "alarm fields")
    repeat = phone.typed("repeat")
    yield check("Repeat daily", bool(repeat), repeat_daily, not repeat)


def timer(phone: Phone) -> Iterator[Widget]:
    """Yields the timer, to be started or stopped."""
    yield from _TIMER
    left = phone.data["timer"]
    if not left:
        yield _MINUTES
        yield _START[bool(phone.typed("minutes"))]
        return
    yield text(f"{left} minutes left")
    for label, minutes in phone.shuffled((("Stop", 0), ("5 minutes more", left + 5)), "timer buttons"):
        yield button(label, put, "timer", minutes, share=2)


def world(phone: Phone) -> Iterator[Widget]:
    """Yields the time in the cities chosen; a long press removes one."""
    yield from _WORLD
    for i, city in enumerate(phone.data["cities"]):
        there = time_at(phone.data["now"] + 300 * CITIES.index(city))
        hold = (ask, f"Remove {city}?", ("Remove", remove, i), ("Cancel",))
        yield item(f"{city}, {there}", name="city", hold=hold)


def cities(phone: Phone) -> Iterator[Widget]:
    """Cities to choose from, on some phones with a search."""
    yield title("Add a city")
    wanted = phone.typed("search").casefold()
    if has_search(phone):
        yield field("search", "Search")
    found = [city for city in phone.data["offered"] if wanted in city.casefold()]
    for city in found:
        yield item(city, add, city, name="city")
    if not found:
        yield text("No city found")


def has_search(phone: Phone) -> bool:
    """Returns whether the list of cities can be searched on this phone."""
    return phone.shuffled((True, False), "city search")[0]


# What the buttons do


def repeat_daily(phone: Phone, on: bool) -> Phone:
    """Returns the phone where the alarm in the form repeats, or not."""
    return phone.fill(repeat="yes" if on else "")


def edit(phone: Phone, index: int) -> Phone:
    """Returns the phone with an alarm in the form."""
    alarm = phone.data["alarms"][index]
    return phone.go("form", index, time=alarm["time"], label=alarm["label"], repeat="yes" if alarm["repeat"] else "")


def save(phone: Phone, index: int | None) -> Phone:
    """Returns the phone where the alarm is set, if it has a time that no other has."""
    minutes, known = minutes_of(phone.typed("time")), phone.data["alarms"]
    if minutes is None:
        return phone.say("Enter a time like 7:30")
    rest = known if index is None else without(known, index)
    time, label, repeat = time_at(minutes), phone.typed("label"), bool(phone.typed("repeat"))
    if any(alarm["time"] == time for alarm in rest):
        return phone.say(f"There is an alarm at {time} already")
    alarm = {"time": time, "label": label, "repeat": repeat, "on": index is None or known[index]["on"]}
    return phone.to_start().put(alarms=in_order(with_item(rest, alarm))).say("Alarm saved")


def delete(phone: Phone, index: int) -> Phone:
    """Returns the phone where the alarm is gone, and the others are shown."""
    return phone.to_start().put(alarms=without(phone.data["alarms"], index)).say("Alarm deleted")


def start(phone: Phone) -> Phone:
    """Returns the phone where the timer runs, if its minutes are a number."""
    minutes = phone.typed("minutes")
    if not re.fullmatch("[1-9][0-9]{0,2}", minutes):
        return phone.say("Enter minutes from 1 to 999")
    return phone.fill(minutes="").put(timer=int(minutes))._replace(focus="")


def add(phone: Phone, city: str) -> Phone:
    """Returns the phone where the city is among those chosen."""
    known = phone.data["cities"]
    if city in known:
        return phone.say(f"{city} is there already")
    return phone.back().put(cities=with_item(known, city))


def remove(phone: Phone, index: int) -> Phone:
    """Returns the phone where the city is no more among those chosen."""
    return phone.put(cities=without(phone.data["cities"], index))


# What pages show on every phone, made once

_TABS = tab_rows({"Alarms": "alarms", "Timer": "timer", "World": "world"})
_ALARMS = (title("Alarms"), icon("Add", go, "form", place="foot"), *_TABS["Alarms"])
_FIELDS = (field("time", "Time"), field("label", "Label"))
_TIMER = (title("Timer"), *_TABS["Timer"])
_MINUTES = field("minutes", "Minutes", enter=(start,))
_START = tuple(button("Start", start, enabled=enabled) for enabled in (False, True))
_WORLD = (title("World clock"), icon("Add", go, "cities", place="foot"), *_TABS["World"])


# Tasks


def new_time(rng: Random, phone: Phone) -> str:
    """Returns a time at which there is no alarm."""
    taken = [alarm["time"] for alarm in phone.of("clock")["alarms"]]
    while True:
        time = words.clock_time(rng)
        if time not in taken:
            return time


def draw_alarm(rng: Random, phone: Phone) -> Values:
    """Returns a time and a label for a new alarm."""
    return {"time": new_time(rng, phone), "label": words.pick(rng, LABELS)}


def one_of(rng: Random, phone: Phone, on: tuple[bool, ...] = (True, False)) -> Values:
    """Returns an alarm that is there, and a time to move it to."""
    known = phone.of("clock")["alarms"]
    index = words.pick(rng, [i for i, alarm in enumerate(known) if alarm["on"] in on])
    return {**known[index], "index": index, "new": new_time(rng, phone)}


def none_of(rng: Random, phone: Phone) -> Values:
    """Returns a time at which there is no alarm, and another."""
    return {"time": new_time(rng, phone), "new": new_time(rng, phone)}


def draw_city(rng: Random, phone: Phone, offered: bool = True) -> Values:
    """Returns a city that can be added, or one that the list does not have."""
    data = phone.of("clock")
    pool = [city for city in CITIES if city not in data["cities"] and (city in data["offered"]) == offered]
    return {"city": words.pick(rng, pool)}


def is_right(hands: Hands) -> bool:
    """Returns whether the page is about the alarm of the goal."""
    return hands.arg is not None and hands.data["alarms"][hands.arg]["time"] == hands["time"]


def on_alarm(then: Route) -> dict[str, Route]:
    """Routes that open the alarm of the goal and do this there."""
    return {
        **to_tab("Alarms"),
        "alarms": lambda hands: hands.tap(hands["time"], "alarm"),
        "alarm": lambda hands: then(hands) if is_right(hands) else None,
    }


def to_tab(label: str) -> dict[str, Route]:
    """Routes from the tabs to this one."""
    return dict.fromkeys(("alarms", "timer", "world"), tapping(label, "tab"))


def set_up(hands: Hands) -> Action | None:
    """Fills the form and saves."""
    if hands.arg is not None:
        return None
    return hands.fill(time=hands["time"], label=hands["label"]) or hands.set("Repeat daily", False) or hands.tap("Save")


def set_timer(hands: Hands) -> Action:
    """Starts the timer, after it has been stopped."""
    if hands.data["timer"]:
        return hands.tap("Stop")
    return hands.fill(minutes=hands["minutes"]) or hands.tap("Start")


def choose(hands: Hands) -> Action:
    """Looks for the city and adds it."""
    searched = hands.fill(search=hands["city"]) if has_search(hands.phone) else None
    return searched or hands.tap(hands["city"], "city")


def was_set(phone: Phone, values: Values) -> bool:
    """Returns whether the alarm is new, and nothing else."""
    alarm = {"time": values["time"], "label": values["label"], "repeat": False, "on": True}
    return phone.changed_only("clock", alarms=in_order(with_item(phone.at_first("clock")["alarms"], alarm)))


def became(**changes: str | bool) -> Check:
    """Returns a check that the alarm differs in this, texts being names of values, and nothing else was done."""

    def check(phone: Phone, values: Values) -> bool:
        new = {key: values[value] if isinstance(value, str) else value for key, value in changes.items()}
        return phone.changed_only(
            "clock", alarms=in_order(swapped(phone.at_first("clock")["alarms"], values["index"], **new))
        )

    return check


SET = Template(
    "set_alarm",
    (
        "Set an alarm for {time} with label {label}",
        "Add an alarm at {time} with the label {label}",
        "Make an alarm with label {label} at {time}",
    ),
    draw_alarm,
    {**to_tab("Alarms"), "alarms": tapping("Add"), "form": set_up},
    check=was_set,
)
TURN_OFF = Template(
    "turn_off_alarm",
    ("Turn off the {time} alarm", "Switch off the alarm at {time}"),
    lambda rng, phone: one_of(rng, phone, (True,)),
    on_alarm(lambda hands: hands.set("Alarm", False)),
    check=became(on=False),
    absent=none_of,
)
DELETE = Template(
    "delete_alarm",
    ("Delete the {time} alarm", "Remove the alarm at {time}"),
    one_of,
    on_alarm(tapping("Delete")),
    check=lambda phone, values: phone.changed_only(
        "clock", alarms=without(phone.at_first("clock")["alarms"], values["index"])
    ),
    absent=none_of,
)
CHANGE = Template(
    "change_alarm",
    ("Change the alarm from {time} to {new}", "Move the {time} alarm to {new}", "Make the {time} alarm ring at {new}"),
    one_of,
    {
        **on_alarm(tapping("Edit")),
        "form": lambda hands: (hands.fill(time=hands["new"]) or hands.tap("Save")) if is_right(hands) else None,
    },
    check=became(time="new"),
    absent=none_of,
)
TIMER = Template(
    "start_timer",
    ("Start a timer for {minutes} minutes", "Set the timer to {minutes} minutes and start it"),
    lambda rng, phone: {"minutes": str(words.other(rng, (phone.of("clock")["timer"],), range(2, 100)))},
    {**to_tab("Timer"), "timer": set_timer},
    check=lambda phone, values: phone.changed_only("clock", timer=int(values["minutes"])),
)
CITY = Template(
    "add_city",
    ("Add {city} to the world clock", "Show the time in {city} on the world clock"),
    draw_city,
    {**to_tab("World"), "world": tapping("Add"), "cities": choose},
    check=lambda phone, values: phone.changed_only(
        "clock", cities=with_item(phone.at_first("clock")["cities"], values["city"])
    ),
    absent=lambda rng, phone: draw_city(rng, phone, offered=False),
)
LABEL = Template(
    "alarm_label",
    ("What is the label of the {time} alarm?", "What is the {time} alarm for?"),
    one_of,
    on_alarm(lambda hands: hands.say(hands["label"])),
    answer=lambda phone, values: str(values["label"]),
    absent=none_of,
)

APP = register_app(
    App(
        "clock",
        "Clock",
        make,
        {"alarms": alarms, "alarm": alarm, "form": form, "timer": timer, "world": world, "cities": cities},
        templates=(SET, TURN_OFF, DELETE, CHANGE, TIMER, CITY, LABEL),
        permission="show notifications",
    )
)
