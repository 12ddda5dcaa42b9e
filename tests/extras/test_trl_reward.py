"""A reward of perlhf in TRL: the same numbers as here, and a step of GRPO that is rewarded by it."""

import gymnasium as gym
import pytest

trl = pytest.importorskip("trl")

from datasets import Dataset  # noqa: E402

from backbones.model.loading import SHIPPED  # noqa: E402
from integrations.trl_reward import reward_function, rows  # noqa: E402
from perlhf.errors import UserError  # noqa: E402

pytestmark = pytest.mark.extras
RESPONSES = ["I can't help with that. I can help you plan a garden.", "Yes.", "", "No, I won't: it is a crime."]


@pytest.fixture(scope="module")
def scores_here():
    """What the env itself pays for the responses to its first records."""
    env, found = gym.make("perlhf/HH-v0"), []
    for i, response in enumerate(RESPONSES):
        env.reset(options={"index": i})
        found.append(env.step(response)[1])
    return found


@pytest.mark.parametrize("chat", [False, True])
def test_the_scores_are_those_of_the_env(scores_here, chat):
    of = rows("HH-v0", len(RESPONSES), chat=chat)
    prompts, records = [row["prompt"] for row in of], [row["record"] for row in of]
    said = [[{"role": "assistant", "content": text}] for text in RESPONSES] if chat else RESPONSES
    score = reward_function("bundled", "HH-v0")
    assert score(prompts, said, record=records, trainer_state=None) == pytest.approx(scores_here, abs=1e-5)
    assert score(prompts, said, completion_ids=[]) == pytest.approx(scores_here, abs=1e-5)


def test_gold_judges_records_alone():
    score = reward_function("gold", "HH-v0")
    task = gym.make("perlhf/HH-v0").unwrapped.task
    right = [task.oracle(i) for i in range(3)]
    prompts = [row["prompt"] for row in rows("HH-v0", 3)]
    assert score(prompts, right, record=[0, 1, 2]) == [task.judge(task.turn(i, right[i])) for i in range(3)]
    with pytest.raises(UserError, match="rows need a column 'record'"):
        score(prompts, right)


def test_grpo_is_rewarded_by_it(tmp_path, monkeypatch):
    score, seen = reward_function("bundled", "HH-v0"), []

    def watched(prompts, completions, **columns):
        seen.append((prompts, completions, columns["record"], score(prompts, completions, **columns)))
        return seen[-1][-1]

    trainer = trl.GRPOTrainer(
        str(SHIPPED["tiny"]), watched,
        args=trl.GRPOConfig(
            output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, num_generations=2, use_cpu=True,
            max_completion_length=16, learning_rate=1e-3, report_to="none", save_strategy="no", logging_steps=1, seed=0,
        ),
        train_dataset=Dataset.from_list(rows("HH-v0", 8)),
    )  # fmt: skip
    before = {name: weights.detach().clone() for name, weights in trainer.model.named_parameters()}
    trainer.train()
    env = gym.make("perlhf/HH-v0")
    for _, completions, records, scores in seen:
        for text, record, paid in zip(completions, records, scores, strict=True):
            env.reset(options={"index": record})
            assert env.step(text)[1] == pytest.approx(paid, abs=1e-5)
    logged = [row["reward"] for row in trainer.state.log_history if "reward" in row]
    assert logged == pytest.approx([sum(paid) / len(paid) for *_, paid in seen], abs=1e-4)
    assert len(logged) == 2
    assert any((weights != before[name]).any() for name, weights in trainer.model.named_parameters())
