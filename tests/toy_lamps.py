"""A very easy app for UI tests: `apps="toy_lamps"`."""

from envs.uinav import words
from envs.uinav.app import App, Template, register_app
from envs.uinav.phone import put
from envs.uinav.widgets import title, toggle

PLACES = ("kitchen", "bedroom", "hall")


def lamps(phone):
    yield title("Lamps")
    for place in phone.shuffled(PLACES, "lamps"):
        yield toggle(place.capitalize(), phone.data[place], put, place, not phone.data[place])


LIGHT = Template(
    "light_lamp",
    ("Light the {place}", "Turn on the lamp of the {place}"),
    lambda rng, phone: {"place": words.pick(rng, PLACES)},
    {"lamps": lambda hands: hands.set(hands["place"].capitalize(), True)},
    check=lambda phone, values: phone.differs("lamps", **{values["place"]: True}),
)
COUNT = Template(
    "count_lamps",
    ("How many lamps are there?",),
    lambda rng, phone: {},
    {"lamps": lambda hands: hands.say("3")},
    answer=lambda phone, values: "3",
)

APP = register_app(
    App("lamps", "Lamps", lambda rng: dict.fromkeys(PLACES, False), {"lamps": lamps}, templates=(LIGHT, COUNT))
)
