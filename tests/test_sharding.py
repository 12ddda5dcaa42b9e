"""A base that the processes of a run share out gives what a whole one gives, in half the memory."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from in_processes import train
from in_shares import PPO_CASES
from safetensors.torch import load_file
from tiny_models import save_architecture, save_gemma

from agents.train_ppo import Options
from backbones import Backbone
from backbones.model.loading import LoadSettings
from backbones.sharding import in_step, is_to_be_sharded
from perlhf.errors import UserError

TESTS = Path(__file__).parent


def launch(count, models, out, machines=1):
    """Runs tests/in_shares.py in `count` processes, as if on several machines; returns what each of them found."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    out.mkdir()
    shared = {
        "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count // machines), "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    command = [sys.executable, str(TESTS / "in_shares.py"), str(models), str(out)]
    started = [
        subprocess.Popen(command, env={**os.environ, **shared, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(count)
    ]
    for process in started:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    return [json.loads((out / f"{rank}.json").read_text()) for rank in range(count)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    save_gemma(root / "gemma")
    save_architecture("Llama", root / "llama")
    return root


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("shares")


@pytest.fixture(scope="module")
def found(models, out):
    """What each of two processes found, of which the first alone could read the files."""
    return launch(2, models, out / "2")


def test_figures_gradients_and_what_is_learned_are_those_of_a_whole_base(found):
    for of_process in found:
        assert set(of_process["gaps"]) == {"gemma fp32", "llama mixed", "unequal work", "fit"}
        assert max(of_process["gaps"].values()) <= 1e-4


def test_responses_are_those_of_a_whole_base_where_processes_have_unlike_numbers_of_them(found):
    counts = []
    for of_process in found:
        (said, greedy), (whole_said, whole_greedy) = of_process["said"]
        assert said == whole_said
        assert greedy == whole_greedy
        counts.append(len(said))
    assert counts == [0, 4]  # of the four two have one prompt


def test_a_process_holds_its_share_of_the_layers_and_all_else(found):
    for of_process in found:
        for name in ("gemma", "llama"):
            (layers, rest), (whole_layers, whole_rest) = of_process[f"{name} bytes"]
            assert 2 * layers == whole_layers
            assert rest == whole_rest
    (layers, rest), (whole, _) = found[0]["gemma bytes"]
    assert found[0]["whereabouts"].endswith(
        f"base: shared out over 2 processes, {(layers + rest) / 1e6:,.1f} of {(whole + rest) / 1e6:,.1f} MB in this "
        "one; adapters are not merged for sampling, no frozen states or shared prefixes are kept"
    )


def test_the_hash_is_that_of_the_whole_and_a_change_of_a_share_is_seen(found):
    hashes = {sha256 for of_process in found for sha256 in map(tuple, of_process["hashes"])}
    assert len(hashes) == 2  # of the two models, on all processes
    assert all(shares == whole for shares, whole in hashes)
    assert found[0]["hash of shares"] != found[1]["hash of shares"]
    assert [of_process["preflight"] for of_process in found] == [[True, False]] * 2


def test_what_does_not_go_with_it_is_one_line_on_every_process(found):
    for of_process in found:
        quantized, dora, nothing = of_process["refused"]
        assert quantized.startswith(
            "--shard-base goes with weights in fp32, mixed or bf16; those in int4 cannot be cut"
        )
        assert dora == "lora_variant dora reads whole weights, which no process has with --shard-base; take lora."
        assert nothing.startswith("no backbone")
    with pytest.raises(UserError, match=r"^--full trains all weights, and --shard-base shares out frozen ones"):
        _ = Options(full=True, shard_base=True).load_settings


@pytest.mark.parametrize("name", PPO_CASES)
def test_ppo_learns_what_one_process_learns(name, found, models, out):
    train(**PPO_CASES[name], backbone=str(models / "gemma"), out=str(out / name))
    assert_learned_alike(out / name, out / "2" / name)


def assert_learned_alike(one, other):
    weights, others = (load_file(folder / "weights.safetensors") for folder in (one, other))
    for name, weight in weights.items():
        torch.testing.assert_close(weight, others[name], atol=1e-4, rtol=0)
    said, others = (json.loads((folder / "said.json").read_text())["responses"] for folder in (one, other))
    assert said == others


def test_with_one_process_it_changes_nothing(models):
    settings = LoadSettings(shard_base=True)
    backbone = Backbone.load(models / "gemma", "cpu", settings)
    assert not is_to_be_sharded(settings)
    assert not backbone.is_sharded
    assert backbone.whereabouts.endswith("; one process, so it has all of the base")
    assert in_step(backbone, [[1, 2], [3]], []) == [[1, 2], [3]]


@pytest.mark.long
def test_four_processes_of_two_machines_share_it_out_on_each(models, out):
    for name, case in PPO_CASES.items():
        if not (out / name).is_dir():
            train(**case, backbone=str(models / "gemma"), out=str(out / name))
    for of_process in launch(4, models, out / "4", machines=2):
        assert max(of_process["gaps"].values()) <= 1e-4
        (layers, _), (whole_layers, _) = of_process["gemma bytes"]
        assert 2 * layers == whole_layers
    for name in PPO_CASES:
        assert_learned_alike(out / name, out / "4" / name)
