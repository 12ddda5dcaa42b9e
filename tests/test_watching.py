"""What is seen while something is trained: rows at once, bars in a log, trackers, and why nothing is learned."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import foreign_envs as foreign
import numpy as np
import pytest
import toy_tasks
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.logger import Logger
from tiny_models import gemma

from agents import PPO, make_vec_env
from agents.callbacks import log_formats
from agents.checkpoint import set_state
from agents.diagnosis import ENOUGH, Diagnoses, Facts, diagnose, share_of_actions, together
from agents.gym_vec_env import GymVecEnv
from agents.trackers import TRACKERS, Tracker, finite, hash_of, is_installed, numbers_in, tracked
from backbones.checkpoints import read_checkpoint
from backbones.fit import FitSettings, fit
from backbones.roles import LoRASettings
from envs.uinav.task import UINav
from perlhf.errors import UserError
from perlhf.metrics_log import drop_metrics_after, read_metrics
from perlhf.run_folder import read_json

ROOT = Path(__file__).parents[1]

# Rows.

_BLOCKS = """
import time
from pathlib import Path

calls = 0

def waits(turns):
    "Waits before the third rollout is scored, until there is a file."
    global calls
    calls += 1
    while calls == 3 and not Path("go").exists():
        time.sleep(0.02)
    return [float(len(turn.response) % 5) for turn in turns]
"""


def test_rows_of_a_run_are_there_while_it_runs(tmp_path):
    gemma(tmp_path / "backbone")
    (tmp_path / "slow_reward.py").write_text(_BLOCKS)
    small = "--n-envs 4 --batch-size 2 --max-new-tokens 6 --total-timesteps 16 --eval-prompts 0 --threads 1".split()
    said, bars = tmp_path / "said", tmp_path / "bars"
    run = subprocess.Popen(
        [sys.executable, "-m", "agents.train_ppo", "HH-v0", "--backbone", "backbone", "--reward", "slow_reward:waits",
         "--output-dir", "run", *small],
        cwd=tmp_path, stdout=said.open("w"), stderr=bars.open("w"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    log, deadline = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 120
    try:
        while not log.exists() or log.read_text().count("\n") < 2:
            assert run.poll() is None, bars.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [4, 8]
        assert "] adapters learn: " in said.read_text()
        assert "PPO:   0% 0/16 " in bars.read_text()
        assert run.poll() is None  # it waits for the file, and all this is there
    finally:
        (tmp_path / "go").touch()
        run.wait(timeout=120)
    assert run.returncode == 0, bars.read_text()
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [4, 8, 12, 16]
    last = [line for line in bars.read_text().splitlines() if line.startswith("PPO:")][-1]
    assert last.startswith("PPO: 100% 16/16 ")
    assert "score=" in last
    assert "\r" not in bars.read_text()


def test_rows_of_a_fit_are_there_while_it_runs(tmp_path):
    backbone = gemma(tmp_path / "backbone")
    role = backbone.add_role("policy", LoRASettings(2))
    log, seen = tmp_path / "metrics.jsonl", []

    def loss(chunk, batch):
        seen.append(len(log.read_text().splitlines()))
        return sum(p.sum() for p in role.parameters().values()), {}

    fit(role, [3] * 4, loss, FitSettings(1, 1, 1e-3), np.random.default_rng(0), log)
    assert seen == [0, 1, 2, 3]


def test_half_a_last_line_is_no_row_and_a_damaged_one_is_named(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 4, "a": 0.1}\n{"step": 8, "a": 1e-05}\n{"step": 12, "a')
    assert [row["step"] for row in read_metrics(tmp_path)] == [4, 8]
    drop_metrics_after(tmp_path, 8)
    assert log.read_text() == '{"step": 4, "a": 0.1}\n{"step": 8, "a": 1e-05}\n'
    drop_metrics_after(tmp_path, 4)
    assert log.read_text() == '{"step": 4, "a": 0.1}\n'
    for damaged in ("\x00\x00", "[1]", '{"a": 1}', '{"step": 8, '):
        log.write_text(f'{{"step": 4}}\n{damaged}\n')
        with pytest.raises(UserError, match=r"metrics.jsonl:2: no row of a log, with a step; take this line out"):
            read_metrics(tmp_path)
    drop_metrics_after(tmp_path / "none", 4)


# Bars.


def test_bars_in_a_log_are_whole_lines_at_a_slow_rate(tmp_path):
    code = (
        "from tqdm import tqdm\nfrom perlhf.measure import progress_bar, show_figures\n"
        "with progress_bar(total=3, desc='outer', leave=False) as bar:\n"
        "    for i in range(3):\n"
        "        show_figures(bar, {'loss': f'{i}'})\n"
        "        bar.update(1)\n"
        "    tqdm.write('said')\n"
        "    list(progress_bar(range(1000), desc='inner'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    lines = done.stderr.splitlines()
    assert [line.split(" [")[0] for line in lines] == [
        "outer:   0% 0/3", "inner:   0% 0/1000", "inner: 100% 1000/1000", "outer: 100% 3/3"
    ]  # fmt: skip
    assert lines[-1].endswith("loss=2]")
    assert ("\r" in done.stderr, "\x1b" in done.stderr, done.stdout) == (False, False, "said\n")


# Trackers.


class Remembers(Tracker):
    """A tracker whose rows are a list in this process."""

    name = "remembers"
    rows: list = []
    fails_at = None

    def start(self, config, resumed):
        self.rows.append(("start", self.id, config, resumed))

    def send(self, numbers, step):
        if step == self.fails_at:
            raise ConnectionError("the server is away\nsince noon")
        self.rows.append((step, numbers))

    def end(self, summary, failed):
        self.rows.append(("end", summary, failed))


@pytest.fixture
def remembers(monkeypatch):
    monkeypatch.setitem(TRACKERS, "remembers", Remembers)
    monkeypatch.setattr(Remembers, "rows", [])
    return Remembers


def run_of(folder, steps, before=(), **options):
    """Logs rows at some steps, after those of before, as a run does."""
    with tracked(["remembers"], folder, {"seed": 0, **options}, before) as trackers:
        logger = Logger(None, trackers)
        for step in steps:
            logger.record("a", step / 2)
            logger.record("said", "text")
            logger.record("nan", float("nan"))
            logger.dump(step)
        logger.close()
        trackers[0].finish({"turns": steps[-1]})


def test_a_resumed_run_goes_on_in_its_tracker_and_sends_no_row_twice(remembers, tmp_path):
    run_of(tmp_path, [4, 8, 12])
    name = read_json(tmp_path / "trackers.json")["remembers"]["id"]
    assert remembers.rows == [
        ("start", name, {"seed": 0}, False), (4, {"a": 2.0}), (8, {"a": 4.0}), (12, {"a": 6.0}),
        ("end", {"turns": 12}, False),
    ]  # fmt: skip
    remembers.rows.clear()
    run_of(tmp_path, [8, 12, 16], before=[{"step": 4, "a": 2.0}])  # from the checkpoint at 4: it makes two rows again
    assert remembers.rows == [("start", name, {"seed": 0}, True), (16, {"a": 8.0}), ("end", {"turns": 16}, False)]
    noted = read_json(tmp_path / "trackers.json")["remembers"]
    assert (noted["id"], noted["rows"]) == (name, 4)


def test_more_turns_at_a_constant_learning_rate_leave_rows_as_they_are():
    constant, linear = ({"schedule": schedule, "total_timesteps": 12} for schedule in ("constant", "linear"))
    assert hash_of(constant) == hash_of({**constant, "total_timesteps": 16})
    assert hash_of(linear) != hash_of({**linear, "total_timesteps": 16})


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"learning_rate": 1e-3}, [8, 12, 16]),
        ({"total_timesteps": 16, "schedule": "linear"}, [8, 12, 16]),
        ({"checkpoint_every": 5, "stop_at": ".8"}, [16]),
    ],
)
def test_a_run_resumed_with_other_options_sends_the_rows_that_are_others(remembers, tmp_path, options, sent):
    run_of(tmp_path, [4, 8, 12])
    before = [{"step": 4, "a": 2.0}]
    for last, rows in ((16, sent), (20, [20])):  # the same options again make the same rows
        remembers.rows.clear()
        run_of(tmp_path, range(8, last + 1, 4), before, **options)
        assert [row[0] for row in remembers.rows[1:-1]] == rows


def test_a_tracker_that_is_new_to_a_run_gets_what_was_before(remembers, tmp_path):
    run_of(tmp_path, [8], before=[{"step": 4, "a": 2.0, "b": None}])
    assert remembers.rows[1:3] == [(4, {"a": 2.0}), (8, {"a": 4.0})]


def test_a_tracker_that_refuses_a_row_says_so_once_and_the_run_goes_on(remembers, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Remembers, "fails_at", 8)
    run_of(tmp_path, [4, 8, 12])
    assert remembers.rows[1:] == [(4, {"a": 2.0})]
    assert capsys.readouterr().err == (
        "warning: remembers takes no more rows: the server is away; metrics.jsonl has them all\n"
    )
    monkeypatch.setattr(Remembers, "fails_at", None)
    run_of(tmp_path, [16], before=[{"step": step, "a": step / 2} for step in (4, 8, 12)])
    assert [row[0] for row in remembers.rows[2:]] == ["start", 8, 12, 16, "end"]


def test_a_run_that_fails_is_marked_and_a_tracker_that_cannot_start_is_one_line(remembers, tmp_path, monkeypatch):
    with pytest.raises(ZeroDivisionError), tracked(["remembers"], tmp_path, {}, []):
        _ = 1 / 0
    assert remembers.rows[-1] == ("end", {}, True)
    monkeypatch.setattr(Remembers, "start", lambda *_, **__: 1 / 0)
    with (
        pytest.raises(UserError, match="log format 'remembers' cannot start: division by zero"),
        tracked(["remembers"], tmp_path, {}, []),
    ):
        pass


def test_numbers_are_what_is_finite_and_their_paths():
    assert finite({"a": 1, "b": np.float32(0.5), "c": None, "d": "x", "e": float("inf")}) == {"a": 1.0, "b": 0.5}
    assert numbers_in({"policy": {"gold": 0.5, "groups": {"x": 1}}, "env": "HH-v0"}) == {
        "policy/gold": 0.5, "policy/groups/x": 1.0
    }  # fmt: skip


@pytest.mark.parametrize("name", ["wandb", "trackio", "mlflow"])
def test_a_tracker_that_is_not_installed_is_one_line(name, monkeypatch, tmp_path):
    monkeypatch.setattr("agents.callbacks.is_installed", lambda _: False)
    with pytest.raises(UserError, match=f"log format '{name}' needs a package that is not installed: pip install"):
        log_formats(f"csv, {name}")


def test_a_folder_that_a_tracker_left_behind_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "wandb_of_a_test").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not is_installed("wandb_of_a_test")
    assert is_installed("json")


# Diagnoses.

HEALTHY = Facts(
    responses=64, cut=0.1, limit=64, lowest=-1.0, highest=2.0, episodes=64, group_size=1, has_advantages=True, kl=3.0,
    length=20.0, updates=10,
)  # fmt: skip


def test_a_healthy_rollout_has_no_diagnosis():
    assert diagnose(HEALTHY) == {}


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("cut", {"cut": 0.84}, "84% of the responses were cut at 64 tokens"),
        ("scores", {"lowest": 0.0, "highest": 0.0}, "all scores of the last 64 episodes are 0: "),
        ("actions", {"parsed": 0.0, "sample": "Sure!\x1b[2J I can"},
         r"no action could be parsed in 64 responses, such as 'Sure!\\x1b[2J I can': "),
        ("advantages", {"group_size": 8, "has_advantages": False}, "the 8 episodes of each group score alike"),
        ("kl", {"kl": 0.0}, "the KL to SFT is 0 after 10 updates: the policy has not moved"),
        ("kl", {"kl": 50.0}, "the KL to SFT is 50 nats a response of 20 tokens"),
    ],
)  # fmt: skip
def test_what_is_lost_is_said(kind, change, said):
    found = diagnose(HEALTHY._replace(**change))
    assert list(found) == [kind]
    assert said in found[kind]
    assert "\n" not in found[kind]


def test_equal_scores_are_said_once_not_as_advantages_too():
    nothing = {"lowest": 1.0, "highest": 1.0, "group_size": 8, "has_advantages": False}
    assert list(diagnose(HEALTHY._replace(**nothing))) == ["scores"]


@pytest.mark.parametrize(("score", "kinds"), [(1.0, []), (-1.0, []), (0.0, ["scores"])])
def test_equal_scores_of_turns_are_equal_scores_of_episodes_only_where_they_are_0(score, kinds):
    of_turns = HEALTHY._replace(lowest=score, highest=score, responses=200, episodes=64)
    assert list(diagnose(of_turns)) == kinds


healthy = st.builds(
    Facts, responses=st.integers(ENOUGH, 4096), cut=st.floats(0, 0.5), limit=st.integers(1, 512),
    lowest=st.floats(-100, -0.1), highest=st.floats(0.1, 100), episodes=st.integers(0, 4096),
    group_size=st.integers(1, 16), has_advantages=st.just(True), kl=st.floats(0.001, 10),
    length=st.floats(5, 500), updates=st.integers(0, 1000), parsed=st.none() | st.floats(0.01, 1),
    sample=st.just("click(1)"),
)  # fmt: skip


@given(healthy)
def test_nothing_is_said_of_what_can_be_learned_from(facts):
    assert diagnose(facts) == {}


@given(healthy, st.integers(1, ENOUGH - 1))
def test_nothing_is_said_of_a_few(facts, few):
    lost = {"cut": 1.0, "lowest": 0.0, "highest": 0.0, "has_advantages": False, "parsed": 0.0, "kl": 1e6}
    assert diagnose(facts._replace(responses=few, episodes=few, **lost)) == {}


def test_rollouts_are_taken_together_by_their_responses():
    first = HEALTHY._replace(responses=10, cut=0.0, kl=1.0, length=10.0, lowest=1.0, highest=1.0, episodes=2)
    both = together(first, first._replace(responses=30, cut=0.4, kl=5.0, lowest=0.0, updates=11, length=20.0))
    assert both == first._replace(responses=40, cut=0.3, kl=4.0, length=17.5, lowest=0.0, episodes=4, updates=11)


def test_actions_are_read_as_the_task_reads_them():
    strict, lenient = UINav(), UINav(lenient=True)
    assert share_of_actions(strict, ["click(1)", "so I click(1) here"]) == 0.5
    assert share_of_actions(lenient, ["click(1)", "I would say: click(1)"]) == 1.0
    assert share_of_actions(strict, ["no"] * 40) == 0.0
    assert share_of_actions(toy_tasks.OneTurn(), ["no"]) is None


@pytest.mark.parametrize(
    ("reward", "kinds"), [("toy_tasks:always_one", {"scores", "cut"}), ("toy_tasks:letters", {"cut"})]
)
def test_a_run_says_each_once_and_its_checkpoint_knows(tmp_path, capsys, reward, kinds):
    gemma(tmp_path / "backbone")
    env = make_vec_env("test/OneTurn-v0", 16, seed=0, reward=reward)
    settings = {"backbone": str(tmp_path / "backbone"), "max_new_tokens": 3}
    model = PPO("LoRAPolicy", env, policy_kwargs=settings, seed=0, device="cpu", learning_rate=1e-3)
    model.learn(96, callback=Diagnoses())
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("diagnosis after 32 turns: ")]
    assert len(said) == len(kinds)
    assert model.watched.diagnoses.keys() == kinds
    again = type(model.watched)()
    again.set_state(*model.watched.get_state())
    assert again.diagnoses == model.watched.diagnoses


def test_a_resumed_run_says_its_diagnoses_at_the_same_turn(tmp_path):
    gemma(tmp_path / "backbone")

    def fresh():
        env = make_vec_env("test/OneTurn-v0", 12, seed=0, reward="toy_tasks:always_one")
        settings = {"backbone": str(tmp_path / "backbone"), "max_new_tokens": 3}
        return PPO("LoRAPolicy", env, policy_kwargs=settings, seed=0, device="cpu", batch_size=12)

    killed, resumed = fresh(), fresh()
    killed.learn(24, callback=Diagnoses())  # 24 responses of the 32 that it takes
    assert killed.watched.diagnoses == {}
    killed.save(tmp_path / "saved")
    set_state(resumed, *read_checkpoint(tmp_path / "saved"))
    resumed.learn(12, callback=Diagnoses(), reset_num_timesteps=False)
    assert {kind: said["turns"] for kind, said in resumed.watched.diagnoses.items()} == {"scores": 36, "cut": 36}
    assert "the last 36 episodes" in resumed.watched.diagnoses["scores"]["said"]


def test_envs_without_a_task_are_diagnosed_too(tmp_path):
    gemma(tmp_path / "backbone")
    made = SyncVectorEnv([foreign.Letters] * 4, autoreset_mode=AutoresetMode.DISABLED)
    env = make_vec_env(RecordEpisodeStatistics(made), seed=0)
    assert isinstance(env.unwrapped, GymVecEnv)
    settings = {"backbone": str(tmp_path / "backbone"), "max_new_tokens": 3}
    model = PPO("LoRAPolicy", env, policy_kwargs=settings, seed=0, device="cpu", n_steps=8)
    model.learn(32, callback=Diagnoses())
    assert "cut" in model.watched.diagnoses


class Survives(foreign.Letters):
    """Gives 1 for every turn, over one to three turns."""

    def reset(self, *, seed=None, options=None):
        shown = super().reset(seed=seed)
        self.turns, self.asked = int(self.np_random.integers(1, 4)), ["I"] * 3
        return shown

    def step(self, action):
        shown, _, over, cut, info = super().step(action)
        return shown, 1.0, over, cut, info


def test_an_episode_that_lasts_longer_is_better_where_each_turn_gives_1(tmp_path):
    gemma(tmp_path / "backbone")
    settings = {"backbone": str(tmp_path / "backbone"), "max_new_tokens": 3}
    env = make_vec_env(Survives, 8, seed=0)
    model = PPO("LoRAPolicy", env, policy_kwargs=settings, seed=0, device="cpu", n_steps=16)
    model.learn(128, callback=Diagnoses())
    assert model.watched.diagnoses.keys() == {"cut"}


def test_a_first_rollout_of_hh_has_no_diagnosis():
    model = PPO("LoRAPolicy", "HH-v0", n_envs=64, batch_size=64, seed=0, device="cpu")
    model.learn(64, callback=Diagnoses())
    assert model.watched.diagnoses == {}


def test_every_tracker_is_an_extra_of_the_package():
    text = (ROOT / "pyproject.toml").read_text()
    assert all(f'\n{name} = ["{name}>=' in text for name in TRACKERS)
