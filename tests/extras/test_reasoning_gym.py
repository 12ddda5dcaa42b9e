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

BITS = {"task": "count_bits", "min_n": 1, "max_n": 31}
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
    one, two = (make_vec_env(ID, 4, seed=3, **BITS) for _ in range(2))
    assert one.reset() == two.reset()
    assert len(set(one.reset()["prompt"])) > 1


def test_ppo_learns_what_reasoning_gym_scores(tmp_path):
    """SFT answers bare or in a sentence, as its records do; PPO finds out which of the two is scored in full."""
    adapter.write_records(str(tmp_path / "bits.jsonl"), 1600, **BITS)
    backbone = train_sft.train(train_sft.Options(
        env="Preferences-v0", data=str(tmp_path / "bits.jsonl"), full=True, learning_rate=1.5e-3, records=1280,
        batch_size=16, output_dir=str(tmp_path / "sft"),
    ))  # fmt: skip
    summary = train_ppo.train(train_ppo.Options(
        env=ID, env_options="task=count_bits,min_n=1,max_n=31", backbone=str(backbone), max_new_tokens=12,
        kl_coef=0.02, total_timesteps=1536, eval_prompts=100, output_dir=str(tmp_path / "ppo"),
    ))  # fmt: skip
    assert summary["oracle"]["gold"] == 1.0
    assert summary["gain"]["sampled"]["low"] > 0
