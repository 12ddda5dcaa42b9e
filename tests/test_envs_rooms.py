"""Which folder of envs may import which, and that nothing above knows a single task."""

import ast
from pathlib import Path

import pytest
from test_architecture import COMMANDS, FILES, ROOT, imports, module_name, package_name, parse

SHARED = {"envs.corpora", "envs.miniature"}  # readers, and the machine that generates corpora: no world, no contract
CONTRACT = SHARED | {"envs"}
ROOMS = {
    "envs": SHARED,
    "envs.corpora": set(),
    "envs.miniature": {"envs.corpora"},
    "envs.hh": CONTRACT,
    "envs.tldr": CONTRACT,
    "envs.bolt": CONTRACT | {"envs.tldr"},  # the stories that are talked about
    "envs.shp": CONTRACT,
    "envs.preferences": CONTRACT,
    "envs.taskmaster": CONTRACT,
    "envs.vqav2": CONTRACT | {"envs.vqav2.files", "envs.vqav2.scenes"},
    "envs.vqav2.files": SHARED,
    "envs.vqav2.scenes": SHARED,
    "envs.uinav.interface": set(),
    "envs.uinav.phone": {"envs", "envs.uinav.interface"},  # of the contract: how modules with apps are found
    "envs.uinav.phone.apps": {"envs.uinav.interface", "envs.uinav.phone"},
    "envs.uinav.phone.across": {"envs.uinav.interface", "envs.uinav.phone", "envs.uinav.phone.apps"},
    "envs.uinav.dialects": {"envs.uinav.interface"},
    "envs.uinav.observations": {"envs.uinav.interface"},
    "envs.uinav.drawing": {"envs", "envs.uinav.interface"},
    "envs.uinav.recordings": {"envs.corpora", "envs.uinav.interface", "envs.uinav.phone"},
    "envs.uinav.recordings.convert": {"envs.corpora", "envs.uinav.interface", "envs.uinav.recordings"},
    "envs.uinav.browser": {"envs.uinav.interface", "envs.uinav.recordings", "envs.uinav.recordings.convert"},
    "envs.uinav.feedback": CONTRACT | {f"envs.uinav.{room}" for room in ("interface", "phone", "phone.apps")},
    "envs.uinav": CONTRACT
    | {f"envs.uinav.{room}" for room in ("interface", "phone", "phone.apps", "phone.across")}
    | {f"envs.uinav.{room}" for room in ("browser", "dialects", "drawing", "feedback", "observations", "recordings")},
    "envs.uinav.numeric": {"envs", "envs.uinav"}
    | {f"envs.uinav.{room}" for room in ("interface", "phone", "phone.apps", "feedback")},
}
TASKS = {
    "envs.hh",
    "envs.tldr",
    "envs.bolt",
    "envs.shp",
    "envs.taskmaster",
    "envs.vqav2",
    "envs.uinav",
    "envs.preferences",
}
# Who may name a task: what makes the shipped backbones, what acts on a phone, shows or judges who did, and who reads
# pairs from a file; and the lab that writes down all that may happen on a phone.
KNOW_A_TASK = {
    "agents.pretrain",
    "evaluation.agents",
    "evaluation.android",
    "evaluation.constrained",
    "evaluation.labs.credit",
    "evaluation.labs.policy_table",
    "evaluation.reporting",
    "evaluation.reproduce.ui_pixels",
    "evaluation.reward_metrics",
    "evaluation.watch",
}
MODULES = {module_name(path) for path in FILES}


def modules_of(path):
    """The modules of ours that a file imports, those for a type checker left aside."""
    found = set()
    for name in imports(parse(path), package_name(path)):
        while name and name not in MODULES:
            name = name.rpartition(".")[0]
        found |= {name} if name else set()
    return found - {module_name(path)}


def folder_of(module):
    return module if (ROOT / Path(*module.split("."))).is_dir() else module.rpartition(".")[0]


def test_every_room_of_envs_is_listed():
    assert set(ROOMS) == {package_name(path) for path in FILES if module_name(path).split(".")[0] == "envs"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_that_it_may(room):
    used = {folder_of(m) for path in FILES if package_name(path) == room for m in modules_of(path)}
    assert {name for name in used if name.split(".")[0] == "envs"} - {room} <= ROOMS[room]


def test_the_rooms_stand_in_no_circle():
    left = dict(ROOMS)
    while left:
        ground = [room for room, below in left.items() if not below & set(left)]
        assert ground, f"a circle among {sorted(left)}"
        for room in ground:
            del left[room]


def above(path):
    """Whether a file is above envs, or is the registry that commands ask."""
    name = module_name(path)
    return name == "envs.registry" or name.split(".")[0] in ("rewards", "agents", "evaluation")


@pytest.mark.parametrize("path", [p for p in FILES if above(p)], ids=module_name)
def test_nothing_above_knows_a_single_task(path):
    if any(f"{module_name(path)}.".startswith(f"{name}.") for name in KNOW_A_TASK):
        return
    named = {module for module in modules_of(path) for task in TASKS if f"{module}.".startswith(f"{task}.")}
    assert not named
    strings = {node.value for node in ast.walk(parse(path)) if isinstance(node, ast.Constant)}
    assert not {s for s in strings if isinstance(s, str) for task in TASKS if s.startswith(f"{task}.")}


def test_those_who_may_know_a_task_are_there_and_do():
    for name in KNOW_A_TASK:
        used = {m for path in FILES if f"{module_name(path)}.".startswith(f"{name}.") for m in modules_of(path)}
        assert {m for m in used for task in TASKS if f"{m}.".startswith(f"{task}.")}, name
    assert "evaluation.watch" in COMMANDS
