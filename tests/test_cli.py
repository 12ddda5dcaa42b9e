"""The console script `perlhf`, and the help of every command."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from command_modules import command_module

from perlhf.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PACKAGES = ("envs", "backbones", "rewards", "agents", "evaluation", "integrations")
MODULES = [module for module, _ in COMMANDS.values()]


def perlhf(*words, cwd=None):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-m", "perlhf", *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=cwd, env=environment)


def test_alone_it_lists_every_command_in_a_line():
    done = perlhf()
    assert done.returncode == 0
    for name, (_, what) in COMMANDS.items():
        assert re.search(rf"^  perlhf {name} +{re.escape(what)}$", done.stdout, flags=re.M)
    assert perlhf("--help").stdout == done.stdout


def test_it_knows_every_command_there_is():
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    commands = {path.relative_to(ROOT) for path in paths if '\nif __name__ == "__main__":' in path.read_text()}
    assert {".".join(path.with_suffix("").parts).removesuffix(".__main__") for path in commands} == set(MODULES)


@pytest.mark.parametrize(
    ("word", "hint"),
    [("train_pppo", "Did you mean 'train-ppo'?"), ("zzz", "Known: audit, baselines, checkpoint, compare, ")],
)
def test_an_unknown_command_is_one_line(word, hint):
    done = perlhf(word)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: unknown command {word!r}. {hint}")
    assert done.stderr.count("\n") == 1


def test_it_runs_what_python_m_runs(tmp_path):
    words = ("--task", "star_email", "--oracle", "--seed", "3")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    module = subprocess.run(
        [sys.executable, "-m", "envs.uinav.play", *words], capture_output=True, text=True, timeout=120, env=environment
    )
    script = perlhf("play", *words, cwd=tmp_path)
    assert script.returncode == module.returncode == 0
    assert script.stdout == module.stdout
    assert len(script.stdout.splitlines()) > 10
    assert perlhf("play", "--help").stdout.startswith("usage: perlhf play ")


def test_mistakes_of_a_command_come_through_as_its_own(tmp_path):
    done = perlhf("evaluate", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path / 'none'} holds no run (no config.yaml)")


def test_modules_of_ones_own_are_found_in_the_folder_but_hide_none_of_ours(tmp_path):
    (tmp_path / "my_env.py").write_text("import envs\nenvs.register_task('me/Toy-v0', 'my_env:none')\n")
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from perlhf.cli import main; main()", "baselines", "my_env:me/Tou-v0"],
        capture_output=True, text=True, timeout=120, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "unknown env 'my_env:me/Tou-v0'. Did you mean 'me/Toy-v0'?" in done.stderr


@pytest.fixture
def shown(monkeypatch, capsys):
    """The help of a command on a screen of 100 columns."""

    def help_of(module):
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(sys, "argv", [module, "--help"])
        with pytest.raises(SystemExit) as left:
            command_module(module).main()
        assert left.value.code == 0
        return capsys.readouterr().out

    return help_of


@pytest.mark.parametrize("module", MODULES)
def test_the_help_of_every_command_is_two_screens_with_each_option_once(shown, module):
    text = shown(module)
    assert text.startswith(f"usage: python -m {module} ")
    lines = text.splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 100
    options = re.findall(r"^  (--[a-z-]+)", text, flags=re.M)
    names = [field.name.replace("_", "-") for field in fields(command_module(module).Options)]
    assert sorted(options) == sorted(["--config", "--allow-code", *(f"--{name}" for name in names)])


@pytest.mark.parametrize("module", MODULES)
def test_every_option_is_explained_by_more_than_a_word(module):
    for field in fields(command_module(module).Options):
        text = field.metadata["help"]
        assert not text.startswith("of "), field.name
        assert len(text.split()) > 1, field.name


def least_cpu_seconds(*words):
    """The CPU time of a fresh interpreter, user and system, the least of three runs."""
    seconds = []
    for _ in range(3):
        before = os.times()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, *words], check=True, capture_output=True, env=environment)
        after = os.times()
        seconds.append(sum(after[2:4]) - sum(before[2:4]))
    return min(seconds)


def test_help_that_needs_no_model_is_quick():
    help_seconds = least_cpu_seconds("-m", "envs.uinav.play", "--help")
    # Half a second, or on a slow or busy machine, where it is 1.8 to 2 times what cannot be left out, not much more.
    assert help_seconds < max(0.5, 2.5 * least_cpu_seconds("-c", "import gymnasium"))
