"""PPO in several processes gives what one process gives: weights, figures and responses, and checkpoints too."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from in_processes import train
from safetensors.torch import load_file
from tiny_models import save_gemma, save_seeing_gemma

from agents import PPO, make_vec_env
from agents.processes import require_same_command, require_same_model_and_data
from agents.train_ppo import Options
from backbones import group
from backbones.backbone import Backbone
from envs.hh.task import HH
from perlhf.errors import UserError

TESTS = Path(__file__).parent
HALF = {"lora_layers": "half", "value_adapter": "shared"}
# Each of three rollouts. Rates are higher than anybody's, so that weights move.
CASES = {
    "HH": {
        "env": "HH-v0", "backbone": "gemma", "turns": 24, "batch_size": 3, "n_epochs": 2, "normalize_scores": True,
        "kl_target": 1.0, "kl_horizon": 50, "learning_rate": 3e-3, "ent_coef": 0.01,
    },
    "HH, trunk": {
        "env": "HH-v0", "backbone": "gemma", "turns": 24, "batch_size": 4, "learning_rate": 3e-3,
        "policy_kwargs": HALF, "env_options": {"reward": "in_processes:letters"},
    },
    "HH, stopped early": {
        "env": "HH-v0", "backbone": "gemma", "turns": 16, "batch_size": 4, "learning_rate": 1e-2, "n_epochs": 4,
        "target_kl": 1e-3, "env_options": {"reward": "in_processes:letters"},
    },
    "UINav": {
        "env": "UINav-v0", "backbone": "gemma", "turns": 48, "n_steps": 3, "batch_size": 8, "learning_rate": 3e-3,
    },
    "cut and broken episodes": {
        "env": "test/Troubled-v0", "backbone": "gemma", "turns": 72, "n_steps": 3, "batch_size": 8, "gamma": 0.9,
        "learning_rate": 3e-3, "env_options": {"reward": "in_processes:letters", "max_episode_steps": 2},
    },
    "groups of broken episodes": {
        "env": "test/Troubled-v0", "backbone": "gemma", "turns": 40, "algorithm": "rloo", "group_size": 2,
        "frontier": 0.5, "batch_size": 8, "learning_rate": 3e-3,
        "env_options": {"reward": "in_processes:letters", "max_episode_steps": 2},
    },
    "VQAv2": {"env": "VQAv2-v0", "backbone": "sees", "turns": 24, "batch_size": 4, "learning_rate": 3e-3},
    "VQAv2, trunk": {
        "env": "VQAv2-v0", "backbone": "sees", "turns": 16, "batch_size": 4, "learning_rate": 3e-3,
        "policy_kwargs": HALF,
    },
}  # fmt: skip

# In half precision a sum in another order is another number: weights are not equal to 1e-5.
MIXED = {
    "env": "HH-v0", "backbone": "gemma", "turns": 16, "batch_size": 8, "learning_rate": 3e-3,
    "policy_kwargs": {"precision": "mixed", **HALF}, "env_options": {"reward": "in_processes:letters"},
}  # fmt: skip


def launch(count, jobs):
    """Trains in `count` processes, one job after the other; a job is the arguments of `in_processes.train`."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    paths = [str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    shared["PYTHONPATH"] = os.pathsep.join(paths)
    command = [sys.executable, str(TESTS / "in_processes.py"), json.dumps(jobs)]
    started = [
        subprocess.Popen(command, env={**os.environ, **shared, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(count)
    ]
    try:
        for process in started:
            _, errors = process.communicate(timeout=900)  # of a machine that does much else
            assert process.returncode == 0, errors
    finally:
        for process in started:
            process.kill()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with what one process and what two give, for every case."""
    root = tmp_path_factory.mktemp("processes")
    save_gemma(root / "gemma")
    save_seeing_gemma(root / "sees")
    for name in CASES:
        train(**job(root, name, "1"))
    mixed = {**MIXED, "backbone": str(root / "gemma"), "out": str(root / "mixed")}
    launch(2, [*(job(root, name, "2") for name in CASES), job(root, "HH", "2 first", turns=8), mixed])
    return root


def job(root, name, out, **changed):
    case = {**CASES[name], **changed}
    return {**case, "backbone": str(root / case["backbone"]), "out": str(root / name / out)}


def resumed(root, name, before, out, turns=8):
    case = {key: CASES[name][key] for key in ("env", "env_options") if key in CASES[name]}
    return {
        **case, "backbone": "", "turns": turns, "checkpoint": str(root / name / before / "checkpoint"),
        "out": str(root / name / out),
    }  # fmt: skip


def assert_alike(first, second, rows=slice(None)):
    """Weights and logged figures to 1e-5, and responses."""
    weights, others = (load_file(folder / "weights.safetensors") for folder in (first, second))
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, others[name], atol=1e-5, rtol=0)
    said, others = (json.loads((folder / "said.json").read_text()) for folder in (first, second))
    assert said["responses"][rows] == others["responses"]
    logged, others = (
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] for folder in (first, second)
    )
    for row, other in zip(logged[rows], others, strict=True):
        assert row.keys() == other.keys()
        figures = [name for name in row if not name.startswith("time/") or name == "time/total_timesteps"]
        numbers, expected = ([float("nan") if r[n] is None else r[n] for n in figures] for r in (other, row))
        np.testing.assert_allclose(numbers, expected, rtol=1e-5, atol=1e-5, err_msg=str(figures))


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_what_one_gives(root, name):
    assert_alike(root / name / "1", root / name / "2")


def test_the_cases_are_what_they_are_called(root):
    def rows(name):
        return [json.loads(line) for line in (root / name / "1" / "metrics.jsonl").read_text().splitlines()]

    def steps(name):
        return len(json.loads((root / name / "2" / "said.json").read_text())["bytes"])

    preflight = 4  # gradients, none of which is a step
    assert steps("HH, trunk") == preflight + 3 * 2
    assert preflight + 1 < steps("HH, stopped early") < preflight + 2 * 4 * 2
    assert any(0 < row["rollout/ep_len_mean"] < 2 for row in rows("cut and broken episodes"))
    assert all("rollout/score" in row for row in rows("cut and broken episodes"))
    moved = load_file(root / "HH" / "1" / "weights.safetensors")
    assert max(float(weight.abs().max()) for name, weight in moved.items() if "lora_B" in name) > 1e-2


def test_in_half_precision_rows_are_scored_in_the_batches_that_their_process_trains_on(root):
    rows = [json.loads(line) for line in (root / "mixed" / "metrics.jsonl").read_text().splitlines()]
    assert [row["train/approx_kl"] for row in rows] == [0.0, 0.0]  # one step a rollout, before any change
    assert rows[1]["rollout/kl_to_reference"] != 0


@pytest.mark.parametrize("name", CASES)
def test_one_message_a_step_of_little_more_than_the_adapters(root, name):
    said = json.loads((root / name / "2" / "said.json").read_text())
    assert said["bytes"]
    assert max(said["bytes"]) <= 1.1 * said["adapters"]
    assert json.loads((root / name / "1" / "said.json").read_text())["bytes"] == []


def test_a_checkpoint_does_not_know_how_many_processes_made_it(root):
    train(**resumed(root, "HH", "2 first", "then 1"))
    launch(2, [resumed(root, "HH", "then 1", "then 2")])
    assert_alike(root / "HH" / "1", root / "HH" / "then 2", slice(2, 3))


@pytest.mark.long
def test_four_processes_give_what_one_gives_and_go_on_from_others(root):
    four = [name for name in CASES if CASES[name]["batch_size"] >= 4]
    launch(2, [job(root, "UINav", "2 of 2", turns=24)])
    train(**resumed(root, "UINav", "2 of 2", "then 1", turns=24))
    whole = job(root, "UINav", "1 whole", turns=72)
    train(**whole)
    launch(4, [*(job(root, name, "4") for name in four), resumed(root, "UINav", "then 1", "then 4", turns=24)])
    for name in four:
        assert_alike(root / name / "1", root / name / "4")
    assert_alike(root / "UINav" / "1 whole", root / "UINav" / "then 4", slice(2, 3))


# What processes share, one at a time, as if there were others.


def as_one_of(monkeypatch, rank, size, others=()):
    """This process as one of several, which hears of `others` what is given here."""
    monkeypatch.setattr(group, "rank", lambda: rank)
    monkeypatch.setattr(group, "size", lambda: size)
    monkeypatch.setattr(group, "gather", lambda mine: [mine, *others])


@settings(max_examples=30)
@given(size=st.integers(1, 6), each=st.integers(1, 5), lengths=st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_shares_and_parts_are_all_there_is(size, each, lengths):
    with pytest.MonkeyPatch.context() as patch:
        shares, parts = [], []
        for rank in range(size):
            as_one_of(patch, rank, size)
            shares.append(list(group.share(size * each, "envs")))
            parts.append(group.own_part(lengths, range(len(lengths))))
    assert [env for share in shares for env in share] == list(range(size * each))
    assert {len(share) for share in shares} == {each}
    assert sorted(row for part in parts for row in part) == list(range(len(lengths)))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    sums = [sum(lengths[i] for i in part) for part in parts]
    assert max(sums) - min(sums) <= max(lengths)


def test_envs_that_cannot_be_shared_out_equally(monkeypatch, tmp_path):
    as_one_of(monkeypatch, 1, 3)
    with pytest.raises(UserError, match=r"^64 envs cannot be shared out equally to 3 processes; take 63 or 66\.$"):
        PPO("LoRAPolicy", "HH-v0", n_envs=64)
    with pytest.raises(UserError, match=r"^2 envs .* take 3\.$"):
        PPO("LoRAPolicy", "HH-v0", n_envs=2)
    with pytest.raises(UserError, match=r"^batch_size 2 is less than the 3 .*; take at least 3, or start fewer"):
        PPO("LoRAPolicy", "HH-v0", n_envs=6, batch_size=2)


def test_processes_that_differ_are_named_with_what_differs(monkeypatch):
    heard = []
    as_one_of(monkeypatch, 0, 2)
    monkeypatch.setattr(group, "gather", lambda mine: heard.append(mine) or [mine])
    backbone = Backbone.load("tiny", "cpu")
    require_same_command(Options(columns="a, " * 60))
    require_same_model_and_data(backbone, HH())
    command, model = heard
    assert command["columns"] == repr("a, " * 60)
    as_one_of(monkeypatch, 0, 2, [{**command, "seed": "1", "torch": "1.0"}])
    with pytest.raises(
        UserError, match=r"^process 1 differs from process 0 in seed \(0 in process 0, 1 in process 1\), torch \(2"
    ):
        require_same_command(Options(columns="a, " * 60))
    as_one_of(monkeypatch, 0, 2, [{**model, "the device": "cuda", "the precision": "bf16", "the data": "abc"}])
    with pytest.raises(
        UserError,
        match=r"in the device \(cpu in process 0, cuda in process 1\), the precision \(fp32 .*, the data \(",
    ):
        require_same_model_and_data(backbone, HH())
    as_one_of(monkeypatch, 0, 1)
    require_same_command(Options())
    require_same_model_and_data(object(), HH())  # with one process the weights are not read


@pytest.mark.parametrize("error", [UserError("no such file"), OSError("full"), KeyError("a bug")])
def test_what_fails_on_the_first_process_fails_on_all(error, monkeypatch):
    sent = []

    def fail():
        raise error

    as_one_of(monkeypatch, 0, 2)
    monkeypatch.setattr(torch.distributed, "broadcast_object_list", lambda found, src: sent.extend(found))
    with pytest.raises(type(error)) as raised:  # as it is, with its traceback, where it happened
        group.from_first(fail)
    assert raised.value is error
    as_one_of(monkeypatch, 1, 2)
    monkeypatch.setattr(torch.distributed, "broadcast_object_list", lambda found, src: found.__setitem__(1, sent[1]))
    with pytest.raises((UserError, OSError), match=r"full|no such file|^KeyError in process 0: 'a bug'$"):
        group.from_first(fail)


def test_processes_with_unlike_numbers_of_envs_or_that_do_not_all_save(monkeypatch, tmp_path):
    as_one_of(monkeypatch, 0, 2, [{"the number of envs": "4"}])
    settings = {"policy_kwargs": {"max_new_tokens": 4}, "batch_size": 2, "device": "cpu"}
    with pytest.raises(UserError, match=r"the number of envs \(2 in process 0, 4 in process 1\)"):
        PPO("LoRAPolicy", make_vec_env("HH-v0", 2), **settings)
    as_one_of(monkeypatch, 0, 1)
    algorithm = PPO("LoRAPolicy", make_vec_env("HH-v0", 2), **settings)
    algorithm.last_observation = algorithm.env.reset()
    as_one_of(monkeypatch, 0, 2, [True])  # what a process says of a callback
    with pytest.raises(UserError, match=r"^not all 2 processes save the model at 0 turns"):
        algorithm.save(tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()
