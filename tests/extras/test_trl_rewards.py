"""A reward adapter that the installed TRL trains scores in perlhf as in TRL, and its reward functions' form is ours."""

import inspect
import sys
from pathlib import Path

import gymnasium as gym
import pytest
import torch
import transformers

sys.path.append(str(Path(__file__).parents[1]))  # the helpers of the other tests

from foreign_rewards import save_causal_qwen
from peft import LoraConfig, PeftModel
from tiny_models import gemma

import envs  # noqa: F401 - registers perlhf/*
from backbones.backbone import Backbone
from envs.hh.task import HH
from envs.reward_spec import resolve_reward, score_turns
from envs.turn import Turn
from perlhf.conversation import Conversation, Message
from rewards.trl_adapter import AdapterReward, load

pytestmark = pytest.mark.extras
trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

SAID = [("Hello there.", "Yes, I can help you.", "No"), ("good or bad?", "maybe good", "bad, bad, bad and bad")] * 8


def trained(folder, base, rows, template=True):
    """What TRL's RewardTrainer makes of a base, in a few steps, as its users save it."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    if not template:
        tokenizer.chat_template = None
    options = {"max_steps": 4, "per_device_train_batch_size": 4, "learning_rate": 0.05, "use_cpu": True, "bf16": False}
    args = trl.RewardConfig(str(folder / "log"), report_to="none", save_strategy="no", disable_tqdm=True, **options)
    lora = LoraConfig(task_type="SEQ_CLS", r=4, target_modules=["q_proj", "v_proj"], modules_to_save=["score"])
    trainer = trl.RewardTrainer(
        model=str(base), args=args, train_dataset=datasets.Dataset.from_list(rows), processing_class=tokenizer,
        peft_config=lora,
    )  # fmt: skip
    trainer.train()
    trainer.save_model(str(folder / "adapter"))
    return trainer, str(folder / "adapter")


@torch.no_grad()
def scores_of_trainer(trainer, key):
    """What TRL's own model says of its own ids, padded by its own collator."""
    model, data = trainer.model.eval(), trainer.train_dataset
    batch = trainer.data_collator([data[0], data[1]])
    scores = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0].tolist()
    return scores[:2] if key == "chosen" else scores[2:]


@pytest.mark.parametrize("kind", ["messages", "text", "text, padded with the end token"])
def test_an_adapter_of_the_reward_trainer_scores_as_there(tmp_path, kind):
    base = save_causal_qwen(tmp_path / "base")
    messages = kind == "messages"
    if kind == "text, padded with the end token":
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        tokenizer.pad_token = tokenizer.eos_token
        tokenizer.save_pretrained(base)
    if messages:
        rows = [
            {
                "prompt": [{"role": "user", "content": prompt}],
                **{
                    side: [{"role": "assistant", "content": text}]
                    for side, text in (("chosen", chosen), ("rejected", rejected))
                },
            }
            for prompt, chosen, rejected in SAID
        ]
    else:
        rows = [{"prompt": p, "chosen": f" {chosen}", "rejected": f" {rejected}"} for p, chosen, rejected in SAID]
    trainer, adapter = trained(tmp_path, base, rows, template=messages)
    reward = resolve_reward(adapter, HH(split="test"))
    for side, number in (("chosen", 1), ("rejected", 2)):
        prompts = [Conversation([Message("user", row[0])]) if messages else row[0] for row in SAID[:2]]
        turns = [Turn(prompt, row[number]) for prompt, row in zip(prompts, SAID[:2], strict=True)]
        expected = scores_of_trainer(trainer, side)
        assert score_turns(reward, turns).tolist() == pytest.approx(expected, abs=1e-5)
        assert abs(expected[0] - expected[1]) > 1e-3
    assert isinstance(load(adapter), AdapterReward)
    assert load(adapter).role.backbone is Backbone.load(str(base))
    whole = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    assert PeftModel.from_pretrained(whole, adapter)  # the folder is as TRL left it


def test_it_rewards_an_env_and_shares_the_policys_base(tmp_path):
    Backbone.release_all()
    backbone = gemma(tmp_path / "policy")
    rows = [{"prompt": p, "chosen": f" {chosen}", "rejected": f" {rejected}"} for p, chosen, rejected in SAID]
    _, adapter = trained(tmp_path, tmp_path / "policy", rows)
    env = gym.make_vec("perlhf/HH-v0", 2, reward=adapter)
    env.reset(seed=0)
    assert len(set(env.step(("I can help.", "No"))[1].tolist())) == 2
    assert Backbone.in_memory() == [backbone]


def test_functions_are_called_by_the_names_that_trl_calls_them_by():
    """GRPOTrainer passes prompts, completions and columns by keyword."""
    source = inspect.getsource(trl.GRPOTrainer)
    assert "prompts=prompts, completions=completions" in source
    turns = [Turn("What is 1 + 1?", "<think>\nIt is two.\n</think>\n2"), Turn("What is 1 + 1?", "2")]
    spec = {"reward": "trl:trl.rewards:think_format_reward", "conversational": True}
    assert score_turns(resolve_reward(spec, HH(split="test")), turns).tolist() == [1.0, 0.0]
