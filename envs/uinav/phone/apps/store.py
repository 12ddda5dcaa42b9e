"""Store: apps to install, which takes a while, to update, to rate and to uninstall."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import FEW, App, Route, Template, Values, register_app
from envs.uinav.phone.families import Asked, questions
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.shared_widgets import tab_rows
from envs.uinav.phone.state import Phone, ask, back, choose, go, matching, put_item, swapped
from envs.uinav.phone.widgets import Widget, button, field, foot_button, item, option, text, title

FIRST = words.Pool(
    "Pixel Cloud Daily Magic Turbo Happy Smart Tiny Rocket Lucky Cosmic Pocket Swift Mellow".split(),
    "Mighty Laser Jolly Brave Zippy Clever Orbit Panda Sonic Honest".split(),
)
SECOND = "Chess Budget Radio Planner Puzzle Recipes Fitness Camera Piano Weather Quiz Diary Scanner".split()
NEEDS = ("camera", "contacts", "location", "microphone")
STARS = ("1 star", "2 stars", "3 stars", "4 stars", "5 stars")
# What kinds of apps there are: not installed, installed, and installed with an update; each phone has all.
STATES = ((False, False), (True, False), (True, True), (True, True), (False, False), (True, False), (False, False))


def make(rng: Random) -> dict[str, Any]:
    """Seven to nine apps with similar names; two or three of them have an update."""
    count = 7 + int(rng.random() * 3)
    firsts, seconds = words.some(rng, FIRST, 4), words.some(rng, SECOND, 5)
    turn = int(rng.random() * count)
    return {"apps": tuple(_app(rng, f"{firsts[i % 4]} {seconds[i % 5]}", (i + turn) % count) for i in range(count))}


def _app(rng: Random, name: str, number: int) -> dict[str, Any]:
    installed, update = STATES[number] if number < len(STATES) else (True, rng.random() < 0.5)
    draw = int(rng.random() * 180 * 20 * 3 * 40)  # one number tells all, since this runs for every new phone
    draw, maker = divmod(draw, 40)
    makers = words.pool_for(rng, words.COMPANIES)
    return {
        "name": name,
        "company": makers[maker % len(makers)],
        "size": 6 + draw % 180,
        "rating": 30 + draw // 180 % 20,
        "wait": 2 + draw // 3600,  # how many actions it takes to install
        "needs": NEEDS[draw % 4] if draw % 5 < 2 else "",
        "installed": installed,
        "update": update,
        "left": 0,  # of the wait
        "stars": 0,
    }


def tick(phone: Phone) -> Phone:
    """Returns the phone where what is being installed or updated is nearer to its end."""
    if not any(app["left"] for app in phone.data["apps"]):
        return phone
    return phone.put(apps=tuple(_nearer(app) if app["left"] else app for app in phone.data["apps"]))


def _nearer(app: Mapping[str, Any]) -> Mapping[str, Any]:
    if app["left"] > 1:
        return {**app, "left": app["left"] - 1}
    return {**app, "left": 0, "installed": True, "update": False}


# Pages


def all_apps(phone: Phone) -> Iterator[Widget]:
    """Yields where to search, and what there is."""
    yield from _APPS
    yield from _rows(phone, phone.shuffled(range(len(phone.data["apps"])), "store list"))


def results(phone: Phone) -> Iterator[Widget]:
    """Yields the apps that were searched for."""
    yield title("Results")
    found = matching([app["name"] for app in phone.data["apps"]], phone.arg)
    yield text(f"{len(found)} found" if found else "No app found")
    yield from _rows(phone, found)


def installed(phone: Phone) -> Iterator[Widget]:
    """Yields the apps that are installed."""
    yield from _INSTALLED
    yield from _rows(phone, [i for i, app in enumerate(phone.data["apps"]) if app["installed"]], manage=True)


def updates(phone: Phone) -> Iterator[Widget]:
    """Yields the apps that have an update."""
    yield from _UPDATES
    waiting = [i for i, app in enumerate(phone.data["apps"]) if app["update"]]
    idle = [i for i in waiting if not phone.data["apps"][i]["left"]]
    yield button("Update all", install, *idle, enabled=bool(idle))
    yield from _rows(phone, waiting)
    if not waiting:
        yield text("All apps are up to date")


def _rows(phone: Phone, indices: Sequence[int], manage: bool = False) -> Iterator[Widget]:
    for i in indices:
        app = phone.data["apps"][i]
        hold = _uninstalling(app, i) if manage else ()
        yield item(f"{app['name']}, {_state(app)}", go, "app", i, name="app", hold=hold)


def _state(app: Mapping[str, Any]) -> str:
    """Returns how far an app is."""
    if app["left"]:
        return f"{100 * (app['wait'] - app['left']) // app['wait']}% done"
    return "update ready" if app["update"] else "installed" if app["installed"] else "not installed"


def _uninstalling(app: Mapping[str, Any], index: int) -> tuple[Any, ...]:
    return (ask, f"Uninstall {app['name']}?", ("Uninstall", uninstall, index), ("Cancel",))


def app_page(phone: Phone) -> Iterator[Widget]:
    """One app."""
    app = phone.data["apps"][phone.arg]
    yield title(app["name"])
    yield text(f"Size {app['size']} MB")
    yield text(f"Rating {app['rating'] / 10}")
    yield text(f"Company {app['company']}")
    yield text(f"Needs your {app['needs']}" if app["needs"] else "Needs no permissions")
    if app["stars"]:
        yield text(f"You gave it {STARS[app['stars'] - 1]}")
    yield text(f"Status {_state(app)}")
    yield from _buttons(phone, app)


def _buttons(phone: Phone, app: Mapping[str, Any]) -> Iterator[Widget]:
    """Yields what can be done with an app as it is."""
    index = phone.arg
    if app["left"]:
        yield button("Stop", put_item, "apps", index, {"left": 0})
    elif not app["installed"]:
        allow = ("Install", install, index)
        asked = (ask, f"Allow {app['name']} to use your {app['needs']}?", ("Allow", *allow[1:]), ("Cancel",))
        yield button("Install", *(asked if app["needs"] else allow[1:]))
    if not app["installed"]:
        return
    buttons = [("Open", go, "running", index), ("Uninstall", *_uninstalling(app, index)), ("Rate", go, "rate", index)]
    if app["update"] and not app["left"]:
        buttons.append(("Update", install, index))
    for label, *tap in phone.shuffled(buttons, "app buttons"):
        yield button(label, *tap, share=2)


def running(phone: Phone) -> Iterator[Widget]:
    """Yields an app that was opened."""
    name = phone.data["apps"][phone.arg]["name"]
    yield title(name)
    yield text(f"Welcome to {name}")
    yield _CLOSE


def rate(phone: Phone) -> Iterator[Widget]:
    """Yields how many stars to give an app."""
    yield title(f"Rate {phone.data['apps'][phone.arg]['name']}")
    chosen = phone.typed("stars")
    for stars in STARS if phone.shuffled((True, False), "stars rise")[0] else STARS[::-1]:
        yield option(stars, stars == chosen, choose, "stars", stars)
    yield foot_button("Submit", submit, phone.arg, chosen, enabled=bool(chosen))


# What the buttons do


def search(phone: Phone) -> Phone:
    """Returns the phone where the apps that match what is typed are listed."""
    query = phone.typed("query")
    return phone.go("results", query) if query else phone.say("Type the name of an app")


def install(phone: Phone, *indices: int) -> Phone:
    """Returns the phone where apps begin to be installed or updated."""
    apps = phone.data["apps"]
    for i in indices:
        apps = swapped(apps, i, left=apps[i]["wait"])
    return phone.put(apps=apps)


def uninstall(phone: Phone, index: int) -> Phone:
    """Returns the phone where an app is not installed any more."""
    return put_item(phone, "apps", index, {**GONE, "left": 0}).say("Uninstalled")


def submit(phone: Phone, index: int, stars: str) -> Phone:
    """Returns the phone where an app has stars."""
    return put_item(phone, "apps", index, {"stars": STARS.index(stars) + 1}).back().say("Thank you")


# What pages show on every phone, made once

_TABS = tab_rows({"Apps": "apps", "Installed": "installed", "Updates": "updates"})
_APPS = (title("Store"), *_TABS["Apps"], field("query", "Search apps", enter=(search,)))
_INSTALLED = (title("Installed"), *_TABS["Installed"])
_UPDATES = (title("Updates"), *_TABS["Updates"])
_CLOSE = button("Close", back)


# Tasks

THERE = {"installed": True, "update": False}
GONE = {"installed": False, "update": False}


def of_state(**wanted: bool) -> Any:
    """Draws an app with these entries, and stars to give it."""

    def draw(rng: Random, phone: Phone) -> Values:
        apps = phone.of("store")["apps"]
        fitting = [i for i, app in enumerate(apps) if all(app[key] == value for key, value in wanted.items())]
        index = words.pick(rng, fitting)
        app = apps[index]
        facts = {"size": f"{app['size']} MB", "rating": str(app["rating"] / 10), "state": _state(app)}
        stars = words.pick(rng, STARS)
        return {"app": app["name"], "index": index, "company": app["company"], **facts, "stars": stars}

    return draw


def no_app(rng: Random, phone: Phone) -> Values:
    """Returns an app that is not in the store, though others have a word of its name."""
    taken = [app["name"].split() for app in phone.of("store")["apps"]]
    first, second = words.other(rng, [name[0] for name in taken], FIRST), words.pick(rng, taken)[1]
    return {"app": f"{first} {second}", "index": None}


def to_search(hands: Hands) -> Action:
    """Searches for the app."""
    return hands.enter("query", hands["app"])


def to_result(hands: Hands) -> Action | None:
    """Opens the app among the results."""
    return hands.tap(hands["app"], "app") if hands.arg == hands["app"] else None


def on_app(label: str) -> Route:
    """On the page of the right app, clicks this, or waits while it is being installed."""

    def route(hands: Hands) -> Action | None:
        if hands.arg != hands["index"]:
            return None
        return Action("wait") if hands.data["apps"][hands.arg]["left"] else hands.tap(label)

    return route


def give_stars(hands: Hands) -> Action | None:
    """Gives the app its stars."""
    return (hands.set(hands["stars"], True) or hands.tap("Submit")) if hands.arg == hands["index"] else None


def after_updates(label: str, name: str = "") -> Route:
    """While there are updates, goes where they are; then clicks this."""

    def route(hands: Hands) -> Action:
        due = any(app["update"] for app in hands.data["apps"])
        return hands.tap("Updates", "tab") if due else hands.tap(label.format(**hands.values), name)

    return route


def update_all(hands: Hands) -> Action:
    """Updates all, and waits for it."""
    apps = hands.data["apps"]
    if any(app["update"] and not app["left"] for app in apps):
        return hands.tap("Update all")
    return Action("wait") if any(app["left"] for app in apps) else hands.tap("Installed", "tab")


def update_them(hands: Hands) -> Action:
    """Updates all, and waits for it."""
    return Action("wait") if any(app["left"] for app in hands.data["apps"]) else hands.tap("Update all")


def on_this(then: Route) -> Route:
    """On the right app, does this."""
    return lambda hands: then(hands) if hands.arg == hands["index"] else None


def open_updated(hands: Hands) -> Action | None:
    """Opens the app once all are updated."""
    due = any(app["update"] for app in hands.data["apps"])
    return hands.tap("Open") if hands.arg == hands["index"] and not due else None


def has_changed(phone: Phone, values: Values, **changes: Any) -> bool:
    """Returns whether the app has changed so, and no other."""
    return phone.changed_only("store", apps=swapped(phone.at_first("store")["apps"], values["index"], **changes))


def are_updated(phone: Phone, values: Values) -> bool:
    """Returns whether no app has an update left, and nothing else was done."""
    return phone.changed_only("store", apps=tuple({**app, "update": False} for app in phone.at_first("store")["apps"]))


def is_open(phone: Phone, values: Values) -> bool:
    """Returns whether the app is open."""
    return (phone.app, phone.page, phone.arg) == ("store", "running", values["index"])


def on_tab(label: str) -> dict[str, Route]:
    """Routes to a tab, and there to the app."""
    tabs: dict[str, Route] = dict.fromkeys(("apps", "installed", "updates"), tapping(label, "tab"))
    return {**tabs, label.lower(): tapping("{app}", "app")}


SEARCHING: dict[str, Route] = {**on_tab("Apps"), "apps": to_search, "results": to_result}

INSTALL = Template(
    "install_app",
    ("Install the app {app}", "Get {app} from the store", "Install {app} from the app store"),
    of_state(installed=False),
    {**SEARCHING, "app": on_app("Install")},
    check=lambda phone, values: has_changed(phone, values, **THERE),
    absent=no_app,
    unseen_goals=("Get the app {app} from the store",),
)
UNINSTALL = Template(
    "uninstall_app",
    ("Uninstall {app}", "Uninstall the app {app} in the store"),
    of_state(installed=True),
    {**on_tab("Installed"), "app": on_app("Uninstall")},
    check=lambda phone, values: has_changed(phone, values, **GONE),
    absent=of_state(installed=False),
    unseen_goals=("Uninstall the app {app}", "Uninstall {app} in the store"),
)
UPDATE = Template(
    "update_app",
    ("Update the app {app}", "Install the update of {app}"),
    of_state(installed=True, update=True),
    {**on_tab("Updates"), "app": on_app("Update")},
    check=lambda phone, values: has_changed(phone, values, **THERE),
    absent=of_state(installed=True, update=False),
    unseen_goals=("Install the update of the app {app}", "Update {app} in the store"),
)
RATE = Template(
    "rate_app",
    ("Rate the app {app} with {stars}", "Give {app} {stars} in the store", "Give the app {app} {stars}"),
    of_state(installed=True),
    {**on_tab("Installed"), "app": on_app("Rate"), "rate": give_stars},
    check=lambda phone, values: has_changed(phone, values, stars=STARS.index(values["stars"]) + 1),
    absent=of_state(installed=False),
    demonstrated=FEW,
    unseen_goals=("Rate {app} with {stars} in the store",),
)
ASKED = questions(
    "the app {app}",
    [
        Asked("app_size", "size", "size", own=("How big is the app {app}?",)),
        Asked("app_rating", "rating", "rating", held_out=True),
        Asked("app_company", "company", "company", own=("Which company makes the app {app}?",)),
        Asked("app_status", "status", "state"),
    ],
    of_state(),
    lambda then: {**on_tab("Apps"), "app": on_this(then)},
    no_app,
)
OPEN = Template(
    "open_from_store",
    ("Open {app} from the store", "Open the app {app} in the store"),
    of_state(installed=True),
    {**on_tab("Installed"), "app": on_app("Open")},
    check=lambda phone, values: is_open(phone, values) and phone.changed_only("store"),
    absent=of_state(installed=False),
    unseen_goals=("Open the app {app} from the store", "Open {app} in the store"),
)
UPDATE_ALL = Template(
    "update_everything",
    (
        "Update all apps",
        "Install all updates in the store",
        "Update all apps in the store",
        "Install all updates of the apps",
        "Get all updates in the store",
    ),
    lambda rng, phone: {},
    {**on_tab("Updates"), "updates": update_them},
    check=are_updated,
    unseen_goals=("Get all updates of the apps in the store",),
)
UPDATE_AND_OPEN = Template(
    "update_all",
    ("Update all apps, then open {app} from the store", "Install all updates in the store, then open the app {app}"),
    of_state(installed=True),
    {
        "apps": after_updates("Installed", "tab"),
        "installed": after_updates("{app}", "app"),
        "updates": update_all,
        "app": open_updated,
    },
    check=lambda phone, values: is_open(phone, values) and are_updated(phone, values),
    held_out=True,
)

APP = register_app(
    App(
        "store",
        "Store",
        make,
        {
            "apps": all_apps,
            "installed": installed,
            "updates": updates,
            "results": results,
            "app": app_page,
            "running": running,
            "rate": rate,
        },
        templates=(INSTALL, UNINSTALL, UPDATE, RATE, *ASKED, OPEN, UPDATE_ALL, UPDATE_AND_OPEN),
        tick=tick,
    )
)
