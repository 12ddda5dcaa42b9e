"""reasoning-gym's tasks through the adapter in examples/: Gymnasium's checker, and PPO that learns one of them."""

import sys
from importlib import import_module
from pathlib import Path

import pytest
from gymnasium.utils.env_checker import check_env

from agents import make_vec_env, train_ppo, train_sft
from envs.gym_task import GymTask

pytestmark = pytest.mark.extras
pytest.importorskip("reasoning_gym")
sys.path.append(str(Path(__file__).parents[2] / "examples"))
adapter = import_module("reasoning_gym_env")

SUMS = {"task": "chain_sum", "max_terms": 2, "max_digits": 1}
ID = "reasoning_gym_env:examples/ReasoningGym-v0"


@pytest.mark.parametrize("task", ["chain_sum", "leg_counting", "spell_backward", "knights_knaves", "countdown"])
def test_gymnasiums_checker_has_nothing_to_say(task):
    check_env(adapter.ReasoningGymEnv(task), skip_render_check=True)


@pytest.mark.parametrize("task", ["chain_sum", "letter_counting", "sudoku"])
def test_the_oracle_is_right_by_reasoning_gyms_own_score(task):
    task = GymTask(ID, arguments={"task": task})
    assert task.repeats
    for state in task.first_states(5):
        assert task.play(state, task.oracle(state)).turn.reference["reward"] == 1.0


def test_two_envs_ask_the_same_under_the_same_seed():
    one, two = (make_vec_env(ID, 4, seed=3, **SUMS) for _ in range(2))
    assert one.reset() == two.reset()
    assert len(set(one.reset()["prompt"])) > 1


def test_ppo_learns_sums_of_two_digits(tmp_path):
    """SFT on 800 answers gets some sums right; PPO on reasoning-gym's own score gets far more of them right."""
    adapter.write_records(str(tmp_path / "sums.jsonl"), 800, **SUMS)
    backbone = train_sft.train(train_sft.Options(
        env="Preferences-v0", data=str(tmp_path / "sums.jsonl"), full=True, learning_rate=2e-3, records=800,
        batch_size=16, output_dir=str(tmp_path / "sft"),
    ))  # fmt: skip
    summary = train_ppo.train(train_ppo.Options(
        env=ID, env_options="task=chain_sum,max_terms=2,max_digits=1", backbone=str(backbone), max_new_tokens=4,
        kl_coef=0.01, total_timesteps=4096, eval_prompts=200, output_dir=str(tmp_path / "ppo"),
    ))  # fmt: skip
    assert summary["oracle"]["gold"] == 1.0
    assert summary["gain"]["sampled"]["low"] > 0.1
    assert summary["gain"]["greedy"]["low"] > 0
