"""A live device in one file: a radio, of which there is one alone, with a button for each station."""

from typing import NamedTuple

from envs.uinav.interface.device import DeviceError, Goal, Performed
from envs.uinav.interface.live import LiveDevice
from envs.uinav.interface.screen import Box, Element, Screen

STATIONS = ("Jazz", "News", "Opera", "Sport")


class Seen(NamedTuple):  # the state: which episode it is of, and what was seen after the last action
    episode: int
    station: str


class Radio(LiveDevice):
    def __init__(self):
        self.episode, self.station = 0, ""  # the radio itself, which changes and cannot be copied

    def reset(self, rng, options):
        self.episode, self.station = self.episode + 1, rng.choice(STATIONS)
        wanted = rng.choice([station for station in STATIONS if station != self.station])
        return Seen(self.episode, self.station), Goal("tune", f"Tune the radio to {wanted}", {"station": wanted})

    def screen(self, state):
        boxes = {name: Box(20, 40 + 60 * i, 268, 90 + 60 * i) for i, name in enumerate(STATIONS)}
        elements = tuple(
            Element("option", name, "", name, box, clickable=True, checked=name == state.station)
            for name, box in boxes.items()
        )
        return Screen("Radio", "Stations", elements, elements)

    def perform(self, state, action):
        if state.episode != self.episode:
            raise DeviceError("another episode was begun on the radio")
        if action.kind != "click":
            return Performed(state, str(action), "a radio has buttons and nothing else")
        if not 1 <= action.element <= len(STATIONS):
            return Performed(state, str(action), f"no element {action.element}, the last is {len(STATIONS)}")
        self.station = STATIONS[action.element - 1]
        return Performed(Seen(self.episode, self.station), f"click {self.station}")

    def success(self, state, goal, ending):
        return ending.kind == "done" and state.station == goal.values["station"]
