"""Model cards: what they say of a run, and that no name in it breaks them."""

import re
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from envs.gym_task import GymTask
from envs.uinav.task import UINav
from evaluation.model_card import code, model_card, not_in_classifier, write_card

CONFIG = {
    "env": "HH-v0", "env_options": "", "data": "miniature", "algorithm": "ppo", "backbone": "tiny", "lora_rank": 8,
    "full": False, "reward": "bundled", "seed": 0, "stop": "", "output_dir": "/home/somebody/runs/ppo", "resume": None,
    "learning_rate": None,
}  # fmt: skip
SIDE = {
    "score": -0.5, "gold": 0.25, "gold_low": 0.125, "gold_high": 0.375,
    "score_greedy": 0.5, "gold_greedy": 0.75, "gold_greedy_low": 0.5, "gold_greedy_high": 1.0, "n": 12,
}  # fmt: skip
SUMMARY = {
    "sft": SIDE, "policy": {**SIDE, "score": 1.5, "gold": 0.5},
    "gain": {"sampled": {"mean": 0.25, "low": 0.125, "high": 0.5, "n": 12},
             "greedy": {"mean": 0.0, "low": -0.125, "high": 0.125, "n": 12}},
    "sft_temperature": {"temperature": 0.2},
    "beyond_sharpening": {"mean": 0.0, "low": -0.125, "high": 0.125, "n": 12},
    "kl": 3.25,
}  # fmt: skip
ADAPTER = {"role": "policy", "lora": {"rank": 8}}
CARD = """\
---
library_name: peft
pipeline_tag: text-generation
tags:
- perlhf
- HH-v0
- ppo
- lora
# license: yours to say
---

# Policy for `HH-v0`

## What it is

A policy, trained with PPO against a reward: a LoRA adapter of rank 8.

- task: `HH-v0` of perlhf
- backbone: `tiny`
- reward: `bundled`

## Figures

On 12 held-out episodes, with 95% intervals; gold is the verdict of the task's own judge, from 0 to 1:

| | how | score | gold |
|---|---|---|---|
| SFT, before | sampled | -0.500 | 0.250 [0.125, 0.375] |
| this policy | sampled | +1.500 | 0.500 [0.125, 0.375] |
| SFT, before | greedy | +0.500 | 0.750 [0.500, 1.000] |
| this policy | greedy | +0.500 | 0.750 [0.500, 1.000] |

- gain over SFT, sampled: +0.250 [+0.125, +0.500]
- gain over SFT, greedy: +0.000 [-0.125, +0.125]
- **beyond sharpening: +0.000 [-0.125, +0.125]: only sharpens: no difference to SFT at T = 0.2 is seen**
- KL to SFT: 3.25 nats an episode

## Data

Generated data of perlhf (`miniature`): prompts and answers that a small grammar words, and generated judgements. No \
person wrote or judged any of it.

## Limits

- It answers the miniature corpus alone: what it says to any other text means nothing.
- Its reward is the bundled one, which judges the miniature corpus alone.

## How to load it

```python
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoPeftModelForCausalLM.from_pretrained("FOLDER")
```

## How it was trained

```sh
perlhf train-ppo --config config.yaml
```

with this config.yaml:

```yaml
env: HH-v0
env_options: ''
data: miniature
algorithm: ppo
backbone: tiny
lora_rank: 8
full: false
reward: bundled
seed: 0
stop: ''
```

Made with peft 0.21.2.
"""


def test_the_card_of_a_policy():
    assert model_card("policy", CONFIG, SUMMARY, ADAPTER, "tiny", versions={"peft": "0.21.2"}) == CARD


def test_a_policy_on_a_model_of_the_hub_names_it():
    config = {**CONFIG, "data": "hub:org/pairs", "backbone": "org/model", "reward": "gold"}
    card = model_card("policy", config, {}, ADAPTER, "org/model", "model", rewards={"gold"})
    about = yaml.safe_load(card.split("---")[1])
    assert about["base_model"] == "org/model"
    assert about["datasets"] == ["org/pairs"]
    assert about["library_name"] == "transformers"
    assert "lora" not in about["tags"]
    assert "a LoRA adapter, merged into the weights." in card
    assert "Not evaluated; `perlhf evaluate` does it." in card
    assert "miniature" not in card
    assert "so gold says nothing of other judges" in card
    assert "from transformers import AutoModelForCausalLM, AutoTokenizer\n" in card


def test_a_folder_is_no_model_of_the_hub():
    card = model_card("policy", {**CONFIG, "backbone": "runs/sft"}, {}, ADAPTER, "/home/somebody/runs/sft")
    assert "base_model" not in card
    assert "- backbone: `runs/sft`\n" in card
    assert "somebody" not in card


def test_an_env_of_others_is_not_said_to_be_perlhfs():
    card = model_card(
        "policy", {**CONFIG, "env": "a/B-v0"}, SUMMARY, ADAPTER, "tiny", task=GymTask,
        rewards={"envs.gym_task:own_reward"},
    )  # fmt: skip
    assert "- env: `a/B-v0`, not of perlhf\n" in card
    assert "gold is the env's own return, or its own `gold`:" in card
    assert "- It was trained on the env's own reward, which gold sums up, so" in card
    said = card.partition("## How it was trained")[0]
    for wrong in ("from 0 to 1", "miniature", "- task:", "## Data", "bundled one"):
        assert wrong not in said


def test_the_content_of_the_phone_is_no_corpus():
    card = model_card("policy", {**CONFIG, "env": "UINav-v0"}, SUMMARY, ADAPTER, "tiny", task=UINav)
    assert "A simulated phone of perlhf (`miniature`) with generated content, goals and demonstrations. No " in card
    assert "- It answers the simulated phone alone" in card
    assert "grammar" not in card
    assert "corpus" not in card


SHAPED = "- reward: rewards.functions:success_and_progress\n  weight: 2\n- reward: bundled\n"


@pytest.mark.parametrize(
    ("env", "reward", "on_judge"),
    [
        ("UINav-v0", "bundled", True),  # its learned reward holds gold
        ("UINav-v0", "rewards.functions:success", True),
        ("UINav-v0", "rewards.bundled:uinav", False),
        ("UINav-v0", "gone.yaml", False),
        ("UINav-v0", "rewards.functions:step_match", True),
        ("HH-v0", "bundled", False),
        ("HH-v0", "min(gold, bundled)", True),
        ("Taskmaster-v0", "bundled", False),
        ("VQAv2-v0", "bundled", False),  # a learned one, which commands take
        ("UINav-v0", "shaped.yaml", True),
        ("gone_module:a/B-v0", "gold", True),
        ("foreign_envs:foreign/Letters-v0", "bundled", False),
    ],
)
def test_a_card_says_where_the_reward_was_the_judge(env, reward, on_judge, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shaped.yaml").write_text(SHAPED)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "env": env, "reward": reward}))
    (tmp_path / "summary.json").write_text("{}")
    write_card(tmp_path, tmp_path, "policy", SimpleNamespace(path="org/model", vision=None))
    card = (tmp_path / "README.md").read_text()
    assert ("on the very judge that gives gold" in card) == on_judge
    assert ("on the env's own reward, which gold sums up" in card) == ("not of perlhf" in card) == ("foreign" in env)


REWARD = {
    "accuracy": {"mean": 0.75, "low": 0.5, "high": 1.0, "n": 40}, "ceiling": 0.8, "baselines": {"length": 0.5}
}  # fmt: skip


def test_the_card_of_a_reward_model():
    beside = {"role": "reward", "lora": {"rank": 4}, "centre": 0.5, "log_prob_weight": 0.1, "score_limit": 3.0}
    card = model_card("reward", CONFIG, REWARD, beside, "tiny")
    assert yaml.safe_load(card.split("---")[1])["pipeline_tag"] == "text-classification"
    assert "accuracy on 40 held-out records, with 95% intervals:\n\n| | accuracy |\n|---|---|\n" in card
    assert (
        "| this model | 0.750 [0.500, 1.000] |\n| baseline: length | 0.500 |\n| ceiling of the labels | 0.800 |" in card
    )
    assert (
        "- It judges the miniature corpus alone: what it says to any other text means nothing.\n"
        "- What other tools compute is not the whole score: perlhf adds 0.1 times the log-probability of the response; "
        "perlhf takes 0.5 off, so that reference answers score 0; perlhf clips it to 3 from 0.\n"
    ) in card
    assert 'pipeline("text-classification", model="FOLDER")' in card
    assert "perlhf export RUN --merge" in card
    assert "perlhf export RUN --merge" not in model_card("reward", CONFIG, REWARD, beside, "tiny", "model")


def test_the_card_of_a_probe_shows_no_classifier():
    card = model_card("reward", CONFIG, {}, {"role": "reward", "lora": None, "host": "reference"}, "tiny")
    assert "A reward model, trained on judged responses: a linear head on the states of the frozen backbone." in card
    assert "pipeline(" not in card
    assert "## Figures" not in card


def test_the_card_of_sft():
    losses = {
        "before": {"mean": 2.0, "low": 1.5, "high": 2.5, "n": 9},
        "after": {"mean": 1, "low": 0.5, "high": 2, "n": 9},
    }
    card = model_card("sft", CONFIG, {"held_out_loss": losses}, {}, "tiny")
    assert "2.000 [1.500, 2.500] before, 1.000 [0.500, 2.000] after, n = 9." in card
    assert "perlhf train-sft --config config.yaml" in card


@pytest.mark.parametrize(
    ("beside", "gaps"),
    [
        ({}, []),
        ({"log_sigmoid": True, "centre": 0.0, "bias": -0.5}, ["perlhf adds -0.5", "perlhf takes log sigmoid of it"]),
        ({"read_layer": 3}, ["the head reads the state of the end token after layer 3, and a classifier that of the "
                             "last token after all layers"]),
    ],
)  # fmt: skip
def test_what_a_classifier_does_not_compute(beside, gaps):
    assert not_in_classifier(beside) == gaps


NASTY = st.text() | st.sampled_from(["a: b", "---", "``` x", "|", "#", "- x\n---\n", "`", "{{", "é", "yes", "null"])


@given(NASTY, NASTY, NASTY)
def test_no_name_breaks_a_card(env, data, reward):
    config = {**CONFIG, "env": env, "data": data, "reward": reward}
    card = model_card("policy", config, SUMMARY, ADAPTER, "tiny")
    front, rest = re.match(r"---\n(.*?)\n---\n(.*)", card, flags=re.S).groups()
    assert yaml.safe_load(front)["tags"] == ["perlhf", env, "ppo", "lora"]
    headings = [line for line in rest.splitlines() if line.startswith("#")]
    assert headings[0].startswith("# Policy for `")
    assert headings[1:] == [f"## {name}" for name in (
        "What it is", "Figures", "Data", *(["Limits"] if "Limits\n" in rest else []), "How to load it",
        "How it was trained")]  # fmt: skip
    (block,) = re.findall(r"^(`{3,})yaml\n(.*?)\n\1$", rest, flags=re.S | re.M)
    assert yaml.safe_load(block[1])["data"] == data


@given(NASTY)
def test_inline_code_is_one_line_and_closed(text):
    written = code(text)
    assert len(written.splitlines()) == 1
    fence = re.match("`+", written).group()
    assert written.endswith(fence)
    inside = written[len(fence) : -len(fence)]
    assert fence not in inside
    assert inside.strip() == " ".join(text.split())
