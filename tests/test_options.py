"""Options from the command line and from YAML, one-line errors, and the folder of a run."""

import dataclasses
import errno
import json
import math
import os
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
import yaml
from command_modules import command_module
from hypothesis import given, settings
from hypothesis import strategies as st

from perlhf import run_lock
from perlhf.errors import DataError, RewardError, UserError, did_you_mean, run_command
from perlhf.options import option, parse_options, to_yaml
from perlhf.run_folder import new_run_folder, read_run_config, read_summary, update_summary, write_json, write_text

ROOT = Path(__file__).parents[1]


@dataclasses.dataclass
class Options:
    """Trains something."""

    learning_rate: float = option(1e-3, "size of a step")
    steps: int = option(5, "how many of them")
    name: str = option("run", "what to call it")
    note: str | None = option(None, "anything")
    limit: float | None = option(None, "no limit by default")
    fast: bool = option(False, "skip what can be skipped")
    checked: bool = option(True, "look twice")
    schedule: Literal["constant", "linear"] = option("linear", "of the rate")


@pytest.fixture
def config(tmp_path):
    """Writes a config file and reads options from it and from a command line."""
    path = tmp_path / "config.yaml"

    def read(text, *arguments):
        path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
        return parse_options(Options, ["--config", str(path), *arguments])

    read.path = path
    return read


def fault(read, *arguments):
    with pytest.raises(UserError) as caught:
        read(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


# The command line


def test_nothing_given_is_the_defaults():
    assert parse_options(Options, []) == Options()


def test_the_command_line_sets_values_of_each_type():
    words = "--learning_rate 1e-5 --steps 7 --name=-x --note hello --limit 2 --fast --checked false --schedule constant"
    assert parse_options(Options, words.split()) == Options(1e-5, 7, "-x", "hello", 2.0, True, False, "constant")


def test_dashes_and_underscores_are_the_same():
    assert parse_options(Options, ["--learning-rate", "2"]).learning_rate == 2.0
    assert parse_options(Options, ["--no-checked"]).checked is False


@dataclasses.dataclass
class Many:
    """Compares."""

    runs: tuple[str, ...] = option((), "the run folders", positional=True)
    output: str = option("both", "the file")
    fast: bool = option(False, "skip what can be skipped")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ((), "both", False)),
        ("a", (("a",), "both", False)),
        ("a b --output x --fast", (("a", "b"), "x", True)),
        ("--output a a b", (("a", "b"), "a", False)),  # a word that is an option's value too
        ("a --output b b c", (("a", "b", "c"), "b", False)),
        ("--runs a b --fast", (("a", "b"), "both", True)),
    ],
)
def test_lone_words_are_the_values_of_an_option_that_takes_many(words, expected):
    assert parse_options(Many, words.split()) == Many(*expected)


def test_an_option_that_takes_many_says_so_and_takes_them_once(capsys):
    assert fault(parse_options, Many, "a --runs b".split()) == "'a' and --runs b are both given; keep one of them."
    with pytest.raises(SystemExit):
        parse_options(Many, ["--help"])
    assert "[RUNS ...] [--OPTION VALUE ...]" in capsys.readouterr().out


def test_the_command_line_of_the_process_is_the_default(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["prog", "--steps", "9"])
    assert parse_options(Options).steps == 9


def test_the_command_line_of_the_process_wins_over_the_file(monkeypatch, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("steps: 3\nname: file\n")
    monkeypatch.setattr(sys, "argv", ["prog", "--steps", "9", "--config", str(path)])
    assert parse_options(Options) == Options(steps=9, name="file")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--learning-rte", "1"], "unknown option --learning-rte. Did you mean '--learning-rate'?"),
        (["--stepss=1"], "unknown option --stepss. Did you mean '--steps'?"),
        (["--learn", "1"], "unknown option --learn."),  # no abbreviations
        (["stray"], "unexpected word 'stray': every value stands behind its option, as in --OPTION VALUE; see --help."),
        (["--steps", "many"], "argument --steps: invalid int value: 'many'"),
        (["--steps", "1.5"], "argument --steps: invalid int value: '1.5'"),
        (["--steps"], "argument --steps: expected one argument"),
        (["--schedule", "cosine"], "argument --schedule: invalid choice: 'cosine' (choose from 'constant', 'linear')"),
        (["--fast", "maybe"], "argument --fast: expected true or false, got 'maybe'"),
    ],
)
def test_a_wrong_command_line_is_one_line(words, message):
    assert fault(parse_options, Options, words).startswith(message)


@dataclasses.dataclass
class Task:
    """What to train on."""

    group: ClassVar[str] = "what to train on"
    env: str = option("HH-v0", "the environment", positional=True)


@dataclasses.dataclass
class Grouped(Task):
    """Options of two dataclasses."""

    group: ClassVar[str] = "how it learns"
    steps: int | None = option(5, "optimizer steps, 100% of them", low=1)
    full: bool = option(False, "train all weights")
    seed: int = option(0, "of everything", low=0, group="the run")


@dataclasses.dataclass
class Looking:
    """Options with a choice that may be none."""

    look: Literal["gold", "score"] | None = option(None, "what is looked at")


@pytest.mark.parametrize("words", ["Toy-v0", "--env Toy-v0", "--steps 9 Toy-v0", "Toy-v0 --full", "--env=Toy-v0"])
def test_a_word_that_stands_alone_is_the_positional_option(words):
    assert parse_options(Grouped, words.split()).env == "Toy-v0"


def test_a_word_may_be_the_value_of_an_option_too():
    assert parse_options(Grouped, ["5", "--steps", "5"]) == Grouped("5", 5)
    assert parse_options(Grouped, ["--steps", "5", "5"]) == Grouped("5", 5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("A-v0 B-v0", "unexpected word 'B-v0': one env at most; see --help."),
        ("A-v0 --env B-v0", "'A-v0' and --env 'B-v0' are both given; keep one of them."),
        ("A-v0 --stepz 3", "unknown option --stepz. Did you mean '--steps'?"),
        ("--full A-v0", "argument --full: expected true or false, got 'A-v0'"),
    ],
)
def test_a_word_too_many_is_one_line(words, message):
    assert fault(parse_options, Grouped, words.split()) == message


def test_help_has_a_heading_for_each_dataclass_or_group(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        parse_options(Grouped, ["--help"], prog="train")
    assert capsys.readouterr().out == (
        "usage: train [ENV] [--OPTION VALUE ...]\n\nOptions of two dataclasses.\n\n"
        "what to train on:\n  --env TEXT           the environment (default: HH-v0)\n\n"
        "how it learns:\n  --steps N            optimizer steps, 100% of them (default: 5)\n"
        "  --full               train all weights\n\n"
        "the run:\n  --seed N             of everything (default: 0)\n\n"
        "help and settings from a file:\n"
        "  --config FILE        a YAML file of these options; the command line wins over it\n"
        "  --allow-code MODULE  a module that files may name code of: SECURITY.md\n"
        "  -h, --help           show this text\n"
    )


@pytest.mark.parametrize("word", ["--full", "--full=true", "--full=True", "--full=YES", "--full=1"])
def test_a_switch_is_turned_on(word):
    assert parse_options(Grouped, [word]).full is True


@pytest.mark.parametrize("word", ["--no-full", "--no_full", "--full=False", "--full=no", "--full=0"])
def test_a_switch_is_turned_off(word):
    assert parse_options(Grouped, ["--full", word]).full is False


def test_a_file_of_defaults_is_chosen_by_what_was_given_and_loses_to_it(tmp_path):
    for name in ("A-v0", "B-v0"):
        (tmp_path / f"{name}.yaml").write_text("steps: 7\nseed: 8\nfull: true\n")
    (tmp_path / "config.yaml").write_text("env: B-v0\nseed: 3\n")
    asked = []

    def defaults(options):
        asked.append(options)
        return tmp_path / f"{options.env}.yaml" if options.env != "HH-v0" else None

    def read(words):
        return parse_options(Grouped, words.split(), defaults=defaults)

    assert read("A-v0") == Grouped("A-v0", 7, True, 8)
    assert read(f"--config {tmp_path}/config.yaml") == Grouped("B-v0", 7, True, 3)
    assert read(f"--config {tmp_path}/config.yaml A-v0 --seed 4 --no-full") == Grouped("A-v0", 7, False, 4)
    assert read("A-v0 --steps none") == Grouped("A-v0", None, True, 8)  # back to what no recipe sets
    (tmp_path / "config.yaml").write_text(to_yaml(Grouped("B-v0", None)))  # as a run writes down that there were none
    assert read(f"--config {tmp_path}/config.yaml") == Grouped("B-v0", None)
    assert read("") == Grouped()
    assert [options.env for options in asked] == ["A-v0", "B-v0", "A-v0", "A-v0", "B-v0", "HH-v0"]
    (tmp_path / "A-v0.yaml").write_text("steps: 7\nstep: 8\n")
    assert fault(read, "A-v0") == f"{tmp_path}/A-v0.yaml:2: unknown key 'step'. Did you mean 'steps'?"


def test_a_choice_that_a_file_of_defaults_makes_is_taken_back(tmp_path):
    (tmp_path / "recipe.yaml").write_text("look: gold\n")
    (tmp_path / "config.yaml").write_text("look: null\n")

    def read(words):
        return parse_options(Looking, words.split(), defaults=lambda options: tmp_path / "recipe.yaml").look

    assert read("") == "gold"
    assert read("--look score") == "score"
    assert read("--look none") is read(f"--config {tmp_path}/config.yaml") is None
    assert fault(read, "--look gulp").startswith("argument --look: invalid choice: 'gulp' (choose from 'gold', 'score'")


def test_reading_options_imports_nothing_heavy():
    code = "import sys, perlhf.options; print([n for n in ('torch', 'transformers') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_help_lists_every_option_with_its_text_and_default(capsys):
    with pytest.raises(SystemExit) as left:
        parse_options(Options, ["--help"], prog="python -m agents.train")
    assert left.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("usage: python -m agents.train")
    assert "Trains something." in shown
    assert "--config" in shown
    for field in dataclasses.fields(Options):
        assert shown.count(f"--{field.name.replace('_', '-')} ") == 1
        assert field.metadata["help"] in shown
    assert "size of a step (default: 0.001)" in shown


# The file


def test_a_file_sets_values_of_each_type(config):
    text = (
        "learning_rate: 0.5\nsteps: 7\nname: a b\nnote: é 🙂\nlimit: 3\nfast: true\nchecked: no\nschedule: constant\n"
    )
    assert config(text) == Options(0.5, 7, "a b", "é 🙂", 3.0, True, False, "constant")


def test_the_command_line_wins_over_the_file(config):
    options = config("steps: 3\nname: file\nfast: true\n", "--steps", "4", "--fast", "false")
    assert options == Options(steps=4, name="file", fast=False)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-5", 1e-5), ("1E-5", 1e-5), ("3", 3.0), ("'0.5'", 0.5), ("-2.5", -2.5)],
)
def test_a_number_in_yaml_is_a_float_however_it_is_written(config, text, value):
    rate = config(f"learning_rate: {text}\n").learning_rate
    assert rate == value
    assert type(rate) is float


@pytest.mark.parametrize("text", [".inf", "-.inf", ".nan", "inf", "-inf", "nan", "1e999"])
def test_infinity_and_nan_are_refused_and_named_with_their_line(config, text):
    message = fault(config, f"steps: 1\nlearning_rate: {text}\n")
    assert message.startswith(f"{config.path}:2: argument --learning-rate: ")
    assert config(f"name: {text}\n").name == text  # a name may be called so


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "1e999"])
def test_infinity_and_nan_are_refused_on_the_command_line(text):
    message = fault(parse_options, Options, [f"--limit={text}"])
    assert message == f"argument --limit: must be a finite number, got {float(text)}"


@dataclasses.dataclass
class Bounded:
    """Numbers with every kind of bound."""

    n_envs: int = option(4, "at least one", low=1)
    share: float = option(0.5, "of a whole", low=0, high=1)
    rate: float | None = option(None, "more than nothing", above=0)
    dropout: float = option(0.0, "not all of it", low=0, below=1)
    seed: int = option(0, "of everything", low=0, high=2**32 - 1)


@pytest.mark.parametrize(
    ("name", "value", "bounds"),
    [
        ("n-envs", "0", ">= 1"),
        ("n-envs", "-3", ">= 1"),
        ("share", "-0.1", ">= 0 and <= 1"),
        ("share", "1.1", ">= 0 and <= 1"),
        ("rate", "0.0", "> 0"),
        ("rate", "-0.001", "> 0"),
        ("dropout", "1.0", ">= 0 and < 1"),
        ("seed", "4294967296", ">= 0 and <= 4294967295"),
        ("seed", "-1", ">= 0 and <= 4294967295"),
    ],
)
def test_a_number_out_of_bounds_is_one_line_with_option_value_and_bound(tmp_path, name, value, bounds):
    expected = f"argument --{name}: must be {bounds}, got {value}"
    assert fault(parse_options, Bounded, [f"--{name}={value}"]) == expected
    path = tmp_path / "c.yaml"
    path.write_text(f"# bounds\n{name}: {value}\n")
    assert fault(parse_options, Bounded, ["--config", str(path)]) == f"{path}:2: {expected}"


def test_numbers_at_their_bounds_are_taken_and_no_number_leaves_the_default():
    words = "--n-envs 1 --share 1 --rate 1e-300 --dropout 0 --seed 4294967295".split()
    assert parse_options(Bounded, words) == Bounded(1, 1.0, 1e-300, 0.0, 4294967295)
    assert parse_options(Bounded, ["--share", "0"]).share == 0.0
    assert parse_options(Bounded, []) == Bounded()


def test_bounds_are_of_what_is_read_not_of_what_is_constructed():
    assert Bounded(n_envs=0).n_envs == 0


COMMANDS = (
    "agents.train_ppo agents.train_sft agents.plan agents.pretrain rewards.train_reward_model rewards.probe "
    "evaluation.evaluate evaluation.baselines evaluation.report evaluation.compare_runs evaluation.reproduce "
    "evaluation.watch evaluation.zero_shot evaluation.audit_reward evaluation.verdicts evaluation.export "
    "evaluation.score_android evaluation.eval_agent evaluation.win_rate evaluation.report_reward_model "
    "agents.check_checkpoints evaluation.lab"
).split()
SIGNS = {
    ">=": lambda value, bound: value >= bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    "<": lambda value, bound: value < bound,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_number_of_a_command_has_bounds_and_a_default_within(command):
    numbers = 0
    for field in dataclasses.fields(command_module(command).Options):
        kinds = {k.strip() for k in getattr(field.type, "__name__", str(field.type)).split("|")}
        if kinds & {"int", "float"}:
            numbers += 1
            assert field.metadata["bounds"], field.name
            for sign, bound in field.metadata["bounds"]:
                assert field.default is None or SIGNS[sign](field.default, bound), field.name
    assert numbers > 0


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("agents.train_ppo", "--n-envs 0"),
        ("agents.train_ppo", "--learning-rate 0"),
        ("agents.train_ppo", "--temperature 0"),
        ("agents.train_ppo", "--kl-coef -0.1"),
        ("agents.train_ppo", "--gae-lambda 1.5"),
        ("agents.train_ppo", "--eval-prompts -1"),
        ("agents.train_ppo", "--seed -1"),
        ("agents.train_sft", "--eval-records 0"),
        ("agents.train_sft", "--lora-alpha 0"),
        ("agents.pretrain", "--steps 0"),
        ("rewards.train_reward_model", "--eval-pairs 0"),
        ("rewards.train_reward_model", "--lora-dropout 1"),
        ("rewards.train_reward_model", "--policy-pairs -1"),
        ("evaluation.evaluate", "--prompts 0"),
        ("evaluation.baselines", "--prompts 0"),
        ("evaluation.report", "--samples -2"),
        ("evaluation.audit_reward", "--prompts 1"),
        ("evaluation.reproduce", "--parallel 0"),
        ("evaluation.score_android", "--show -1"),
        ("evaluation.win_rate", "--temperature -1"),
        ("evaluation.report_reward_model", "--prompts 1"),
    ],
)
def test_commands_refuse_numbers_that_mean_nothing(command, words):
    name, value = words.split()
    message = fault(parse_options, command_module(command).Options, [f"{name}={value}"])
    assert name in message
    assert "must be" in message
    assert f"got {value}" in message


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("agents.train_ppo", "--eval-prompts 0 --kl-coef 0 --ent-coef 0 --gae-lambda 0 --threads 0"),
        ("rewards.train_reward_model", "--policy-pairs 0 --lora-dropout 0"),
        ("evaluation.evaluate", "--samples 0 --show 0"),
    ],
)
def test_commands_take_nought_where_it_means_none(command, words):
    parse_options(command_module(command).Options, words.split())


@pytest.mark.parametrize("empty", ["", "null", "~"])
def test_null_leaves_the_default(config, empty):
    assert config(f"limit: {empty}\nsteps: {empty}\n") == Options()


def test_the_word_null_in_quotes_is_text(config):
    assert config("note: 'null'\n").note == "null"


@pytest.mark.parametrize(
    ("written", "value"), [("true", True), ("True", True), ("yes", True), ("1", True), ("false", False), ("no", False)]
)
def test_booleans_are_read_as_yaml_writes_them(config, written, value):
    assert config(f"fast: {written}\n").fast is value
    assert config(f"checked: {written}\n").checked is value


@pytest.mark.parametrize("text", ["", "# nothing here\n", "\n\n"])
def test_an_empty_file_is_the_defaults(config, text):
    assert config(text) == Options()


def test_keys_may_be_written_with_dashes(config):
    assert config("learning-rate: 2\n").learning_rate == 2.0


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("steps: 1\nlearning_rte: 1\n", 2, "unknown key 'learning_rte'. Did you mean 'learning_rate'?"),
        ("zzz: 1\n", 1, "unknown key 'zzz'. Known: "),
        ("config: other.yaml\n", 1, "unknown key 'config'."),
        ("h: 1\n", 1, "unknown key 'h'. Known: checked, fast, "),
        ("help: 1\n", 1, "unknown key 'help'."),
        ("steps: 1\nname: x\nsteps: 2\n", 3, "key 'steps' is given twice; keep one of them."),
        ("learning_rate: 1\nlearning-rate: 2\n", 2, "key 'learning-rate' is given twice; keep one of them."),
        ("\n\nsteps: many\n", 3, "argument --steps: invalid int value: 'many'"),
        ("steps: 1.5\n", 1, "argument --steps: invalid int value: '1.5'"),
        ("fast: maybe\n", 1, "argument --fast: expected true or false, got 'maybe'"),
        ("schedule: cosine\n", 1, "argument --schedule: invalid choice: 'cosine'"),
        ("steps: 'a\n\n  b'\n", 1, r"argument --steps: invalid int value: 'a\nb'"),
        ("steps: [1]\n", 1, "'steps' takes one value, not a seq."),
        ("name: x\nsteps:\n  - 1\n", 2, "'steps' takes one value, not a seq."),
        ("steps: {a: 1}\n", 1, "'steps' takes one value, not a map."),
        ("name: !!python/object/apply:os.system ['true']\n", 1, "'name' takes one value"),
        ("- steps\n", 1, "expected `option: value` lines."),
        ("just words\n", 1, "expected `option: value` lines."),
        ("[1]: 2\n", 1, "expected `option: value` lines."),
        ("name: x\n? {a: 1}\n: 2\n", 2, "expected `option: value` lines."),
        ("name: x\nsteps: 1: 2\n", 2, "not valid YAML: mapping values are not allowed here"),
        ("name: 'x\n", 2, "not valid YAML: found unexpected end of stream"),
        ("name: *other\n", 1, "not valid YAML: found undefined alias 'other'"),
        ("name: x\n---\nname: y\n", 2, "not valid YAML: but found another document"),
        ("name: x\nnote: \x07\n", 2, "not valid YAML: unacceptable character #x0007"),
        ("[" * 3000, 1, "nested too deeply; expected `option: value` lines."),
    ],
)
def test_a_wrong_file_is_one_line_with_file_and_line(config, text, line, message):
    assert fault(config, text).startswith(f"{config.path}:{line}: {message}")


def test_a_file_that_cannot_be_read_is_named(config, tmp_path):
    assert fault(config, b"name: \xff\n").startswith(f"{config.path}: cannot read the config file: 'utf-8' codec")
    for path, reason in ((tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        message = fault(parse_options, Options, ["--config", str(path)])
        assert message.startswith(f"{path}: cannot read the config file: ")
        assert reason in message


texts = st.text(st.characters(exclude_categories=["Cs"]))
all_options = st.builds(
    Options,
    learning_rate=st.floats(allow_nan=False, allow_infinity=False),
    steps=st.integers(-(2**70), 2**70),
    name=texts,
    note=st.none() | texts,
    limit=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    fast=st.booleans(),
    checked=st.booleans(),
    schedule=st.sampled_from(["constant", "linear"]),
)


def test_options_written_as_yaml_are_read_back_the_same(config):
    @given(all_options)
    @settings(max_examples=300)
    def check(options):
        assert config(to_yaml(options)) == options

    check()


def test_any_text_is_options_or_one_line(config):
    pieces = st.sampled_from(
        ["steps", "name", ": ", "\n", "1", "- ", "[", "{", "'", "&a ", "*a", "!!int ", "|", "---\n", "\t"]
    )

    @given(st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=10))
    @settings(max_examples=300)
    def check(parts):
        try:
            config("".join(parts))
        except UserError as error:
            message = str(error)
        else:
            return
        assert message.startswith(str(config.path))
        assert "\n" not in message

    check()


# Errors of commands


@pytest.mark.parametrize("kind", [UserError, DataError, RewardError])
def test_a_command_prints_a_users_mistake_as_one_line_and_exits_with_2(capsys, kind):
    def main():
        raise kind("f.jsonl:3: field 'chosen' is missing.")

    with pytest.raises(SystemExit) as left:
        run_command(main)
    assert left.value.code == 2
    assert capsys.readouterr() == ("", "error: f.jsonl:3: field 'chosen' is missing.\n")


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/x/a.json"), "runs/x/a.json: No space left on device"),
        (OSError(errno.ENOSPC, "No space left on device"), "[Errno 28] No space left on device"),
        (OSError("first\nsecond"), "first"),
        (OSError(), "OSError"),
    ],
)
def test_a_fault_of_the_disk_is_one_line_with_the_file(capsys, fault, line):
    def main():
        raise fault

    with pytest.raises(SystemExit) as left:
        run_command(main)
    assert left.value.code == 1
    assert capsys.readouterr() == ("", f"error: {line}\n")


def on_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 8 GiB of which 1 is free.")


@pytest.mark.parametrize(
    ("main", "asked"),
    [
        (lambda: torch.empty(1 << 60), ", 4611686018427387904 bytes were asked for"),
        (lambda: np.empty(1 << 58), ", 2.00 EiB were asked for"),
        (lambda: bytearray(1 << 60), ""),
        (on_a_gpu, ", 20.00 MiB were asked for"),
    ],
)
def test_a_lack_of_memory_is_one_line_that_names_what_makes_it_less(capsys, main, asked):
    with pytest.raises(SystemExit) as left:
        run_command(main)
    assert left.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"error: out of memory{asked}; ask for less: a smaller --micro-batch-size, [^\n]*\n", err)


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_a_command_lets_its_own_faults_through(kind):
    def main():
        raise kind("a bug")

    with pytest.raises(kind, match="a bug"):
        run_command(main)


def test_a_command_that_is_interrupted_exits_with_130(capsys):
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as left:
        run_command(main)
    assert left.value.code == 130
    assert capsys.readouterr().err == ""


def test_a_command_that_succeeds_does_not_exit():
    done = []
    run_command(lambda: done.append(1))
    assert done == [1]


def test_the_nearest_name_or_all_names_are_given():
    assert did_you_mean("tain", ["train", "test"]) == " Did you mean 'train'?"
    assert did_you_mean("zzz", ["train", "test"]) == " Known: test, train."
    assert did_you_mean("zzz", []) == ""


# CONTRIBUTING.md


def test_a_hyperparameter_is_the_two_place_diff_of_contributing():
    (diff,) = re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), flags=re.S)
    changed = {}
    for part in re.split(r"^--- a/", diff, flags=re.M)[1:]:
        name, _, *lines = part.splitlines()
        old, new = ("".join(f"{ln[1:]}\n" for ln in lines if ln[0] in signs) for signs in (" -", " +"))
        text = (ROOT / name).read_text(encoding="utf-8")
        assert text.count(old) == 1
        changed[name] = text.replace(old, new)
        assert compile(changed[name], name, "exec")
    assert set(changed) == {"agents/hyperparameters.py", "agents/ppo.py"}
    module = types.ModuleType("hyperparameters")
    sys.modules[module.__name__] = module  # where dataclasses look for the module of a class
    try:
        exec(changed["agents/hyperparameters.py"], vars(module))
        assert parse_options(module.Hyperparameters, ["--advantage-floor", "1e-3"]).advantage_floor == 1e-3
        with pytest.raises(UserError, match="advantage_floor must be > 0, got 0"):
            module.Hyperparameters(advantage_floor=0.0)
    finally:
        del sys.modules[module.__name__]


# The folder of a run


def test_a_new_run_folder_holds_its_config(tmp_path):
    with run_lock.released_after():
        folder = new_run_folder(str(tmp_path / "a" / "b"), "name", Options(steps=9))
    assert folder == tmp_path / "a" / "b"
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    assert read_run_config(folder) == dataclasses.asdict(Options(steps=9))
    assert parse_options(Options, ["--config", str(folder / "config.yaml")]) == Options(steps=9)


def test_a_folder_that_holds_a_run_is_refused_and_kept(tmp_path):
    new_run_folder(str(tmp_path), "name", Options(steps=1))
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    message = fault(new_run_folder, str(tmp_path), "name", Options(steps=2))
    assert message == f"{tmp_path} already holds a run; give another --output-dir, or remove that folder."
    message = fault(new_run_folder, str(tmp_path), "name", Options(steps=2), True)
    assert message == f"{tmp_path} already holds a run; give another --output-dir, or --resume {tmp_path}."
    assert read_run_config(tmp_path)["steps"] == 1


def test_what_a_run_left_that_failed_at_its_start_is_used_again(tmp_path):
    new_run_folder(str(tmp_path), "name", Options(steps=1))
    (tmp_path / "metrics.jsonl").touch()  # opened, and nothing ever written
    assert new_run_folder(str(tmp_path), "name", Options(steps=2)) == tmp_path
    assert read_run_config(tmp_path)["steps"] == 2
    (tmp_path / "checkpoints").mkdir()
    assert "already holds a run" in fault(new_run_folder, str(tmp_path), "name", Options())


def test_an_existing_folder_without_a_run_is_used(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert new_run_folder(str(tmp_path), "name", Options()) == tmp_path
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    assert fault(new_run_folder, str(path), "name", Options()).startswith(f"{path} is a file")
    assert path.read_text() == "mine"


def test_a_folder_below_a_file_is_one_line(tmp_path, capsys):
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(SystemExit) as left:
        run_command(lambda: new_run_folder(str(path / "sub"), "name", Options()))
    assert left.value.code == 1
    assert capsys.readouterr().err == f"error: {path / 'sub'}: Not a directory\n"


def test_runs_without_a_folder_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [str(new_run_folder(None, name, Options())) for name in ("ppo", "ppo", "sft", "ppo")]
    assert folders == ["runs/ppo", "runs/ppo-2", "runs/sft", "runs/ppo-3"]


def test_a_folder_without_a_run_has_no_config(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        assert fault(read_run_config, folder).startswith(f"{folder} holds no run (no config.yaml)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"steps: [\n", "not valid YAML"),
        (b"- steps\n", "expected the `option: value` lines"),
        (b"", "expected the `option: value` lines"),
        (b"name: \xff\n", "not valid YAML"),
    ],
)
def test_a_config_that_is_none_is_one_line(tmp_path, text, message):
    (tmp_path / "config.yaml").write_bytes(text)
    assert fault(read_run_config, tmp_path).startswith(f"{tmp_path / 'config.yaml'}: {message}")


def test_json_is_written_whole_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "new" / "summary.json"
    write_json(path, {"a": 1.5, "b": [1, None, "é"]})
    write_json(path, {"a": 2})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 2}
    assert path.read_text(encoding="utf-8").endswith("}\n")
    assert os.listdir(path.parent) == ["summary.json"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_json_has_no_word_for_and_keeps_the_old_file(tmp_path, value):
    path = tmp_path / "summary.json"
    write_json(path, {"loss": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"loss": value})
    assert json.loads(path.read_text()) == {"loss": 1.0}
    assert os.listdir(tmp_path) == ["summary.json"]


def test_a_full_disk_names_the_file_and_keeps_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_text(path, "old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_text(path, "new")
    assert caught.value.filename == str(path)
    assert os.listdir(tmp_path) == ["summary.json"]
    assert path.read_text() == "old"


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path, seen = tmp_path / "file.txt", []
    write_text(path, "old")
    replace, sync = os.replace, os.fsync

    def watched_sync(descriptor):
        seen.append(("sync", path.read_text()))
        sync(descriptor)

    def watched_replace(source, target):
        seen.append(("replace", path.read_text(), os.path.basename(target), Path(source).read_text()))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_text(path, "new")
    assert seen == [("sync", "old"), ("replace", "old", "file.txt", "new"), ("sync", "new")]


def test_a_summary_keeps_what_is_not_set_again(tmp_path):
    update_summary(tmp_path, gold=0.5, steps=10)
    update_summary(tmp_path, gold=0.75, seconds=3)
    assert json.loads((tmp_path / "summary.json").read_text()) == {"gold": 0.75, "steps": 10, "seconds": 3}


def test_a_summary_forgets_what_is_dropped(tmp_path):
    update_summary(tmp_path, gold=0.5, best_of={"n": 16}, steps=10)
    update_summary(tmp_path, ("gold", "best_of"), gold=0.75)
    assert read_summary(tmp_path) == {"steps": 10, "gold": 0.75}
    assert read_summary(tmp_path / "none") == {}


def test_yaml_of_options_is_plain(tmp_path):
    assert yaml.safe_load(to_yaml(Options())) == dataclasses.asdict(Options())
    assert to_yaml(Options()).startswith("learning_rate: 0.001\nsteps: 5\nname: run\n")
