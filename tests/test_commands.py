"""The commands as a user runs them, one after the other.

One chain and what takes files by relative paths run in subprocesses. Variants of the same commands are called in this
process, where torch is imported already.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command_modules import command_module
from peft import PeftModel
from tiny_models import save_gemma
from transformers import AutoModelForCausalLM

from backbones.backbone import Backbone
from backbones.forward import log_probs_of
from backbones.model.loading import SHIPPED
from backbones.roles import load_role

ROOT = Path(__file__).parent.parent


def run(*arguments, cwd=None):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, timeout=600, cwd=cwd,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs a command in this process; gives what it printed."""

    def called(module, *arguments):
        monkeypatch.setattr(sys, "argv", [module, *map(str, arguments)])
        command_module(module).main()
        return capsys.readouterr().out

    return called


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """SFT, reward model on it, PPO with both, evaluation: each a few steps."""
    root = tmp_path_factory.mktemp("chain")
    sft = run("agents.train_sft", "--records", 64, "--eval-records", 20, "--output-dir", root / "sft")
    backbone = root / "sft" / "backbone"
    run(
        "rewards.train_reward_model", "--backbone", backbone, "--pairs", 64, "--eval-pairs", 40,
        "--output-dir", root / "reward",
    )  # fmt: skip
    ppo = run(
        "agents.train_ppo", "--backbone", backbone, "--reward", root / "reward", "--total-timesteps", 16,
        "--n-envs", 8, "--batch-size", 8, "--eval-prompts", 12, "--max-new-tokens", 16, "--output-dir", root / "ppo",
    )  # fmt: skip
    evaluation = run(
        "evaluation.evaluate", "--run", root / "ppo", "--prompts", 12, "--validation-prompts", 4, "--samples", 2
    )
    return root, sft, ppo, evaluation


TASKS = {
    "TLDR-v0": ("--env", "TLDR-v0"),
    "BOLT-v0": ("--env", "BOLT-v0"),
    "SHP-v0": ("--env", "SHP-v0"),
    "Taskmaster-v0": ("--env", "Taskmaster-v0", "--env-options", "domain=ticketing"),
}


@pytest.mark.parametrize("task", TASKS)
def test_every_text_task_trains_with_what_is_shipped(call, tmp_path, task):
    few = "--total-timesteps 8 --n-envs 8 --batch-size 8 --eval-prompts 8".split()
    printed = call("agents.train_ppo", *TASKS[task], *few, "--output-dir", tmp_path / "ppo")
    assert "[ok] adapters learn" in printed
    summary = json.loads((tmp_path / "ppo" / "summary.json").read_text())
    assert summary["sft"]["groups"]["sampled"]["seen topics"]["n"] == 4
    assert summary["oracle"]["gold"] == 1.0


def test_a_pointwise_reward_model_trains_and_serves_as_reward(call, tmp_path):
    few = "--pairs 64 --policy-pairs 16 --eval-pairs 40".split()
    printed = call(
        "rewards.train_reward_model", *TASKS["Taskmaster-v0"], *few, "--output-dir", tmp_path / "reward"
    )  # fmt: skip
    assert "held-out auc" in printed
    summary = json.loads((tmp_path / "reward" / "summary.json").read_text())
    assert {"seen topics", "unseen topics"} <= set(summary["groups"])
    few = "--total-timesteps 8 --n-envs 8 --batch-size 8 --eval-prompts 0".split()
    call("agents.train_ppo", *TASKS["Taskmaster-v0"], "--reward", tmp_path / "reward", *few)


def test_sft_says_what_it_did(chain):
    root, printed, _, _ = chain
    summary = json.loads((root / "sft" / "summary.json").read_text())
    before, after = (summary["held_out_loss"][when]["mean"] for when in ("before", "after"))
    assert f"held-out loss {before:.3f} -> {after:.3f} nats a response token" in printed
    assert summary["records"] == 64


def test_sft_lowers_the_held_out_loss_of_an_untrained_backbone(call, tmp_path):
    save_gemma(tmp_path / "untrained")
    call(
        "agents.train_sft", "--backbone", tmp_path / "untrained", "--records", 128, "--eval-records", 20,
        "--batch-size", 8, "--full", "--learning-rate", 5e-3, "--output-dir", tmp_path / "sft",
    )  # fmt: skip
    losses = json.loads((tmp_path / "sft" / "summary.json").read_text())["held_out_loss"]
    assert losses["before"]["mean"] > 5  # log 320 is 5.8
    assert losses["after"]["high"] < losses["before"]["low"] - 0.5


def test_sft_writes_a_backbone_of_its_own(chain):
    root, *_ = chain
    merged, base = Backbone.load(str(root / "sft" / "backbone")), Backbone.load("tiny")
    assert merged.hash != base.hash
    assert merged.model.config.num_labels == 1


def test_ppo_writes_what_the_design_names(chain):
    root, _, printed, _ = chain
    folder = root / "ppo"
    summary = json.loads((folder / "summary.json").read_text())
    for key in ("env", "backbone", "mode", "lora_rank", "seed", "data", "iterations", "turns", "episodes", "seconds",
                "cpu_seconds", "samples_per_cpu_second", "peak_rss_mb", "kl", "win_rate"):  # fmt: skip
        assert key in summary
    assert (summary["iterations"], summary["turns"], summary["episodes"], summary["mode"]) == (2, 16, 16, "lora")
    for side in ("sft", "policy"):
        for key in (
            "score",
            "gold",
            "gold_low",
            "gold_high",
            "gold_greedy",
            "gold_greedy_low",
            "gold_greedy_high",
            "n",
        ):
            assert key in summary[side]
    assert "offset" in json.loads((folder / "value" / "perlhf.json").read_text())
    assert f"perlhf report {folder}" in printed
    assert set(summary["win_rate"]) == {"mean", "low", "high", "n"}
    for how, key in (("sampled", "gold"), ("greedy", "gold_greedy")):
        gain = summary["policy"][key] - summary["sft"][key]
        assert summary["gain"][how]["mean"] == pytest.approx(gain)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    assert yaml.safe_load((folder / "config.yaml").read_text())["n_envs"] == 8
    assert (folder / "checkpoints" / "step-16" / "manifest.json").exists()
    assert "[ok] KL is exactly 0" in printed


def test_evaluation_adds_the_yardsticks_and_answers_side_by_side(chain):
    root, _, _, printed = chain
    summary = json.loads((root / "ppo" / "summary.json").read_text())
    assert summary["best_of"]["n"] == 2
    assert summary["best_of"]["score"] >= summary["sft"]["score"] - 0.5
    assert summary["oracle"]["gold"] == 1.0
    choice = summary["sft_temperature"]
    assert (choice["n"], choice["split"], choice["by"]) == (4, "validation", "gold")
    assert list(choice["by_temperature"]) == ["0", "0.2", "0.35", "0.5", "0.7", "1"]
    assert choice["by_temperature"][f"{choice['temperature']:g}"] == max(choice["by_temperature"].values())
    beyond = summary["policy"]["gold_greedy"] - summary["sft"]["best"]["mean"]
    assert summary["beyond_sharpening"]["mean"] == pytest.approx(beyond)
    assert summary["beyond_sharpening"]["n"] == 12
    assert "beyond sharpening: " in printed
    report = json.loads((root / "ppo" / "evaluation.json").read_text())
    answers = {"sft_sampled", "policy_sampled", "sft_greedy", "policy_greedy"}
    assert set(report["samples"][0]) == {"episode", "prompt", *answers}
    assert set(report["extremes"][0]) == {"episode", "prompt", "why", *answers}
    assert "sft best of 2 by score, T = 0.7" in printed
    assert set(summary["pass_at"]["policy"]) == {"1"}  # of 2 samples


def test_plain_peft_opens_the_trained_policy(chain):
    root, *_ = chain
    backbone = Backbone.load(str(root / "sft" / "backbone"))
    role, _ = load_role(root / "ppo" / "policy", "policy", False, backbone)
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(backbone.path), root / "ppo" / "policy")
    prompt, response = backbone.encode_prompt("\n\nHuman: Hello!\n\nAssistant:"), backbone.encode_response("Hello!")
    import torch

    with torch.no_grad():
        logits = plain(input_ids=torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
    theirs = logits.log_softmax(-1)[torch.arange(len(response)), torch.tensor(response)]
    torch.testing.assert_close(theirs, log_probs_of(role, [prompt], [response])[0], atol=1e-5, rtol=0)


def test_a_yaml_config_and_a_yaml_reward_train_on_a_real_format_file(tmp_path):
    from written_files import write_hh

    from envs.hh.task import HH

    write_hh(tmp_path / "hh.jsonl.gz".removesuffix(".gz"), HH().records[:300])
    (tmp_path / "reward.yaml").write_text(
        "- reward: rewards.functions:contains\n  text: help\n  weight: 1.0\n"
        "- reward: rewards.functions:length_penalty\n  target: 10\n  weight: 0.5\n"
    )
    (tmp_path / "config.yaml").write_text(
        f"data: {tmp_path / 'hh.jsonl'}\nreward: {tmp_path / 'reward.yaml'}\nn_envs: 4\nbatch_size: 4\n"
        "total_timesteps: 400\nmax_new_tokens: 8\neval_prompts: 5\nlearning_rate: 1e-3\n"
    )
    run(
        "agents.train_ppo", "--config", tmp_path / "config.yaml", "--total-timesteps", 8,
        "--output-dir", tmp_path / "run",
    )  # fmt: skip
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["turns"] == 8  # the command line wins over the file
    assert summary["win_rate_by"] == "score"
    assert "gold" not in summary["policy"]


def test_full_goes_through_the_same_commands(call, tmp_path):
    call(
        "rewards.train_reward_model", "--full", "--pairs", 32, "--eval-pairs", 20, "--output-dir", tmp_path / "reward",
    )  # fmt: skip
    call(
        "agents.train_ppo", "--full", "--reward", tmp_path / "reward", "--total-timesteps", 8, "--n-envs", 4,
        "--batch-size", 4, "--eval-prompts", 4, "--max-new-tokens", 8, "--output-dir", tmp_path / "ppo",
    )  # fmt: skip
    assert json.loads((tmp_path / "ppo" / "summary.json").read_text())["mode"] == "full"
    call("evaluation.evaluate", "--run", tmp_path / "ppo", "--prompts", 4, "--validation-prompts", 4, "--samples", 0)


def test_pretraining_makes_a_backbone_that_loads(call, tmp_path):
    printed = call(
        "agents.pretrain", "--steps", 4, "--hidden-size", 32, "--layers", 2, "--output-dir", tmp_path / "tiny"
    )
    assert "loss" in printed
    backbone = Backbone.load(str(tmp_path / "tiny"))
    assert backbone.hidden_size == 32
    assert json.loads((tmp_path / "tiny" / "pretraining.json").read_text())["synthetic_data_only"] is True


def test_the_shipped_files_are_small():
    for folder in SHIPPED.values():
        assert sum(p.stat().st_size for p in folder.rglob("*")) <= 15 * 2**20
    adapters = ROOT / "rewards" / "bundled"
    assert sum(p.stat().st_size for p in adapters.rglob("*.safetensors")) <= 2**20
