"""What the envs generate from a seed, held to the hashes of the data that the bundled models were trained on."""

import hashlib

import gymnasium as gym
import pytest

import envs  # noqa: F401 - registers the ids

# env id -> sha256 over seeds 0 to 999. To be replaced only where a change of the data is meant; then the bundled models
# and every table of docs/results.md are made anew (`make models`).
HASHES = {
    "TLDR-v0": "ee984b191278262dc1ed7e6592af1e18ed923a412a9813738b678405d448a993",
    "BOLT-v0": "172a973f8e4efc14258cda59164c7cabd74d5d40f162752c3d0b70047f0b7ab0",
    "HH-v0": "77282839c1685619cc0106c3f5016d4d82345d5002bf13d6d21e753569f7081c",
    "SHP-v0": "d3a41a8a81de7c52b64bc9b6658df46c15fa3840993a96ad75a1c23b27cc6b33",
    "Taskmaster-v0": "c5edeb76f8d40b1778f6be4a56b55bcfdedb8f3cf25ad8ad0a1d11db3a33ba96",
    "VQAv2-v0": "a37ffdbd15556f7a9f95c006101c23b8b6dc9251cf58f067a7e8cda233c3cc71",
    "UINav-v0": "467dcfb9f1a2853126eba01e308797fe89cafc6d6b883f6d4bde0b23da239a23",
    "UINavNumeric-v0": "0eafd7ca8a06d16c5d8301dc4ea8424a7d1e0d3d06f722881764691db97209fe",
}


def digest(env_id, seeds):
    """The sha256 of one oracle's episode a seed: prompts, responses, rewards and pixels."""
    found = hashlib.sha256()
    options = {} if env_id == "UINavNumeric-v0" else {"reward": "gold"}
    for split in ("train", "test"):
        env = gym.make(f"perlhf/{env_id}", split=split, **options)
        for seed in seeds:
            observation, info = env.reset(seed=seed)
            ended = False
            while not ended:
                for key in sorted(observation):
                    value = observation[key]
                    found.update(value.encode() if isinstance(value, str) else value.tobytes())
                action = env.unwrapped.oracle()
                found.update(repr(action).encode())
                observation, reward, terminated, truncated, info = env.step(action)
                ended = terminated or truncated
                gold = info.get("gold") if ended else None
                found.update(repr((float(reward), terminated, truncated, gold)).encode())
        env.close()
    return found.hexdigest()


@pytest.mark.parametrize("env_id", sorted(HASHES))
def test_a_thousand_episodes_are_as_they_were(env_id):
    assert digest(env_id, range(1000)) == HASHES[env_id]
