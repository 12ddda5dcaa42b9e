"""Envs of perlhf as TRL's `environment_factory`, in the real GRPOTrainer: a phone by a tool, a text task without."""

import json

import gymnasium as gym
import pytest

trl = pytest.importorskip("trl")

import torch  # noqa: E402
from chat_models import model_of, tokenizer_of  # noqa: E402
from datasets import Dataset  # noqa: E402
from transformers.utils import get_json_schema  # noqa: E402

from integrations.trl_environment import environment_factory, rows, score_completions  # noqa: E402
from perlhf.errors import UserError  # noqa: E402

pytestmark = pytest.mark.extras


@pytest.fixture
def made(monkeypatch):
    """The envs that were made, in order."""
    found, make = [], gym.make
    monkeypatch.setattr("integrations.text.gym.make", lambda *a, **k: found.append(make(*a, **k)) or found[-1])
    return found


def trained(tmp_path, say, env, factory, length, **more):
    """The log of a step of GRPO on one episode, twice, with a random chat model that says what `say(texts)` gives."""
    tokenizer = tokenizer_of("qwen", "qwen3")
    model = model_of(tokenizer)

    def generate(input_ids, attention_mask, **_):
        texts = [tokenizer.decode(row[mask.bool()]) for row, mask in zip(input_ids, attention_mask, strict=True)]
        said = [tokenizer.encode(text + "<|im_end|>") for text in say(texts)]
        width = max(map(len, said))
        padded = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in said])
        return torch.cat([input_ids, padded], 1)

    model.generate = generate
    before = [weights.detach().clone() for weights in model.parameters()]
    trainer = trl.GRPOTrainer(
        model,
        args=trl.GRPOConfig(
            output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=2, num_generations=2, use_cpu=True,
            max_completion_length=length, learning_rate=1e-2, report_to="none", save_strategy="no", logging_steps=1,
        ),
        processing_class=tokenizer, train_dataset=Dataset.from_list(rows(env, 1)), environment_factory=factory, **more,
    )  # fmt: skip
    trainer.train()
    assert any((new != old).any() for new, old in zip(trainer.model.parameters(), before, strict=True))
    return next(row for row in trainer.state.log_history if "reward" in row)


def test_a_phone_is_acted_on_with_a_tool(tmp_path, made):
    factory, actions = environment_factory("UINav-v0", templates="star_email"), []

    def say(texts):
        """The first rollout does what the oracle says, the second gives up at once."""
        assert len(texts) == (1 if actions else 2)
        assert all("tap element N" in text and "GOAL" in text and '"name": "act"' in text for text in texts)
        if "The episode is over." in texts[0].split("<tool_response>")[-1]:
            return ["That is all."]
        actions.append(made[0].unwrapped.oracle())
        call = json.dumps({"name": "act", "arguments": {"action": actions[-1]}})
        return [f"<tool_call>\n{call}\n</tool_call>", "I give up."][: len(texts)]

    log = trained(tmp_path, say, "UINav-v0", factory, length=8000)
    assert len(made) == 2
    assert actions[-1].startswith("done")
    assert (log["reward"], log["reward_std"] > 0) == (0.5, True)  # 1 for the goal, 0 for giving up
    assert log["rewards/ManyActions/mean"] == 0.5
    assert log["tools/call_frequency"] == len(actions) / 2
    assert log["tools/failure_frequency"] == 0


def test_what_comes_after_the_end_changes_nothing():
    phone = environment_factory("UINav-v0", templates="star_email")()
    assert phone.reset(seed=3).startswith("GOAL")
    assert "SCREEN" in phone.act("home()")
    assert phone.act("infeasible(no)") == phone.act("home()") == "The episode is over."
    assert phone.get_reward() == 0
    described = get_json_schema(phone.act)["function"]
    assert described["description"] == "Does one action."
    assert described["parameters"]["required"] == ["action"]
    with pytest.raises(UserError, match="rows need a column 'seed'"):
        phone.reset(prompt=[])


def test_a_text_task_is_answered_by_the_completion(tmp_path, made):
    said = ["I can't help with that. I can help you plan a garden.", "Yes."]
    log = trained(
        tmp_path, lambda texts: said, "HH-v0", environment_factory("HH-v0"), 80, reward_funcs=score_completions
    )
    env, paid = gym.make("perlhf/HH-v0"), []
    for text in said:
        env.reset(seed=0)
        paid.append(env.step(text)[1])
    assert paid[0] != paid[1]
    assert log["reward"] == pytest.approx(sum(paid) / 2, abs=1e-4)
