"""`gym.make_vec(..., "async")`: episodes in worker processes, with text in shared memory and learned rewards."""

import os
import subprocess
import sys

import gymnasium as gym
import pytest
from test_architecture import ROOT

import envs  # noqa: F401 - registers perlhf/*
from envs.registry import class_of

TASKS = sorted(i for i, spec in gym.registry.items() if i.startswith("perlhf/") and "task" in spec.kwargs)
IDS = [name for name in TASKS if not class_of(name).needs_data]


@pytest.mark.parametrize("env_id", IDS)
def test_episodes_in_workers_are_those_of_single_envs(env_id):
    singles = [gym.make(env_id, reward="gold") for _ in range(2)]
    vector = gym.make_vec(env_id, 2, "async", reward="gold")
    try:
        shown, _ = vector.reset(seed=3)
        alone = [env.reset(seed=3 + i)[0] for i, env in enumerate(singles)]
        assert shown["prompt"] == tuple(each["prompt"] for each in alone)
        responses = tuple(env.unwrapped.oracle() for env in singles)
        shown, rewards, terminated, _, infos = vector.step(responses)
        steps = [env.step(response) for env, response in zip(singles, responses, strict=True)]
        assert shown["prompt"] == tuple(step[0]["prompt"] for step in steps)
        assert rewards.tolist() == [step[1] for step in steps]
        assert terminated.tolist() == [step[2] for step in steps]
        assert infos["gold"].tolist() == [step[4]["gold"] for step in steps]
        if "image" in shown:
            assert (shown["image"] == [step[0]["image"] for step in steps]).all()
    finally:
        vector.close()


AFTER_THREADS = """
import torch, gymnasium as gym
import envs
{imported}
if __name__ == "__main__":
    torch.set_num_threads(4)
    large = torch.ones(1500, 1500)
    assert (large @ large)[0, 0] == 1500  # the threads of this process, which no forked one has
    responses = ("I can't help with that.", "First, yes.")
    vector = gym.make_vec("perlhf/HH-v0", 2, "async", reward="{reward}")
    vector.reset(seed=0)
    scores = vector.step(responses)[1].tolist()
    vector.close()
    alone = gym.make_vec("perlhf/HH-v0", 2, reward="{reward}")
    alone.reset(seed=0)
    print(max(abs(a - b) for a, b in zip(scores, alone.step(responses)[1].tolist())) < 1e-4)
"""


OWN_REWARD = """
import torch
def score(turns):
    large = torch.ones(1500, 1500)
    return [(large @ large)[0, 0].item() + len(turn.response) for turn in turns]
"""


@pytest.mark.parametrize(
    ("imported", "reward"),
    [
        ("", "bundled"),
        pytest.param("import rewards.reward_model", "bundled", marks=pytest.mark.long),
        ("", "own_reward:score"),
    ],
)
def test_workers_score_with_a_learned_reward_after_torch_used_its_threads(tmp_path, imported, reward):
    """They hung for good: torch's threads do not survive the fork."""
    (tmp_path / "own_reward.py").write_text(OWN_REWARD)
    (tmp_path / "workers.py").write_text(AFTER_THREADS.format(imported=imported, reward=reward))
    words = [sys.executable, str(tmp_path / "workers.py")]
    found = subprocess.run(
        words, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=240, check=False
    )
    assert found.stdout == "True\n", found.stderr


ONE_THREAD = """
import os, torch, envs
from envs.reward_spec import score_turns
def threads_of_child(scores):
    reader, writer = os.pipe()
    if os.fork() == 0:
        if scores:
            score_turns(lambda turns: [0.0] * len(turns), [])
        os.write(writer, bytes([torch.get_num_threads()]))
        os._exit(0)
    return os.read(reader, 1)[0]
torch.set_num_threads(3)
print(threads_of_child(False), threads_of_child(True), torch.get_num_threads())
"""


def test_only_a_forked_process_that_scores_has_one_thread():
    words = [sys.executable, "-c", ONE_THREAD]
    found = subprocess.run(
        words, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=240, check=False
    )
    assert found.stdout == "3 1 3\n", found.stderr
