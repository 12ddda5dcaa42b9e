"""Maps: places to find, to save and to be led to."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import FEW, App, Route, Template, Values, register_app
from envs.uinav.phone.families import Asked, questions
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.shared_widgets import tab_rows
from envs.uinav.phone.state import Phone, ask, choose, go, matching, with_item
from envs.uinav.phone.widgets import Widget, button, field, foot_button, icon, item, option, text, title

NAMES = words.Pool(
    "Luna Harbor Garden Royal Sunny Corner Silver Maple River Grand Olive Castle Lotus Pearl".split(),
    "Comet Willow Jasmine Bronze Meadow Velvet Falcon Orchid Cedar Summit".split(),
)
KINDS = "Cafe Museum Hotel Bakery Library Gym Pharmacy Cinema Market Theater Clinic".split()
MODES = {"car": 2, "bus": 4, "bike": 5, "foot": 13}  # minutes for a kilometer
OPENINGS = ("7:00", "7:30", "8:00", "8:30", "9:00", "10:00")
TURNS = ("Turn left onto {} Street", "Turn right onto {} Street", "Stay on {} Street", "Cross {} Street")


def make(rng: Random) -> dict[str, Any]:
    """Eight or nine places, nearest first, some with the same first or last word; three of them saved."""
    count = 8 + (rng.random() < 0.5)
    firsts, kinds = words.some(rng, NAMES, 4), words.some(rng, KINDS, 5)
    places = tuple(_place(rng, i, f"{firsts[i % 4]} {kinds[i % 5]}") for i in range(count))
    return {"places": places, "saved": tuple(words.some(rng, range(count), 3)), "trip": None}


def _place(rng: Random, number: int, name: str) -> dict[str, Any]:
    draw = int(rng.random() * 98 * 10 * 7 * 84 * 10_000)  # one number tells all, since this runs for every new phone
    draw, line = divmod(draw, 10_000)
    draw, minutes = divmod(draw, 84)
    draw, house = divmod(draw, 98)
    return {
        "name": name,
        "address": f"{1 + house} {words.STREETS[draw % 10]} Street",
        "phone": f"555 {line:04d}",
        "rating": f"{3 + line % 20 / 10:.1f}",
        "meters": 700 * number + 100 * (1 + draw // 10),
        "opens": OPENINGS[draw % 6],
        "closes": f"{16 + minutes // 12}:{minutes % 12 * 5:02d}",
    }


# Pages


def explore(phone: Phone) -> Iterator[Widget]:
    """Yields where to search, and the places near by."""
    yield from _EXPLORE
    yield from _rows(phone, range(len(phone.data["places"])))


def results(phone: Phone) -> Iterator[Widget]:
    """Yields the places that were searched for."""
    yield title("Results")
    found = matching([place["name"] for place in phone.data["places"]], phone.arg)
    yield text(f"{len(found)} found" if found else "No such place near you")
    yield from _rows(phone, found)


def saved(phone: Phone) -> Iterator[Widget]:
    """Yields the places that were saved."""
    yield from _SAVED
    for i in phone.data["saved"]:
        place = phone.data["places"][i]
        yield item(f"{place['name']}, {place['address']}", go, "place", i, name="place", hold=_removal(phone, i))
    if not phone.data["saved"]:
        yield text("Nothing saved yet")


def _rows(phone: Phone, indices: Sequence[int]) -> Iterator[Widget]:
    for i in indices:
        place = phone.data["places"][i]
        yield item(f"{place['name']}, {_distance(place['meters'])}", go, "place", i, name="place")


def _distance(meters: int) -> str:
    return f"{meters / 1000:.1f} km"


def _removal(phone: Phone, index: int) -> tuple[Any, ...]:
    name = phone.data["places"][index]["name"]
    return (ask, f"Remove {name} from your saved places?", ("Remove", save, index, False), ("Cancel",))


def place(phone: Phone) -> Iterator[Widget]:
    """One place."""
    shown = phone.data["places"][phone.arg]
    yield title(shown["name"])
    yield icon("Share", share, phone.arg)
    for name, label in phone.shuffled(_LINES, "place lines"):
        yield text(f"{label} {shown[name]}", name=name)
    yield text(f"Distance {_distance(shown['meters'])}")
    is_saved = phone.arg in phone.data["saved"]
    change = ("Remove", *_removal(phone, phone.arg)) if is_saved else ("Save", save, phone.arg, True)
    for label, *tap in phone.shuffled((change, ("Directions", go, "directions", phone.arg)), "place buttons"):
        yield button(label, *tap, share=2)


def directions(phone: Phone) -> Iterator[Widget]:
    """Ways to travel to a place."""
    shown = phone.data["places"][phone.arg]
    yield title("Directions")
    yield text("From your location")
    yield text(f"To {shown['name']}")
    chosen = phone.typed("mode", "car")
    for mode in phone.shuffled(tuple(MODES), "modes"):
        yield option(mode, mode == chosen, choose, "mode", mode, share=4)
    yield text(f"{1 + shown['meters'] * MODES[chosen] // 1000} min, {_distance(shown['meters'])}")
    yield foot_button("Start", start, phone.arg, chosen)


def trip(phone: Phone) -> Iterator[Widget]:
    """Yields what to do on the way."""
    to, mode = phone.arg
    yield title(f"To {phone.data['places'][to]['name']}")
    yield text(f"By {mode}")
    rng = phone.rng(f"way to {to}")
    for turn in words.some(rng, TURNS, 3):
        yield text(turn.format(words.pick(rng, words.STREETS)))
    yield _END


# What the buttons do


def search(phone: Phone) -> Phone:
    """Returns the phone where the places that match what is typed are listed."""
    query = phone.typed("query")
    return phone.go("results", query) if query else phone.say("Type the name of a place")


def save(phone: Phone, index: int, on: bool) -> Phone:
    """Returns the phone where a place is saved, or no more."""
    rest = tuple(i for i in phone.data["saved"] if i != index)
    return phone.put(saved=with_item(rest, index) if on else rest).say("Saved" if on else "Removed")


def share(phone: Phone, index: int) -> Phone:
    """Returns the phone with a note that the address can be pasted."""
    return phone.say("Address copied")


def start(phone: Phone, index: int, mode: str) -> Phone:
    """Returns the phone where it leads to a place."""
    return phone.put(trip={"to": index, "mode": mode}).go("trip", (index, mode))


def end(phone: Phone) -> Phone:
    """Returns the phone where it leads nowhere."""
    return phone.to_start().put(trip=None).say("Trip ended")


# What pages show on every phone, made once

_TABS = tab_rows({"Explore": "explore", "Saved": "saved"})
_EXPLORE = (title("Maps"), *_TABS["Explore"], field("query", "Search places", enter=(search,)))
_SAVED = (title("Saved"), *_TABS["Saved"])
_END = foot_button("End", end)
_LINES = (
    ("address", "Address"),
    ("opens", "Opens at"),
    ("closes", "Closes at"),
    ("phone", "Phone"),
    ("rating", "Rating"),
)


# Tasks


def one_place(rng: Random, phone: Phone) -> Values:
    """Returns a place, and a way to go there."""
    places = phone.of("maps")["places"]
    index = int(rng.random() * len(places))
    place = places[index]
    away = _distance(place["meters"])
    return {**place, "index": index, "place": place["name"], "away": away, "mode": words.pick(rng, tuple(MODES))}


def of_saved(is_saved: bool) -> Any:
    """Draws a place that is saved, or one that is not."""

    def draw(rng: Random, phone: Phone) -> Values:
        data = phone.of("maps")
        index = words.pick(rng, [i for i in range(len(data["places"])) if (i in data["saved"]) == is_saved])
        return {"index": index, "place": data["places"][index]["name"]}

    return draw


def no_place(rng: Random, phone: Phone) -> Values:
    """Returns a place that is not there, though others have a word of its name."""
    taken = [place["name"].split() for place in phone.of("maps")["places"]]
    first, kind = words.other(rng, [name[0] for name in taken], NAMES), words.pick(rng, taken)[1]
    return {"place": f"{first} {kind}", "index": None, "mode": words.pick(rng, tuple(MODES))}


def to_search(hands: Hands) -> Action:
    """Searches for the place."""
    return hands.enter("query", hands["place"])


def to_place(hands: Hands) -> Action | None:
    """Opens the place among the results."""
    return hands.tap(hands["place"], "place") if hands.arg == hands["place"] else None


def on_place(label: str) -> Route:
    """On the right place, clicks this."""
    return lambda hands: hands.tap(label) if hands.arg == hands["index"] else None


def on_this(then: Route) -> Route:
    """On the right place, does this."""
    return lambda hands: then(hands) if hands.arg == hands["index"] else None


def choose_and_start(hands: Hands) -> Action | None:
    """Chooses how to travel, and starts."""
    return (hands.set(hands["mode"], True) or hands.tap("Start")) if hands.arg == hands["index"] else None


def is_on_trip(phone: Phone, values: Values) -> bool:
    """Returns whether it leads to the place as wanted, and nothing else was done."""
    return phone.changed_only("maps", trip={"to": values["index"], "mode": values["mode"]})


def is_saved(phone: Phone, values: Values) -> bool:
    """Returns whether the place is saved too, and nothing else was done."""
    return phone.changed_only("maps", saved=with_item(phone.at_first("maps")["saved"], values["index"]))


def was_removed(phone: Phone, values: Values) -> bool:
    """Returns whether the place is saved no more, and nothing else was done."""
    return phone.changed_only("maps", saved=tuple(i for i in phone.at_first("maps")["saved"] if i != values["index"]))


SEARCHING: dict[str, Route] = {"explore": to_search, "saved": tapping("Explore"), "results": to_place}
LOOKING: dict[str, Route] = {"explore": tapping("{place}", "place"), "saved": tapping("Explore")}

DIRECTIONS = Template(
    "get_directions",
    ("Start directions to {place} by {mode}", "Take me to {place} by {mode}", "Navigate to the {place} by {mode}"),
    one_place,
    {**SEARCHING, "place": on_place("Directions"), "directions": choose_and_start},
    check=is_on_trip,
    absent=no_place,
    unseen_goals=("Take me to the {place} by {mode}",),
)
SAVE = Template(
    "save_place",
    ("Save {place} in Maps", "Add the {place} to the saved places", "Save the place {place}"),
    of_saved(False),
    {**LOOKING, "place": on_place("Save")},
    check=is_saved,
    absent=no_place,
    unseen_goals=("Add {place} to my saved places in Maps",),
)
ASKED = (
    *questions(
        "the place {place}",
        [Asked("place_address", "address", "address"), Asked("place_phone", "phone number", "phone", held_out=True)],
        one_place,
        lambda then: {**SEARCHING, "place": on_this(then)},
        no_place,
    ),
    *questions(
        "the place {place}",
        [
            Asked("place_hours", "closing time", "closes", own=("When does the {place} close?",)),
            Asked("place_opens", "opening time", "opens", FEW, ("When does the {place} open?",)),
            Asked("place_rating", "rating", "rating", FEW),
            Asked("place_distance", "distance", "away", FEW, ("How far is the {place}?",)),
        ],
        one_place,
        lambda then: {**LOOKING, "place": on_this(then)},
        no_place,
    ),
)
REMOVE = Template(
    "remove_saved",
    (
        "Remove {place} from the saved places",
        "Delete the {place} from my saved places in Maps",
        "Take {place} away from the saved places",
    ),
    of_saved(True),
    {"explore": tapping("Saved"), "saved": tapping("{place}", "place"), "place": on_place("Remove")},
    check=was_removed,
    absent=of_saved(False),
    unseen_goals=("Get rid of the saved place {place}",),
)

APP = register_app(
    App(
        "maps",
        "Maps",
        make,
        {
            "explore": explore,
            "results": results,
            "saved": saved,
            "place": place,
            "directions": directions,
            "trip": trip,
        },
        templates=(DIRECTIONS, SAVE, *ASKED, REMOVE),
        permission="use your location",
    )
)
