"""The pages in docs/tasks/ on text tasks: with the same parts, and examples that the code gives."""

import re
from pathlib import Path

import gymnasium as gym
import pytest

from envs.bolt.task import BOLT
from envs.registry import class_of, task_of
from envs.shp.task import SHP
from envs.taskmaster.task import Taskmaster
from envs.text_task import TextTask
from envs.tldr.task import TLDR

PAGES = Path(__file__).parents[1] / "docs" / "tasks"
TASKS = {"BOLT": BOLT, "SHP": SHP, "TLDR": TLDR, "Taskmaster": Taskmaster}
NAMES = sorted(
    name.removeprefix("perlhf/")
    for name in (i for i, spec in gym.registry.items() if "task" in spec.kwargs)
    if name.startswith("perlhf/") and issubclass(class_of(name), TextTask) and not class_of(name).needs_data
)


def page(name):
    return (PAGES / f"{name.removesuffix('-v0').lower()}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_task_has_a_page_with_its_parts_and_the_command_of_its_tables(name):
    text = page(name)
    assert text.startswith(f"# {name}\n")
    assert re.findall("^## (.*)", text, flags=re.M)[:3] == [
        "The real corpus", "The miniature corpus", "What it cannot be won by",
    ]  # fmt: skip
    assert f'gym.make("perlhf/{name}"' in text
    assert f"`python -m evaluation.baselines --env {name}" in text
    assert "licence" in text.lower()
    assert '`"synthetic": true`' in text


EXAMPLES = [
    (name, *found) for name in NAMES for found in re.findall(r"`(\w+)\((?:\"(\w+)\")?\)\.records\[(\d+)\]`", page(name))
]


@pytest.mark.parametrize(("name", "task", "option", "number"), EXAMPLES)
def test_the_examples_are_records(name, task, option, number):
    record = TASKS[task](*filter(None, [option])).records[int(number)]
    assert record.meta["synthetic"] is True
    said = [line for key, value in record._asdict().items() if key != "meta" for line in str(value).split("\n")]
    shown = page(name)
    assert [line for line in said if line and line not in shown] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_rows_of_the_real_format_are_read(name, tmp_path):
    blocks = re.findall(r"(?:^ {4}\S.*\n(?: {5,}.*\n)*)", page(name), flags=re.M)
    row = next(re.sub(r"\n *", " ", block.strip()) for block in blocks if block.strip().startswith(("{", "[{")))
    path = tmp_path / ("rows.json" if row.startswith("[") else "rows.jsonl")
    path.write_text(row + "\n", encoding="utf-8")
    content = task_of(f"perlhf/{name}").source.read(path)
    assert len(content.records) == 1
    assert content.skipped == []


def test_there_are_examples_of_every_task_but_hh():
    assert {name for name, *_ in EXAMPLES} == set(NAMES) - {"HH-v0"}
