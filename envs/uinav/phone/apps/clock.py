"""Clock: alarms, a timer, and the time in other cities."""

import re
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import FEW, App, Check, Route, Template, Values, register_app
from envs.uinav.phone.families import CHANGE, DELETE, TURN, Asked, questions, wordings
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.shared_widgets import minutes_of, save_button, tab_rows, time_at
from envs.uinav.phone.state import Phone, ask, go, put, put_item, swapped, with_item, without
from envs.uinav.phone.widgets import Widget, button, check, field, icon, item, text, title, toggle

LABELS = words.Pool(
    (
        "Wake up|Gym|School run|Take pills|Water plants|Call home|Team call|Bake bread|Walk the dog|Laundry|"
        "Lunch break|"
        "Bus to town|Piano practice|Feed the cat|Go to bed|Stretching|Team lunch|Call the bank|Wash the car|Study"
    ).split("|"),
    "Wax floor|Tea time|Jogging|Feed fish|Choir tour|Pick berries|Oven off|Mail letters|Night shift|Sauna|Shave|"
    "Sweep yard".split("|"),
)
CITIES = (
    "Accra|Athens|Auckland|Bogota|Boston|Cairo|Dakar|Delhi|Dublin|Hanoi|Havana|Kyoto|Lima|Madrid|Manila|Milan|Osaka|"
    "Oslo|Paris|Perth|Porto|Quito|San Jose|San Juan|Santiago|Seoul|Tunis|Vienna"
).split("|")


def make(rng: Random) -> dict[str, Any]:
    """Alarms at different times, one of them on at least; cities; sometimes a timer that runs."""
    count = 4 + int(rng.random() * 5)
    labels, lit = words.some(rng, LABELS, count), int(rng.random() * count)
    dark = (lit + 1 + int(rng.random() * (count - 1))) % count  # one is off, too
    minutes, alarms = 300 + 5 * int(rng.random() * 20), []
    for i, label in enumerate(labels):
        minutes += 5 + 5 * int(rng.random() ** 2 * 24)  # often two in the same hour
        on = i == lit or (i != dark and rng.random() < 0.7)
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
    yield text(f"Label {alarm['label']}" if alarm["label"] else "No label", name="label")
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
        there = time_in(city, phone.data["now"])
        hold = (ask, f"Remove {city}?", ("Remove", remove, i), ("Cancel",))
        yield item(f"{city}, {there}", name="city", hold=hold)


def time_in(city: str, now: int) -> str:
    """Returns the time in a city."""
    return time_at(now + 300 * CITIES.index(city))


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


def new_label(rng: Random, phone: Phone) -> str:
    """Returns a label that no alarm has."""
    return words.other(rng, [alarm["label"] for alarm in phone.of("clock")["alarms"]], LABELS)


def none_of(rng: Random, phone: Phone) -> Values:
    """Returns a time at which there is no alarm, and a label that none has."""
    return {"time": new_time(rng, phone), "new": new_time(rng, phone), "label": new_label(rng, phone)}


def draw_city(rng: Random, phone: Phone, offered: bool = True) -> Values:
    """Returns a city that can be added, or one that the list does not have."""
    data = phone.of("clock")
    pool = [city for city in CITIES if city not in data["cities"] and (city in data["offered"]) == offered]
    return {"city": words.pick(rng, pool)}


def shown_city(rng: Random, phone: Phone) -> Values:
    """Returns a city of the world clock, and the time there."""
    data = phone.of("clock")
    at = int(rng.random() * len(data["cities"]))
    city = data["cities"][at]
    return {"city": city, "at": at, "there": time_in(city, data["now"])}


def hidden_city(rng: Random, phone: Phone) -> Values:
    """Returns a city that the world clock does not show."""
    return {"city": words.other(rng, phone.of("clock")["cities"], CITIES)}


def is_right(hands: Hands) -> bool:
    """Returns whether the page is about the alarm of the goal."""
    alarm = hands.data["alarms"][hands.arg] if hands.arg is not None else {}
    return bool(alarm) and (alarm["time"], alarm["label"]) == (hands["time"], hands["label"])


def on_alarm(then: Route, form: Route = lambda hands: None, label: bool = False) -> dict[str, Route]:
    """Routes that open the alarm of the goal, by its time or its label, and do this there, and that in its form."""

    def find(hands: Hands) -> Action:
        is_there = any(alarm["label"] == hands["label"] for alarm in hands.data["alarms"])
        if not label:
            return hands.tap(hands["time"], "alarm")
        return hands.tap(f"{hands['time']}, {hands['label']}" if is_there else hands["label"], "alarm")

    return {
        **to_tab("Alarms"),
        "alarms": find,
        "alarm": lambda hands: then(hands) if is_right(hands) else None,
        "form": lambda hands: form(hands) if is_right(hands) else None,
    }


def to_city(route: Route) -> dict[str, Route]:
    """Routes to the world clock, and this there."""
    return {**to_tab("World"), "world": route}


def say_time(hands: Hands) -> Action:
    """Says the time in the city, once it can be seen."""
    row = hands.tap(hands["city"], "city", hold=True)
    return hands.say(hands["there"]) if row.kind == "long_press" else row


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
    unseen_goals=("Set an alarm at {time} with the label {label}",),
)
AT, CALLED = "the {time} alarm", "the alarm {label}"


def turning(name: str, on: bool, demonstrated: float, of: str = AT, label: bool = False) -> Template:
    """Makes the template of an alarm that is turned on or off."""
    return Template(
        name,
        draw=lambda rng, phone: one_of(rng, phone, (not on,)),
        route=on_alarm(lambda hands: hands.set("Alarm", on), label=label),
        check=became(on=on),
        absent=none_of,
        demonstrated=demonstrated,
        **wordings(name, TURN, of, state="on" if on else "off"),
    )


def deleting(name: str, of: str, label: bool, held_out: bool) -> Template:
    """Makes the template of an alarm that is deleted."""
    return Template(
        name,
        draw=one_of,
        route=on_alarm(tapping("Delete"), label=label),
        check=was_deleted,
        absent=none_of,
        held_out=held_out,
        **wordings(name, DELETE, of),
    )


def was_deleted(phone: Phone, values: Values) -> bool:
    """Returns whether the alarm is gone, and nothing else was done."""
    return phone.changed_only("clock", alarms=without(phone.at_first("clock")["alarms"], values["index"]))


MOVE = Template(
    "change_alarm",
    draw=one_of,
    route=on_alarm(tapping("Edit"), lambda hands: hands.fill(time=hands["new"]) or hands.tap("Save")),
    check=became(time="new"),
    absent=none_of,
    **wordings("change_alarm", CHANGE, AT, ("Move the {time} alarm to {new}",), field="time"),
)
RELABEL = Template(
    "rename_alarm",
    draw=lambda rng, phone: {**one_of(rng, phone), "new": new_label(rng, phone)},
    route=on_alarm(tapping("Edit"), lambda hands: hands.fill(label=hands["new"]) or hands.tap("Save")),
    check=became(label="new"),
    absent=lambda rng, phone: {**none_of(rng, phone), "new": new_label(rng, phone)},
    demonstrated=0,
    **wordings("rename_alarm", CHANGE, AT, field="label"),
)
TIMER = Template(
    "start_timer",
    ("Start a timer for {minutes} minutes", "Set the timer to {minutes} minutes and start it"),
    lambda rng, phone: {"minutes": str(words.other(rng, (phone.of("clock")["timer"],), range(2, 100)))},
    {**to_tab("Timer"), "timer": set_timer},
    check=lambda phone, values: phone.changed_only("clock", timer=int(values["minutes"])),
    demonstrated=FEW,
    unseen_goals=("Start the timer for {minutes} minutes",),
)
CITY = Template(
    "add_city",
    ("Add {city} to the world clock", "Show the time in {city} on the world clock", "Put {city} on the world clock"),
    draw_city,
    to_city(tapping("Add")) | {"cities": choose},
    check=lambda phone, values: phone.changed_only(
        "clock", cities=with_item(phone.at_first("clock")["cities"], values["city"])
    ),
    absent=lambda rng, phone: draw_city(rng, phone, offered=False),
    demonstrated=FEW,
    unseen_goals=("Add the city {city} to the world clock",),
)
LESS_CITY = Template(
    "remove_city",
    draw=shown_city,
    route=to_city(lambda hands: hands.tap(hands["city"], "city", hold=True)),
    check=lambda phone, values: phone.changed_only(
        "clock", cities=without(phone.at_first("clock")["cities"], values["at"])
    ),
    absent=hidden_city,
    demonstrated=FEW,
    **wordings("remove_city", DELETE, "the city {city} on the world clock"),
)
CITY_TIME = questions(
    "the city {city} on the world clock",
    [Asked("city_time", "time", "there", FEW, ("What is the time in {city}?",))],
    shown_city,
    lambda then: to_city(say_time),
    hidden_city,
)
LABEL = questions(AT, [Asked("alarm_label", "label", "label", 0)], one_of, on_alarm, none_of)
TIME = questions(
    CALLED, [Asked("alarm_time", "time", "time", FEW)], one_of, lambda then: on_alarm(then, label=True), none_of
)

APP = register_app(
    App(
        "clock",
        "Clock",
        make,
        {"alarms": alarms, "alarm": alarm, "form": form, "timer": timer, "world": world, "cities": cities},
        templates=(
            SET,
            turning("turn_off_alarm", False, 0),
            turning("turn_off_called", False, 1, CALLED, label=True),
            turning("turn_on_alarm", True, 0),
            deleting("delete_alarm", AT, label=False, held_out=False),
            deleting("delete_called", CALLED, label=True, held_out=True),
            MOVE,
            RELABEL,
            TIMER,
            CITY,
            LESS_CITY,
            *CITY_TIME,
            *LABEL,
            *TIME,
        ),
        permission="show notifications",
    )
)
