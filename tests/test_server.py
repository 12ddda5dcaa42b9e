"""Sampling by a server: what is sent, what is made of it, and that every way it goes wrong is one line."""

import json
import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from stand_in_server import stand_in
from tiny_models import save_gemma
from transformers import AutoModelForCausalLM

from agents import PPO, make_vec_env, preflight
from agents.hyperparameters import PolicySettings
from agents.importance import importance_ratios, weigh
from agents.rollout import Rollout
from agents.train_ppo import read_options, train
from backbones.backbone import Backbone
from backbones.checkpoints import newest_sound_checkpoint
from backbones.engine.engine import LocalEngine
from backbones.engine.server import ServerEngine
from backbones.forward import log_probs_of
from backbones.generate import generate
from backbones.model.loading import LoadSettings
from backbones.model.vision import ImagePrompt
from backbones.roles import LoRASettings
from perlhf.client import Client, check_url
from perlhf.errors import UserError, run_command

TESTS = Path(__file__).parent
LETTER = "toy_tasks:starts_with_i"
WORDS = ("Hello there.", "Yes, I can.", "No.", "help you with that today", "can", "I")


@pytest.fixture(autouse=True)
def _no_proxy_between(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("VLLM_API_KEY", raising=False)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A random model that many tokens end: a response of 8 is cut as often as not."""
    folder = save_gemma(tmp_path_factory.mktemp("gemma"))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, *range(20, 50)]}))
    return str(folder)


@pytest.fixture(scope="module")
def standing(path):
    with stand_in(path) as server:
        yield server


@pytest.fixture
def server(standing):
    standing.reset()
    return standing


@pytest.fixture(scope="module")
def role(path):
    role = Backbone.load(path, "cpu").add_role("policy", LoRASettings(), seed=0)
    spread(role, 0)
    return role


@pytest.fixture(scope="module")
def prompts(role):
    return [role.backbone.encode_prompt(f"Human: {said} Assistant:") for said in WORDS]


@torch.no_grad()
def spread(role, seed):
    """Gives the adapter weights that change what is said."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in role.parameters().values():
        parameter.normal_(0, 0.3, generator=generator)


def engine_of(server, role, **how):
    return ServerEngine(server.url, role.backbone, Client(server.url, first_wait=0.01), **how)


def sampled(server, role, prompts, temperature=1.0, tokens=8, **how):
    """What a new engine samples."""
    engine = engine_of(server, role, **how)
    engine.update(role.save)
    try:
        return engine.generate(prompts, tokens, temperature, list(range(len(prompts))))
    finally:
        engine.close()


def fault(*args, **how):
    with pytest.raises(UserError) as caught:
        sampled(*args, **how)
    message = str(caught.value)
    assert "\n" not in message
    return message


# What it samples.


def test_responses_are_those_of_this_process_and_log_probabilities_those_of_scoring(server, role, prompts):
    seeds = list(range(len(prompts)))
    here = LocalEngine(role).generate(prompts, 8, 1.0, seeds)
    there = sampled(server, role, prompts)
    assert [row.ids for row in there] == [row.ids for row in here] == generate(role, prompts, 8, 1.0, seeds)
    assert {row.log_probs for row in here} == {None}
    scored = log_probs_of(role, prompts, [row.ids for row in there])
    for row, expected in zip(there, scored, strict=True):
        np.testing.assert_allclose(row.log_probs, expected[: len(row.ids)], atol=1e-5)
    assert len({len(row.ids) for row in there}) > 1  # some ended


def test_ids_are_sent_one_row_a_request_each_with_its_seed_and_nothing_is_left_to_the_server(server, role, prompts):
    sampled(server, role, prompts)
    asked = server.bodies("/v1/completions")
    assert sorted((body["seed"], body["prompt"]) for body in asked) == list(enumerate(prompts))
    plain = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "temperature": 1.0, "ignore_eos": True}
    assert all(body.items() >= plain.items() for body in asked)
    assert all(body["stop_token_ids"] == list(role.backbone.end_ids) for body in asked)
    assert not any(isinstance(value, str) for key, value in asked[0].items() if key != "model")


def test_each_update_is_a_new_adapter_under_a_new_path_and_the_one_before_goes(server, role, prompts):
    engine = engine_of(server, role)
    said = []
    for seed in (1, 2):
        spread(role, seed)
        engine.update(role.save)
        assert list(server.adapters) == [engine.adapter]
        said.append([row.ids for row in engine.generate(prompts, 8, 1.0, range(len(prompts)))])
        assert said[-1] == generate(role, prompts, 8, 1.0, range(len(prompts)))
    assert said[0] != said[1]
    loaded = [body["lora_path"] for body in server.bodies("/v1/load_lora_adapter")]
    assert len(set(loaded)) == 2
    assert [Path(each).exists() for each in loaded] == [False, True]
    assert Path(loaded[1]).parent.stat().st_mode & 0o777 == 0o755  # a server of another user reads it
    engine.close()
    assert not Path(loaded[1]).parent.exists()
    assert not server.adapters
    spread(role, 0)


def test_a_response_is_over_at_a_stop_string(server, path, prompts):
    backbone = Backbone.load(path, "cpu", LoadSettings(stop="a,e"))
    role = backbone.add_role("stopping", LoRASettings(), seed=0)
    seeds = list(range(len(prompts)))
    found = sampled(server, role, prompts)
    assert [row.ids for row in found] == generate(role, prompts, 8, 1.0, seeds)
    assert any(len(row.ids) < 8 and row.ids[-1] not in backbone.end_ids for row in found)
    assert all(len(row.ids) == len(row.log_probs) for row in found)


def test_another_temperature_needs_a_server_that_says_log_probabilities_at_it(server, role, prompts):
    message = fault(server, role, prompts, temperature=0.5)
    assert "--logprobs-mode processed_logprobs" in message
    assert "--temperature is 0.5" in message
    server.processed = True
    found = sampled(server, role, prompts, temperature=0.5)
    assert [row.ids for row in found] == generate(role, prompts, 8, 0.5, range(len(prompts)))
    scored = log_probs_of(role, prompts, [row.ids for row in found], 0.5)
    np.testing.assert_allclose(found[0].log_probs, scored[0, : len(found[0].ids)], atol=1e-5)


def test_ids_that_the_tokenizer_does_not_know_are_ruled_out(tmp_path, prompts):
    wide = AutoModelForCausalLM.from_pretrained(save_gemma(tmp_path))
    known = wide.config.vocab_size
    wide.resize_token_embeddings(known + 10)
    wide.save_pretrained(tmp_path)
    role = Backbone.load(str(tmp_path), "cpu").add_role("policy", LoRASettings(), seed=0)
    with stand_in(str(tmp_path)) as server:
        found = sampled(server, role, prompts)
        assert [row.ids for row in found] == generate(role, prompts, 8, 1.0, range(len(prompts)))
        ruled_out = {str(token): -100.0 for token in range(known, known + 10)}
        assert server.bodies("/v1/completions")[0]["logit_bias"] == ruled_out


# What goes wrong.


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lengths", "log-probabilities"),
        ("short", "1 tokens with 0 end tokens, where 8 were to be sampled"),
        ("no_log_probs", "gave no log-probabilities of its tokens"),
        ("no_ids", "gave no token_ids"),
        ("words", "gave no token_ids"),
        ("listed", "gave no log-probabilities of its tokens"),
        ("another_prompt", "a response to another prompt"),
        ("not_finite", "a log-probability that is not finite"),
        ("unknown_token", "token 10000, which the policy never says"),
    ],
)
def test_an_answer_that_is_no_sample_is_one_line(server, role, prompts, name, said):
    server.faults = {name}
    message = fault(server, role, prompts)
    assert server.url in message
    assert said in message


def test_a_busy_server_is_asked_again_when_it_says(server, role, prompts):
    server.busy = [(503, None), (429, "0.3"), (429, "Wed, 21 Oct 2015 07:28:00 GMT")]  # the last one comes first
    began = time.monotonic()
    assert len(sampled(server, role, prompts[:2])) == 2
    assert 0.3 <= time.monotonic() - began < 30


def test_a_server_that_stays_busy_or_silent_is_given_up(server, role, prompts):
    for odd in ("nan", "-1", "inf"):
        server.busy = [(503, odd)]
        assert len(sampled(server, role, prompts[:1])) == 1
    server.busy = [(429, None)] * 5
    assert "gives no answer in 5 tries: 429: too busy" in fault(server, role, prompts[:1])
    server.busy, server.faults = [(503, None)] * 5, {"breaks_off"}
    assert "gives no answer in 5 tries: 503: Service Unavailable" in fault(server, role, prompts[:1])
    server.reset()
    server.silent = 1
    assert len(sampled(server, role, prompts[:2], timeout=1.5)) == 2  # the second try
    server.silent = 99
    assert "no answer in 0.1 s" in fault(server, role, prompts[:1], timeout=0.1)


def test_a_server_that_dies_in_the_middle_is_one_line_at_once(path, role, prompts):
    with stand_in(path) as server:
        server.dies_after = 2
        began = time.monotonic()
        assert "Is the server still running?" in fault(server, role, prompts)
        assert time.monotonic() - began < 30


def test_no_server_there_and_one_of_another_kind(server, role, prompts, tmp_path):
    server.faults = {"page"}
    assert "answers with no JSON: '<html>Welcome</html>'" in fault(server, role, prompts)
    server.url, there = "http://127.0.0.1:9", server.url
    try:
        message = fault(server, role, prompts)
        assert "http://127.0.0.1:9/v1/models gives no answer in 5 tries: Connection refused" in message
    finally:
        server.url = there


def test_an_adapter_that_the_server_refuses_says_how_to_start_it(server, role, prompts):
    server.max_rank = 4
    message = fault(server, role, prompts)
    assert "LoRA rank 8 is greater than max_lora_rank" in message
    assert "--max-lora-rank N" in message
    server.reset()
    server.loads = False
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve" in fault(server, role, prompts)


def test_an_adapter_whose_answer_was_lost_is_not_loaded_twice(server, role, prompts, monkeypatch):
    load = server.load

    def lost(body):
        load(body)
        return 503, "restarting"

    monkeypatch.setattr(server, "load", lambda body: (monkeypatch.undo(), lost(body))[1])
    assert len(sampled(server, role, prompts[:1])) == 1


def test_the_key_comes_from_the_environment_alone(server, role, prompts, monkeypatch):
    server.key = "secret"
    assert "(the key is read from VLLM_API_KEY)" in fault(server, role, prompts)
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    assert len(sampled(server, role, prompts[:1])) == 1
    for address in ("me:secret@localhost:8000", "me:secret@h/?a=1", "me:secret@[::1", "me:secret@a b:x", "secret@h"):
        with pytest.raises(UserError, match="VLLM_API_KEY") as caught:
            check_url(f"http://{address}")
        assert "secret" not in str(caught.value)


NO_ADDRESSES = (
    "localhost:8000", "Local", "", "ftp://here", "http://", "http://here:1/?a=b", "http://[::1", "http://a..b",
    "http://here:abc", "http://here:99999", "http://he re", "http://here\n", " http://here", "http://here/ä",
    f"http://{'a' * 64}", "http://here#there",
)  # fmt: skip


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_is_refused_before_anything_is_loaded(text):
    with pytest.raises(UserError, match="expected local, or the address"):
        PolicySettings(rollout=text)


def test_all_weights_and_images_are_not_for_a_server(server, role):
    with pytest.raises(UserError, match="--full trains all weights"):
        PolicySettings(rollout="http://localhost:8000", full=True)
    seen = ImagePrompt([5, 6], np.zeros((8, 8, 3), np.uint8), vision=None)
    assert "prompts with images are not sampled by a server" in fault(server, role, [seen])
    assert check_url("http://localhost:8000/v1/") == "http://localhost:8000"
    assert check_url("http://[::1]:8000") == "http://[::1]:8000"


# Importance weights.


def test_importance_ratios_by_hand():
    ours = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, -9.0, 5.0]])
    theirs = torch.tensor([[-1.0 - np.log(2.0), -2.0, -3.0 + np.log(4.0)], [-1.0, 0.0, 0.0]], dtype=torch.float32)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    np.testing.assert_allclose(importance_ratios(ours, theirs, mask, "token"), [[2, 1, 0.25], [1, 1, 1]], rtol=1e-6)
    np.testing.assert_allclose(importance_ratios(ours, theirs, mask, "sequence"), [[0.5] * 3, [1, 1, 1]], rtol=1e-6)
    far = importance_ratios(torch.zeros(1, 1), torch.full((1, 1), -1e4), torch.ones(1, 1, dtype=torch.bool), "token")
    assert far.item() == pytest.approx(np.exp(20))  # a finite number


def rollout_of(sampled_log_probs):
    """Two responses of two tokens and one, with log p of the policy 0."""
    mask = torch.tensor([[True, True], [True, False]])
    zeros = torch.zeros(2, 2)
    rows = ([[1], [1]], [[5, 6], [7]], mask, zeros[:, 0], mask[:, 0], ~mask[:, 0])
    return Rollout(*rows, zeros, zeros, zeros, zeros, zeros, zeros, zeros, sampled_log_probs=sampled_log_probs)


def test_weights_multiply_advantages_and_are_cut_at_the_cap():
    said = [[-np.log(5.0), -np.log(0.5)], [-np.log(1.5)]]  # ratios 5, 0.5 and 1.5
    advantages = torch.tensor([[1.0, -2.0], [4.0, 0.0]])
    weighted, figures = weigh(rollout_of(said), advantages, "token", 2.0)
    np.testing.assert_allclose(weighted, [[2.0, -1.0], [6.0, 0.0]], rtol=1e-6)
    names = ("importance_mean", "importance_max", "importance_cut")
    assert [figures[name][0] for name in names] == pytest.approx([4 / 3, 5.0, 1 / 3])
    weighted, figures = weigh(rollout_of(said), advantages, "sequence", 2.0)  # 2.5, cut to 2, and 1.5
    np.testing.assert_allclose(weighted, [[2.0, -4.0], [6.0, 0.0]], rtol=1e-6)
    assert [figures[name][0] for name in names] == pytest.approx([5.5 / 3, 2.5, 2 / 3])
    same, figures = weigh(rollout_of(None), advantages, "token", 2.0)
    assert same is advantages
    assert figures == {}


# PPO.


def ppo(path, rollout="local", **kwargs):
    env = make_vec_env("HH-v0", 4, seed=0, reward=LETTER)
    settings = {"backbone": path, "max_new_tokens": 8, "rollout": rollout}
    options = {"batch_size": 4, "seed": 0, "device": "cpu", "learning_rate": 0.02, **kwargs}
    return PPO("LoRAPolicy", env, policy_kwargs=settings, **options)


def test_ppo_learns_through_a_server_as_it_does_alone(server, path):
    here, there = ppo(path), ppo(path, server.url)
    rows = []
    for algorithm in (here, there):
        algorithm.learn(12)
        rows.append(algorithm.rollout.responses)
    assert rows[0] == rows[1]
    for mine, theirs in zip(here.policy.parameters(), there.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=0)
    said = [check for check in there.preflight_checks if check.question == preflight.SERVER]
    assert [check.passed for check in said] == [True, True]
    assert [len(row) for row in there.rollout.sampled_log_probs] == there.rollout.response_mask.sum(1).tolist()
    assert here.rollout.sampled_log_probs is None
    assert len(server.bodies("/v1/load_lora_adapter")) == 3
    assert not server.adapters


def test_a_server_with_another_base_does_not_pass_for_the_policy(path, tmp_path):
    save_gemma(tmp_path, seed=1)
    with stand_in(str(tmp_path)) as other:
        with pytest.raises(preflight.PreflightError, match=r"the server speaks as the policy.*another base"):
            ppo(path, other.url).learn(4)
        assert not other.adapters  # nothing of ours stays there


def test_an_adapter_that_is_not_taken_over_is_noticed_at_the_next_rollout(path):
    with stand_in(path, {"stale"}) as stale:
        algorithm = ppo(path, stale.url)
        with pytest.raises(preflight.PreflightError, match="an adapter or a cached prefix of before"):
            algorithm.learn(12)
        assert algorithm.num_timesteps == 8


def test_a_run_whose_server_dies_leaves_its_last_checkpoint_and_goes_on_with_another(
    path, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("perlhf.client.time.sleep", lambda seconds: None)  # between tries
    folder = tmp_path / "run"
    given = f"HH-v0 --backbone {path} --reward {LETTER} --n-envs 4 --batch-size 4 --eval-prompts 0 --device cpu".split()
    given += "--max-new-tokens 6 --checkpoint-every 1 --total-timesteps 16".split()
    with stand_in(path) as server:
        server.dies_after = 10  # in the third rollout
        with pytest.raises(SystemExit) as left:
            run_command(lambda: train(read_options([*given, "--rollout", server.url, "--output-dir", str(folder)])))
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.count("error:") == 1
    assert "Traceback" not in said
    line = said[said.index("error:") :].strip()  # behind the progress bar
    assert "\n" not in line
    assert server.url in line
    checkpoint, problems = newest_sound_checkpoint(folder)
    assert checkpoint is not None
    assert problems == []
    with stand_in(path) as server:
        summary = train(read_options(["--resume", str(folder), "--rollout", server.url]))
    assert summary["turns"] == 16
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["train/importance_mean"] for row in rows] == pytest.approx([1.0] * 4, abs=1e-4)
    assert all(row["train/importance_cut"] == 0 for row in rows)


@pytest.mark.long
def test_each_of_two_processes_asks_for_its_own_rows_and_the_first_alone_sends_the_adapter(server, path, tmp_path):
    given = f"HH-v0 --backbone {path} --reward {LETTER} --n-envs 4 --batch-size 4 --eval-prompts 0 --device cpu".split()
    given += f"--max-new-tokens 6 --total-timesteps 12 --learning-rate 0.02 --rollout {server.url}".split()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = os.pathsep.join(map(str, (TESTS.parent, TESTS)))
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    rows = []
    for size in (1, 2):
        server.asked.clear()
        command = [sys.executable, "-m", "agents.train_ppo", *given, "--output-dir", str(tmp_path / str(size))]
        ranks = ({"RANK": str(rank), "WORLD_SIZE": str(size)} for rank in range(size))
        started = [subprocess.Popen(command, env={**os.environ, **shared, **rank}) for rank in ranks]
        assert [process.wait(300) for process in started] == [0] * size
        assert len(server.bodies("/v1/load_lora_adapter")) == 3
        assert len(server.bodies("/v1/completions")) == 12
        text = (tmp_path / str(size) / "metrics.jsonl").read_text()
        rows.append([json.loads(line) for line in text.splitlines()])
    assert len(rows[0]) == 3
    names = [name for name in rows[0][-1] if name.startswith(("rollout/", "train/"))]
    assert "train/importance_mean" in names
    for one, two in zip(*rows, strict=True):
        first, second = ({n: math.nan if row[n] is None else row[n] for n in names} for row in (one, two))
        assert second == pytest.approx(first, rel=1e-4, abs=1e-4, nan_ok=True)
