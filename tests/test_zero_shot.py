"""What a model does as it is, and the table of a model through every stage."""

import json

import pytest

from agents.setup import Setup
from backbones.backbone import Backbone
from envs.reward_spec import resolve_reward
from evaluation.evaluator import Evaluator
from evaluation.reproduce.__main__ import Options as Reproduce
from evaluation.reproduce.smollm import ppo_rows, probe_rows, reward_rows, sample_lines, smollm_table
from evaluation.zero_shot import Options, describe, measure
from perlhf.errors import UserError


def test_a_model_is_measured_as_it_is(tmp_path, capsys):
    found = measure(Options(env="UINav-v0", prompts=4, max_new_tokens=24, show=1, output_dir=str(tmp_path / "run")))
    setup = Setup.of("UINav-v0", reward="gold")
    task = setup.task("test")
    evaluator = Evaluator(task, resolve_reward("gold", task), 24, 4)
    answers = evaluator.answer(setup.backbone.reference, 0.0)
    assert found["n"] == 4
    assert found["turns"] == sum(map(len, answers.rows))
    assert found["gold"]["mean"] == pytest.approx(answers.golds.mean())
    said = [text for episode in answers.texts for text in episode.split("; ")]
    assert found["actions"] <= found["actions, leniently read"] <= 1
    assert len(said) >= found["turns"]
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["turns"] == found["turns"]
    printed = capsys.readouterr().out
    assert "held-out episodes: 4" in printed
    assert "GOAL" in printed


def test_what_is_blind_is_shown_grey_pictures(tmp_path, monkeypatch):
    shown = []
    encode = Backbone.encode_prompt

    def watched(self, prompt, image=None):
        shown.append(image)
        return encode(self, prompt, image)

    monkeypatch.setattr(Backbone, "encode_prompt", watched)
    folder = tmp_path / "run"
    found = measure(Options(env="VQAv2-v0", prompts=4, max_new_tokens=4, show=0, blind=True, output_dir=str(folder)))
    assert len(shown) >= 4
    assert all((image == 128).all() for image in shown)
    assert found["blind"] is True


def test_no_episode_is_one_line():
    with pytest.raises(UserError, match=r"^UINav has no episode to evaluate on; give another split or more data"):
        Evaluator(Setup.of("UINav-v0").task("test"), lambda turns: [0.0] * len(turns), n=0)


def test_figures_are_lines():
    figures = {"n": 2, "turns": 3, "score": {"mean": 0.5, "low": 0.25, "high": 1.0, "n": 2}, "ended": 1.0}
    assert describe(figures).splitlines() == [
        "held-out episodes: 2, turns: 3", "  score: 0.500 [0.250, 1.000]", "  ended: 1.000",
    ]  # fmt: skip


def test_the_table_needs_its_paths():
    with pytest.raises(UserError, match="the table 'smollm' needs --smollm PATH, the model's folder"):
        smollm_table(Reproduce(tables="smollm"))


def of(mean):
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": 40}


def test_rows_by_hand(tmp_path):
    crossed = {name: of(0.6) for name in ("chosen", "tfidf", "length", "log p")}
    (_, _, row) = probe_rows({"probe": {"cross_validated": crossed, "pairs": 40, "cpu_seconds": 12.4}})
    cell = "0.600 [0.500, 0.700]"
    assert row == f"| probe | 40 | {cell} | {cell} | {cell} | {cell} | 12 |"
    reward = {
        "accuracy": of(0.6), "baselines": {"tfidf": 0.55, "length": 0.5}, "kept_step": None, "cpu_seconds": 99.6,
        "validation": [{"loss": 0.65}, {"loss": 0.7}, {"loss": 0.68}], "peak_rss_mb": 3000.2,
    }  # fmt: skip
    (_, _, row) = reward_rows({"HH": reward})
    assert row == f"| HH | accuracy {cell} | 40 | 0.550 | 0.500 | the probe | 0.650 -> 0.680 | 100 | 3000 |"
    side = {"score": -1.0, "score_sd": 0.5, "ended": 0.25, "length": 30.0}
    policy = {
        "sft": side, "policy": {**side, "score": -0.2, "ended": 0.75, "length": 20.0}, "kl": 2.04, "turns": 512,
        "gain": {"sampled": of(0.8)}, "samples_per_cpu_second": 0.5, "peak_rss_mb": 2500.0,
    }  # fmt: skip
    (_, _, row) = ppo_rows({"short": policy})
    cells = (
        "-1.000 -> -0.200 |  |  | +0.800 [+0.700, +0.900] | 1.60 | 2.0 | 0.250 -> 0.750 | 30.000 -> 20.000 | 512 | 2.00"
    )
    assert row == f"| short | {cells} | 2500 |"
    said = {"sft_sampled": {"text": "a\n b", "score": -1.0}, "policy_sampled": {"text": "c", "score": 0.5}}
    (tmp_path / "evaluation.json").write_text(json.dumps({"samples": [{"prompt": "Who\n\nis it?", **said}]}))
    assert sample_lines(tmp_path) == ["- 'Who is it?'", "  - sft: 'a b' (-1.00)", "  - policy: 'c' (+0.50)"]
