"""Goals by composition: what is never demonstrated has its words and its elements in what is, and splits by newness."""

import re
from collections import defaultdict
from functools import cache
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.uinav.feedback.weights import demonstrated_weights
from envs.uinav.interface.device import Ending
from envs.uinav.phone import words
from envs.uinav.phone.app import Template, app_of, initial_data, templates_of
from envs.uinav.phone.apps import BUILT_IN, KEPT
from envs.uinav.phone.apps.setup import UNSEEN
from envs.uinav.phone.device import PhoneDevice
from envs.uinav.phone.families import ASK, Asked, questions, wordings
from envs.uinav.phone.widgets import Named
from envs.uinav.task import UINav
from perlhf.errors import UserError

EVERYTHING = templates_of((*BUILT_IN, *KEPT))
KNOWN = templates_of(BUILT_IN)
SHOWN = {name for name, (_, template) in KNOWN.items() if not template.held_out and template.demonstrated}
NOT_SHOWN = sorted(set(EVERYTHING) - SHOWN)
# Words that say nothing of what is to be done.
SMALL = set("a all an and at be by do does for from have how i in into is it its me my of on or that the then this to".split())


def words_of(goals):
    """What a goal says beside its values."""
    return set(re.findall(r"[a-z]+", re.sub(r"\{.*?\}", " ", " ".join(goals)).lower())) - SMALL


@cache
def touched(name):
    """What the oracle clicks, presses long and types into in a template's episodes: how its app calls it."""
    device, found = PhoneDevice((*BUILT_IN, *KEPT), [name]), set()
    for seed in range(40):
        state, goal = device.reset(Random(seed), {"template": name, "feasible": True})
        action = device.oracle(state, goal)
        while action.kind != "done":
            if action.element and state.phone.dialog is None:
                widget = Named(*state.page.front[action.element - 1])
                found.add(widget.name or widget.label.partition(",")[0])
            state = device.perform(state, action).state
            action = device.oracle(state, goal)
    return found

