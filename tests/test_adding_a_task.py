"""A new text task is one file and one line: `toy_summaries` is one, docs/adding_a_text_task.md shows it."""

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import toy_summaries
from gymnasium.utils.env_checker import check_env

from agents import train_ppo, train_sft
from envs.miniature.corpus import MiniatureCorpus
from envs.miniature.grammar import Grammar
from envs.registry import env_id, task_of
from perlhf.errors import UserError
from perlhf.run_folder import read_summary
from rewards import train_reward_model

ROOT = Path(__file__).parents[1]
FILE = ROOT / "tests" / "toy_summaries.py"
PAGE = (ROOT / "docs" / "adding_a_text_task.md").read_text(encoding="utf-8")
TOY = "toys/Summaries-v0"
NAMED = f"toy_summaries:{TOY}"  # how a command or gym.make finds it that has not imported the file


def test_it_is_one_file_of_less_than_40_lines_and_one_line_registers_it():
    lines = FILE.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 40
    assert [line for line in lines if "register" in line and "import" not in line] == [lines[-1]]


def test_the_page_shows_this_very_file():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    assert FILE.read_text(encoding="utf-8") == blocks[0]


def test_the_page_trains_as_this_test_does():
    for words in (
        "agents.train_sft --env $T --full --learning-rate 2e-3 --records 1600 --batch-size 16 ",
        "--backbone runs/sft/backbone --pairs 400 --policy-pairs 100 --batch-size 16 ",
        "--reward runs/rm --n-envs 32 --total-timesteps 384 --max-new-tokens 16 ",
    ):
        assert words in PAGE
    assert f"T={NAMED}\n" in PAGE


@pytest.mark.parametrize("name", [TOY, NAMED])
def test_gymnasium_has_nothing_to_say_against_it(name):
    env = gym.make(name, reward="gold")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


def test_it_has_an_oracle_and_good_and_bad_records():
    task = task_of(TOY)
    assert {task.judge(task.turn(i, task.oracle(i))) for i in range(200)} == {1.0}
    assert np.mean([task.gold_margin(pair) for pair in task.records[:500]]) > 0.2
    seen, held_out = ({tuple(r.meta["case"]) for r in task_of(TOY, split=s).records[:500]} for s in ("train", "test"))
    assert len(held_out) > 10
    assert not seen & held_out


# It trains: every stage by its command's own function.


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An SFT start from the shipped backbone, a reward model on it, PPO against that."""
    root = tmp_path_factory.mktemp("trained")
    common = {"env": TOY, "threads": 1}
    backbone = train_sft.train(
        train_sft.Options(
            **common, records=1600, full=True, batch_size=16, learning_rate=2e-3, eval_records=50,
            output_dir=str(root / "sft"),
        )
    )  # fmt: skip
    common["backbone"] = str(backbone)
    train_reward_model.train(
        train_reward_model.Options(
            **common, pairs=400, policy_pairs=100, batch_size=16, eval_pairs=300, output_dir=str(root / "reward")
        )
    )
    train_ppo.train(
        train_ppo.Options(
            **common, reward=str(root / "reward"), total_timesteps=384, n_envs=32, max_new_tokens=16,
            eval_prompts=40, output_dir=str(root / "ppo"),
        )
    )  # fmt: skip
    return SimpleNamespace(**{name: root / name for name in ("sft", "reward", "ppo")})


def test_a_reward_model_learns_it(trained):
    summary = read_summary(trained.reward)
    assert summary["accuracy"]["low"] > 0.7
    assert summary["accuracy"]["low"] > summary["baselines"]["length"]


def test_ppo_raises_the_score_and_gold_too(trained):
    rows = [json.loads(line) for line in (trained.ppo / "metrics.jsonl").read_text().splitlines()]
    for name, least in (("rollout/score", 0.3), ("rollout/gold", 0.1)):
        before, after = (float(np.mean([row[name] for row in part])) for part in (rows[:3], rows[-3:]))
        assert after > before + least, name
    summary = read_summary(trained.ppo)
    assert summary["policy"]["score"] > summary["sft"]["score"] + 0.2
    assert summary["policy"]["gold"] > summary["sft"]["gold"]


# The commands find a file that perlhf knows nothing of.


def run(cwd, *words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)], capture_output=True, text=True, timeout=300, cwd=cwd, env=environment
    )


def test_the_commands_take_an_env_of_a_file_in_this_folder(tmp_path):
    shutil.copy(FILE, tmp_path)
    sizes = "--total-timesteps 8 --n-envs 4 --batch-size 4 --max-new-tokens 8 --eval-prompts 4".split()
    done = run(tmp_path, "agents.train_ppo", "--env", NAMED, *sizes)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "toy_summaries-toys-Summaries-v0-ppo-seed0"
    assert read_summary(folder)["turns"] == 8
    done = run(
        tmp_path, "evaluation.evaluate", "--run", folder, "--prompts", 4, "--validation-prompts", 4, "--samples", 0,
        "--allow-code", "toy_summaries",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_file:me/Toy-v0", "env 'no_such_file:me/Toy-v0': no module named 'no_such_file'."),
        ("toy_summaries.py:me/Toy-v0", "env 'toy_summaries.py:me/Toy-v0': no module named 'toy_summaries.py'."),
        ("toy_summaries:toys/Summary-v0", f"unknown env 'toy_summaries:toys/Summary-v0'. Did you mean '{TOY}'?"),
        (":toys/Summary-v0", "unknown env ':toys/Summary-v0'."),
        ("envs:HH-v1", "unknown env 'envs:HH-v1'. Known: perlhf/BOLT-v0, perlhf/HH-v0, "),
        (".x:HH-v0", "unknown env '.x:HH-v0'."),
    ],
)
def test_a_wrong_name_is_one_line(name, message):
    with pytest.raises(UserError) as caught:
        env_id(name)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_module_in_front_of_an_id_is_taken_off():
    assert env_id(NAMED) == env_id(TOY) == TOY
    assert env_id("envs:perlhf/HH-v0") == env_id("HH-v0") == "perlhf/HH-v0"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("no_such_file:Toy", "task 'no_such_file:Toy': no module named 'no_such_file'."),
        ("toy_summaries:ToySummary", "toy_summaries has no 'ToySummary'. Did you mean 'ToySummaries'?"),
        ("toy_summaries:PostGrammar", "task 'toy_summaries:PostGrammar' is no class of tasks;"),
    ],
)
def test_a_task_that_is_not_there_is_one_line(task, message):
    with pytest.raises(UserError) as caught:
        gym.make(TOY, task=task)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# A grammar that cannot work says so instead of drawing for ever.


class Silent(toy_summaries.PostGrammar):
    def draw_response(self, case, rng):
        return "I lost something."


class OnePost(toy_summaries.PostGrammar):
    def draw_case(self, rng, unseen):
        return toy_summaries.Post(0, 0)


@pytest.mark.parametrize(
    ("grammar", "message"),
    [(Silent(), "responses drawn to Post.* are the same"), (OnePost(), "cases drawn is in split")],
)
def test_a_grammar_with_too_little_in_it_is_one_line(grammar, message):
    with pytest.raises(UserError, match=f"^{type(grammar).__name__}: .*{message}"):
        [MiniatureCorpus(grammar, split)[0] for split in ("train", "validation", "test")]


def test_by_default_the_whole_case_says_the_split():
    folds = [Grammar.fold(None, (number, "a")) for number in range(5000)]
    assert set(folds) == set(range(10))
    assert np.bincount(folds).min() > 400
    assert Grammar.fold(None, (np.int64(3), "a")) == folds[3]


@pytest.mark.parametrize(("name", "content"), [("my_task", "import my"), ("my_other", "import no_such_thing")])
def test_what_a_module_itself_misses_is_its_own_error(tmp_path, monkeypatch, name, content):
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError):
        env_id(f"{name}:me/T-v0")
