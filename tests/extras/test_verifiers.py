"""Our envs in verifiers: rollouts against an OpenAI-compatible server whose model is the oracle."""

import asyncio
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest

pytest.importorskip("verifiers")

import verifiers.v1 as vf
from oracle_speaker import OracleSpeaker, oracle_server

from integrations.verifiers_environment import load_environment

pytestmark = pytest.mark.extras


def speaker_of(env, seeds, **options):
    made, states = gym.make(f"perlhf/{env}", **options), []
    for seed in seeds:
        made.reset(seed=seed)
        states.append(made.unwrapped.state)
    return OracleSpeaker(made.unwrapped.task, states)


def played(env, episodes, url, options):
    """The traces of the first episodes, one after the other."""

    async def play():
        made = load_environment(env, episodes, options)
        context = vf.ModelContext(model="oracle", client=vf.EvalClientConfig(base_url=url))
        async with made.serving():
            found = [await made.run_episode(task, context) for task in made.taskset]
        assert all(episode.ok and not episode.errors for episode in found), [e.errors for e in found]
        return [trace for episode in found for trace in episode.traces]

    return asyncio.run(play())


def test_episodes_on_the_phone_succeed():
    speaker = speaker_of("UINav-v0", range(3), split="test")
    with oracle_server(speaker) as url:
        traces = played("UINav-v0", 3, url, "split=test")
    assert [trace.reward for trace in traces] == [1.0] * 3
    assert [trace.metrics["is_success"] for trace in traces] == [1.0] * 3
    assert sum(trace.num_turns for trace in traces) == len(speaker.asked) > 3
    first = speaker.asked[0]
    assert [m["role"] for m in first[:3]] == ["system", "user", "assistant"]  # the instructions, and examples
    assert first[0]["content"].startswith("You operate a phone.")
    # A conversation grows: what a turn is asked with begins the next one.
    assert speaker.asked[1][: len(first)] == first


def test_a_text_task_is_one_reply_and_its_reward_the_reward_models():
    speaker = speaker_of("HH-v0", range(2), split="test")
    with oracle_server(speaker) as url:
        traces = played("HH-v0", 2, url, "split=test")
    env, paid = gym.make("perlhf/HH-v0", split="test"), []
    for seed in range(2):
        env.reset(seed=seed)
        paid.append(env.step(env.unwrapped.oracle())[1])
    assert [trace.reward for trace in traces] == pytest.approx(paid, abs=1e-5)
    assert [trace.metrics["gold"] for trace in traces] == [1.0, 1.0]
    assert [trace.num_turns for trace in traces] == [1, 1]


def test_the_command_of_verifiers_runs_it(tmp_path):
    speaker = speaker_of("UINav-v0", range(2), split="test")
    script = Path(sys.executable).parent / "vf-eval"
    with oracle_server(speaker) as url:
        done = subprocess.run(
            [script, "integrations", "--env.taskset.env", "UINav-v0", "-n", "2", "--model", "oracle",
             "--client.base-url", url],
            capture_output=True, text=True, timeout=300, cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(speaker.asked) > 2
