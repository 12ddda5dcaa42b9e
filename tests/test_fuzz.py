"""Damaged files and made-up actions: whatever a reader is given, it reads it or refuses it in one line.

In `make test` each reader gets some hundred damaged inputs, the same ones always. Long runs go on with further seeds,
for so many CPU seconds or so many inputs for each reader, or until the first of both:

    PERLHF_FUZZ_SECONDS=60 python -m pytest -m long -s tests/test_fuzz.py
    PERLHF_FUZZ_INPUTS=1000000 python -m pytest -m long -s tests/test_fuzz.py -k trajectory

print how many were read and how many refused, and the most memory that it took.
"""

import itertools
import json
import math
import os
import random
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import yaml
from damage import damage_bytes, damage_fields
from PIL import Image
from written_files import write_table

from backbones.model.loading import SHIPPED
from backbones.role_files import read_provenance, read_tensors
from envs.corpora.images import read_image
from envs.corpora.rows import iter_rows
from envs.preferences.columns import parse_columns
from envs.preferences.rows import RowParser
from envs.registry import parse_env_options
from envs.reward_names import meaning_of
from envs.uinav.dialects import DIALECTS, dialect_of
from envs.uinav.interface.actions import ActionError, parse_action
from envs.uinav.interface.lenient import find_action
from envs.uinav.interface.screen import Box, Element, Screen
from envs.uinav.recordings.files import read_trajectories
from perlhf.errors import UserError
from perlhf.measure import peak_rss_mb
from perlhf.options import option, parse_options
from perlhf.run_folder import read_run_config, write_json
from perlhf.sealed_folder import sealed, verify
from rewards.functions import load_reward_yaml

MOST_MB = 300  # of memory that a reader may take for inputs of at most 100 KB
PARQUET_MB = 3000  # the same of pyarrow, which has room for as much as a damaged page says it is
INPUTS = float(os.environ.get("PERLHF_FUZZ_INPUTS", "inf"))
SECONDS = float(os.environ.get("PERLHF_FUZZ_SECONDS", "60" if math.isinf(INPUTS) else "inf"))
# What tends to end a parser that did not think of it.
ODD = (
    "\x00", "\ufeff", "\ud800", "\u2028", "\r", "\n", "'", '"', "\\", "\\u", "{", "}", "[", "]", "(", ")", ",", ":",
    "#", "&a", "*a", "<<: *a", "!!python/object/apply:os.system", "!!int x", "!!bool x", "!!timestamp x", "2001-13-41",
    "0x_", "0b", "1e999", "-0", "NaN", "Infinity", "null", "~", "9" * 5000, "٣", "½",
    "[" * 3000, '{"a":' * 3000, "- " * 3000,
    "../", "/etc/passwd", "%s", "{0}", "$HOME", "é", "e\u0301", "\U0001f600", " ", "\t", "a" * 10_000,
)  # fmt: skip


def damage_text(text, rng):
    """Deletes, repeats, moves or inserts parts of a text, a few times."""
    for _ in range(rng.randint(1, 4)):
        at, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        end = min(end, at + rng.choice((1, 2, 8, 40)))
        kind = rng.choice(("insert", "delete", "repeat", "replace"))
        odd = rng.choice(ODD) if rng.random() < 0.8 else chr(rng.randrange(0x110000))
        part, times = text[at:end], rng.randint(2, 5)
        middle = {"insert": odd + part, "delete": "", "repeat": part * times, "replace": odd}[kind]
        text = (text[:at] + middle + text[end:])[:100_000]
    return text


def damage_file(content, rng):
    """Damages the bytes of a file, or the text that they are."""
    if rng.random() < 0.5 or not content:
        return damage_bytes(content or b"x", rng)
    return damage_text(content.decode("utf-8", "surrogateescape"), rng).encode("utf-8", "surrogatepass")


def damage_json(content, rng):
    """The same, and of JSON its fields."""
    if rng.random() < 0.5:
        return damage_file(content, rng)
    return json.dumps(damage_fields(json.loads(content), rng)).encode()


def rows_of(path):
    """Reads a file of preferences as the task does."""
    parser = RowParser(parse_columns(""))
    return [parser(row, where, path.suffix == ".csv") for where, row in iter_rows(path)]


def messages(prompt, good, bad):
    """A pair of conversations."""
    said = [[{"role": "assistant", "content": text}] for text in (good, bad)]
    return {"prompt": [{"role": "user", "content": prompt}], "chosen": said[0], "rejected": said[1]}


TEXTS = [{"prompt": "The sky is", "chosen": "blue.", "rejected": "green."},
         {"prompt": "2 + 2 =", "chosen": "4", "rejected": "5"}]  # fmt: skip
CHATS = [messages("What color is the sky?", "Blue.", "Green."), messages("And the sea?", "Blue, too.", "No.")]
LABELS = [{"prompt": "1 + 1 =", "completion": "2", "label": True}, {"prompt": "1 + 2 =", "completion": "2", "label": 0}]


def node(name, bounds, text="", **other):
    """An element of a recorded screen."""
    marks = {"clickable": True, "editable": name == "EditText", "enabled": True, "long_clickable": False}
    seen = {"content_description": "", "resource_id": "", "scrollable": False, "focused": False, "checked": None}
    return {"class": f"android.widget.{name}", "text": text, "bounds": bounds, **seen, **marks, **other}


NAME, GO = node("EditText", [40, 200, 1040, 330]), node("Button", [40, 800, 1040, 930], "Log in")
LOGIN = {
    "episode_id": 7,
    "goal": "Log in as bob",
    "screenshots": [],
    "screenshot_widths": [1080, 1080, 1080],
    "screenshot_heights": [2400, 2400, 2400],
    "accessibility_trees": [[NAME, GO], [{**NAME, "focused": True}, GO], [{**NAME, "text": "bob"}, GO]],
    "actions": [
        {"action_type": "click", "x": 540, "y": 265},
        {"action_type": "input_text", "text": "bob"},
        {"action_type": "click", "x": 41, "y": 801},
    ],
    "step_instructions": ["Tap the name", "Type bob", "Press Log in"],
}


@dataclass
class Options:
    """Options of each type."""

    rate: float = option(1e-3, "a number", above=0)
    steps: int | None = option(5, "a count", low=1)
    name: str = option("run", "a text")
    fast: bool = option(False, "a switch")


CONFIG = "rate: 1e-5\nsteps: 7 # more\nname: 'a b'\nfast: true\n"
RUN = yaml.safe_dump({"env": "HH-v0", "reward": "bundled", "seed": 0, "rate": 0.1, "when": None, "many": [1, {"a": 2}]})
REWARD = yaml.safe_dump([
    {"reward": "bundled", "weight": 1.0},
    {"ensemble": "uncertainty", "members": ["gold", "min(gold, bundled)"], "penalty": 0.5},
    {"reward": "rewards.functions:length_penalty", "weight": 0.1, "target": 30},
])  # fmt: skip


def one_file(name, content, read, damage=damage_file):
    """A fuzzed reader of one file: what makes a folder ready, and what reads a damaged copy of it."""

    def make(folder):
        content(folder / name) if callable(content) else (folder / name).write_text(content)
        sound = (folder / name).read_bytes()

        def run(rng):
            (folder / name).write_bytes(damage(sound, rng))
            read(folder / name)

        return run

    return make


def table(name, rows, damage=damage_file):
    return one_file(name, lambda path: write_table(path, rows), rows_of, damage)


def picture(form):
    """A small picture that is not the same everywhere, in a file of that format."""
    pixels = np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)

    def read(path):
        assert read_image(path).shape[2] == 3

    return one_file("a", lambda path: Image.fromarray(pixels).save(path, form), read, damage_bytes)


def lines(rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def adapter(folder):
    """Reads the files of a reward model's folder, each damaged at times."""
    sound = SHIPPED["tiny"].parents[1] / "rewards" / "bundled" / "hh"
    names = ["perlhf.json", "adapter_config.json", "adapter_model.safetensors", "config.yaml"]
    for name in names:
        shutil.copy(sound / name, folder / name)

    contents = {name: (sound / name).read_bytes() for name in names}

    def run(rng):
        name = rng.choices(names, (5, 5, 5, 1))[0]  # YAML takes ten times as long as the others
        content = contents[name]
        damage = damage_json if name.endswith(".json") else damage_file
        if name.endswith(".safetensors"):  # the header, most of the time
            head, damage = (2000 if rng.random() < 0.9 else len(content)), damage_bytes
            damaged = damage(content[:head], rng) + content[head:]
        else:
            damaged = damage(content, rng)
        (folder / name).write_bytes(damaged)
        if name == "perlhf.json" or rng.random() < 0.1:
            (folder / "perlhf.json").unlink() if rng.random() < 0.3 else None
        try:
            meaning_of(str(folder))
            read_provenance(folder)
            if name == "config.yaml":
                read_run_config(folder)
            if name == "adapter_model.safetensors":
                read_tensors(folder, name)
        finally:
            for each in {name, "perlhf.json"}:
                (folder / each).write_bytes(contents[each])

    return run


def checkpoint(folder):
    """Verifies a sealed folder whose manifest, or file, is damaged; what is not what was sealed never passes."""
    with sealed(folder / "step-1", 1, "checkpoint") as part:
        (part / "state.json").write_text('{"a": 1}')
        (part / "inner").mkdir()
        (part / "inner" / "tensors").write_bytes(bytes(range(100)))
    files = {path: path.read_bytes() for path in sorted((folder / "step-1").rglob("*")) if path.is_file()}
    sealed_before = json.loads((folder / "step-1" / "manifest.json").read_text())

    def run(rng):
        path = rng.choice([*files, folder / "step-1" / "manifest.json"])
        if path.name == "manifest.json" and rng.random() < 0.5:
            write_json(path, damage_fields(sealed_before, rng))
        else:
            path.write_bytes(damage_file(files[path], rng))
        try:
            verify(folder / "step-1", 1, "checkpoint")
            assert all(p.read_bytes() == content for p, content in files.items())
        finally:
            path.write_bytes(files[path])

    return run


def element(kind, label, box, **more):
    return Element(kind, label, "", label, Box(*box), clickable=True, **more)


SCREEN = Screen("Mail", "", (), (
    element("button", "Send", (12, 64, 276, 104)),
    element("field", "Text", (12, 152, 276, 200), editable=True, focused=True),
    element("key", "Enter", (232, 444, 280, 482)),
))  # fmt: skip
SAID = {
    "elements": ["click(1)", 'type(2, "hi")', "scroll(down)", "infeasible()", "answer(7:30)", "open_app(Mail)"],
    "coordinates": ["click(144, 84)", 'type(144, 176, "hi\\n")', "scroll(144, 84, up)", "answer(it's)"],
    "qwen": ['<tool_call>\n{"name": "mobile_use", "arguments": {"action": "click", "coordinate": [144, 84]}}\n'
             "</tool_call>", '{"name": "mobile_use", "arguments": {"action": "click", "coordinate": [500, 170]}}'],
    "ui-tars": ["Thought: x\nAction: click(start_box='(144,84)')", "Action: type(content='hi\\n')",
                "Action: scroll(start_box='(1,2)', direction='down')", "Action: finished(content='x')"],
    "androidworld": ['Reason: x\nAction: {"action_type": "click", "index": 1}', '{"action_type": "status"}'],
    "browsergym": ["click('1')", "fill('2', 'hi')", "scroll(0, 200)", "send_msg_to_user('hi')", "noop()"],
}  # fmt: skip


def actions(name):
    def make(_):
        dialect = dialect_of(name)

        def run(rng):
            said = damage_text(rng.choice(SAID[name.partition(":")[0]]), rng)
            for lenient in (False, True):
                assert isinstance(dialect.reads(said, lenient), bool)
            dialect.touched(said, SCREEN)
            dialect.parse(said, SCREEN, lenient=rng.random() < 0.5)

        return run

    return make


def grammar(_):
    def run(rng):
        said = damage_text(rng.choice(SAID["elements"]), rng)
        parse_action(said) if rng.random() < 0.5 else find_action(said)

    return run


TARGETS = {
    "preferences, jsonl": table("a.jsonl", CHATS),
    "preferences, packed jsonl": table("a.jsonl.gz", TEXTS, damage_bytes),
    "preferences, json": table("a.json", LABELS),
    "preferences, csv": table("a.csv", TEXTS),
    "preferences, fields of json": table("a.json", CHATS, damage_json),
    "preferences, parquet": table("a.parquet", TEXTS, damage_bytes),
    "options": one_file("a.yaml", CONFIG, lambda path: parse_options(Options, ["--config", str(path)])),
    "config of a run": one_file("config.yaml", RUN, lambda path: read_run_config(path.parent)),
    "reward": one_file("reward.yaml", REWARD, load_reward_yaml),
    "options of an env": lambda _: lambda rng: parse_env_options(damage_text("a=1,b=[x],c=2001-01-01,d=0x1f", rng)),
    "trajectory": one_file("a.jsonl", lines([LOGIN, LOGIN]), read_trajectories),
    "fields of a trajectory": one_file("a.jsonl", lines([LOGIN]), read_trajectories, damage_json),
    **{f"picture, {form}": picture(form) for form in ("PNG", "JPEG", "WEBP")},
    "adapter folder": adapter,
    "checkpoint": checkpoint,
    "action grammar": grammar,
    **{f"dialect {name}": actions(name) for name in (*DIALECTS, "qwen:1000", "ui-tars:280x504")},
}


def fuzz(make, folder, seeds):
    """Runs a target on the inputs of these seeds; how many it read and refused, each refusal being one line."""
    run, counts = make(folder), Counter()
    for seed in seeds:
        said = "one line"
        try:
            run(random.Random(seed))
            counts["read"] += 1
        except (UserError, ActionError) as error:
            counts["refused"] += 1
            said = str(error)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
        assert said, seed
        assert "\n" not in said, (seed, said)
    return counts


@pytest.fixture
def folder(tmp_path):
    """A folder in memory, where there is one: a disk takes its time for each of a million files."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as made:
        yield Path(made)


def forget_peak():
    """Makes the peak of memory what is held now; returns it."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_rss_mb()


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_read_or_refused_in_one_line(name, folder):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    counts = fuzz(TARGETS[name], folder, range(200))
    assert counts["read"] > 0
    assert counts["refused"] > 20
    print(f"{name}: {dict(counts)}")


@pytest.mark.long
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_for_long(name, folder, record_property):
    def seeds():
        end = time.process_time() + SECONDS
        for seed in itertools.count(1_000):
            if seed - 1_000 >= INPUTS or time.process_time() >= end:
                return
            yield seed

    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    before = forget_peak()
    counts = fuzz(TARGETS[name], folder, seeds())
    more = peak_rss_mb() - before
    record_property("trials", sum(counts.values()))
    print(f"\n{name}: {sum(counts.values())} inputs, {dict(counts)}, {more:.0f} MB more", flush=True)
    assert more < (PARQUET_MB if name.endswith("parquet") else MOST_MB)
