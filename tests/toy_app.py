"""An app of one's own, with one task, in one file: a lamp in every room."""

from envs.uinav.phone import words
from envs.uinav.phone.app import App, Template, register_app
from envs.uinav.phone.oracle import tapping
from envs.uinav.phone.state import go, put_item, swapped
from envs.uinav.phone.widgets import item, option, title, toggle

ROOMS = "Kitchen Bedroom Hall Office Bathroom Garage Cellar Attic Garden Porch".split()
COLORS = ("White", "Warm", "Blue", "Green", "Red")


def make(rng):  # the data at first: plain values and tuples, the same for the same generator
    return {"lamps": tuple({"room": room, "on": False, "color": "White"} for room in words.some(rng, ROOMS, 5))}


def lamps(phone):  # the first page
    yield title("Lamps")
    for i, lamp in enumerate(phone.data["lamps"]):
        yield item(f"{lamp['room']}, {lamp['color'] if lamp['on'] else 'off'}", go, "lamp", i, name="lamp")


def lamp(phone):
    shown = phone.data["lamps"][phone.arg]
    yield title(shown["room"])
    yield toggle("Light", shown["on"], put_item, "lamps", phone.arg, {"on": not shown["on"]})
    for color in phone.shuffled(COLORS, "colors"):
        yield option(color, shown["color"] == color, put_item, "lamps", phone.arg, {"color": color})


def draw(rng, phone):  # what a goal is about
    index = int(rng.random() * 5)
    return {"room": phone.of("lamps")["lamps"][index]["room"], "color": words.pick(rng, COLORS[1:]), "index": index}


def is_lit(phone, values):  # the lamp is as wanted, and nothing else has changed
    wanted = {"on": True, "color": values["color"]}
    return phone.changed_only("lamps", lamps=swapped(phone.at_first("lamps")["lamps"], values["index"], **wanted))


def on_lamp(hands):  # what the oracle does on the page of a lamp; None: go back
    if hands.arg != hands["index"]:
        return None
    return hands.set("Light", True) or hands.set(hands["color"], True)


LIGHT = Template(
    "light_lamp",
    ("Light the lamp in the {room} in {color}", "Turn on the {room} lamp and make it {color}"),
    draw,
    {"lamps": tapping("{room}"), "lamp": on_lamp},
    check=is_lit,
)
APP = register_app(App("lamps", "Lamps", make, {"lamps": lamps, "lamp": lamp}, templates=(LIGHT,)))
