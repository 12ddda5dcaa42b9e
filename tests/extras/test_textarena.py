"""TextArena's games through the adapter in examples/: Gymnasium's checker, games played to their ends, and PPO."""

import random
import sys
from importlib import import_module
from pathlib import Path

import pytest
from gymnasium.utils.env_checker import check_env
from tiny_models import save_gemma

from agents import PPO, make_vec_env
from envs.gym_task import GymTask

pytestmark = pytest.mark.extras
pytest.importorskip("textarena")
sys.path.append(str(Path(__file__).parents[2] / "examples"))
TextArenaEnv = import_module("textarena_env").TextArenaEnv

ID = "textarena_env:examples/TextArena-v0"


def take_one(text):
    """Plays Nim: one object from the first pile that has any."""
    piles = text.rpartition("Current Pile:")[2].splitlines()[1:4]
    return next(f"[{i} 1]" for i, pile in enumerate(piles) if not pile.endswith(": 0"))


@pytest.mark.parametrize("game", [("GuessTheNumber-v0",), ("TowerOfHanoi-v0",), ("Nim-v0", take_one)])
def test_gymnasiums_checker_has_nothing_to_say(game):
    check_env(TextArenaEnv(*game), skip_render_check=True)


def test_a_number_is_guessed():
    env = TextArenaEnv("GuessTheNumber-v0")
    text, _ = env.reset(seed=3)
    assert "between 1 and 20 within 10 turns" in text
    low, high, ended, turns = 1, 20, False, 0
    while not ended:
        guess = (low + high) // 2
        text, reward, ended, _, _ = env.step(f"[{guess}]")
        turns += 1
        low, high = (guess + 1, high) if text.endswith("higher.") else (low, guess - 1)
    assert (reward, turns <= 5) == (1.0, True)


def test_a_fixed_opponent_answers_and_somebody_wins():
    env = TextArenaEnv("Nim-v0", take_one)
    text, _ = env.reset(seed=0)
    ended, rewards = False, []
    while not ended:
        text, reward, ended, _, _ = env.step(take_one(text))
        rewards.append(reward)
    assert (len(rewards), rewards[-1], sum(rewards[:-1])) == (6, -1.0, 0.0)  # of 12 objects the opponent takes the last


def test_games_side_by_side_leave_each_others_luck_and_pythons_alone():
    task = GymTask(ID)
    assert task.repeats
    states = task.first_states(8)
    random.seed(5)
    expected = random.Random(5).random()
    for state in states:
        after = task.play(state, "[10]").state
        assert task.play(state, "[10]").state.shown == after.shown
    assert random.random() == expected


def test_ppo_plays_and_trains(tmp_path):
    save_gemma(tmp_path)
    settings = {"backbone": str(tmp_path), "max_new_tokens": 8}
    for env in (ID, make_vec_env(lambda: TextArenaEnv("Nim-v0", take_one), 4, seed=0)):
        model = PPO("LoRAPolicy", env, n_envs=4, batch_size=4, n_steps=4, policy_kwargs=settings, seed=0, device="cpu")
        model.learn(32)
        assert model.num_timesteps == 32
        assert not model.rollout.failed.any()
        assert len(model.ep_info_buffer) > 0
