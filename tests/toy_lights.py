"""A very easy app for UI tests: `apps="all+toy_lights"`."""

from envs.uinav.phone import words
from envs.uinav.phone.app import App, Template, register_app
from envs.uinav.phone.state import put
from envs.uinav.phone.widgets import title, toggle

PLACES = ("kitchen", "bedroom", "hall")


def lamps(phone):
    yield title("Lights")
    for place in phone.shuffled(PLACES, "lamps"):
        yield toggle(place.capitalize(), phone.data[place], put, place, not phone.data[place])


LIGHT = Template(
    "switch_light",
    ("Light the {place}", "Turn on the lamp of the {place}"),
    lambda rng, phone: {"place": words.pick(rng, PLACES)},
    {"lights": lambda hands: hands.set(hands["place"].capitalize(), True)},
    check=lambda phone, values: phone.changed_only("lights", **{values["place"]: True}),
)
COUNT = Template(
    "count_lights",
    ("How many lamps are there?",),
    lambda rng, phone: {},
    {"lights": lambda hands: hands.say("3")},
    answer=lambda phone, values: "3",
)

APP = register_app(
    App("lights", "Lights", lambda rng: dict.fromkeys(PLACES, False), {"lights": lamps}, templates=(LIGHT, COUNT))
)
