"""The bundled reward models, one reward function a task: "rewards.bundled:hh" and so on."""

from functools import partial
from pathlib import Path

from rewards.reward_model import score

_FOLDER = Path(__file__).parent

hh = partial(score, path=str(_FOLDER / "hh"))
tldr = partial(score, path=str(_FOLDER / "tldr"))
shp = partial(score, path=str(_FOLDER / "shp"))
taskmaster_coffee = partial(score, path=str(_FOLDER / "taskmaster_coffee"))
taskmaster_ticketing = partial(score, path=str(_FOLDER / "taskmaster_ticketing"))
uinav = partial(score, path=str(_FOLDER / "uinav"))
vqav2 = partial(score, path=str(_FOLDER / "vqav2"))
