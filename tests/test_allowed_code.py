"""Files name code only where that is allowed: options, run folders, reward YAML, adapters and models of others.

`canary` is a module that leaves a file as soon as it is imported.
"""

import dataclasses
import json
import sys
from types import SimpleNamespace

import pytest
import yaml
from command_modules import command_module

from envs.named_code import modules_of_env, modules_of_env_options, modules_of_reward
from evaluation.finished_run import setup_of_run
from perlhf import allowed_code
from perlhf.errors import RewardError, UserError
from perlhf.options import option, parse_options
from rewards.functions import load_reward_yaml

RUN = {"env": "HH-v0", "env_options": "", "data": "miniature", "backbone": "tiny", "reward": "gold",
       "max_new_tokens": 8, "total_timesteps": 4}  # fmt: skip


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A module of that name, nothing allowed; `ran()` says whether it was imported."""
    monkeypatch.delenv("PERLHF_ALLOW_CODE")
    monkeypatch.setattr(allowed_code, "ALLOWED", set())
    home = tmp_path / "modules"
    home.mkdir()
    code = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"
    (home / "canary.py").write_text(f"{code}def score(turns, **_):\n    return [1.0] * len(turns)\n")
    monkeypatch.syspath_prepend(home)
    monkeypatch.delitem(sys.modules, "canary", raising=False)
    yield SimpleNamespace(ran=(home / "canary.ran").exists, folder=tmp_path / "run")
    sys.modules.pop("canary", None)


def run_folder(folder, **changed):
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({**RUN, **changed}))
    return folder


def refused(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert "would run code of the module 'canary', and a file may not ask for that by itself" in message
    assert "--allow-code canary" in message
    return message


NAMED = [
    {"reward": "canary:score"},
    {"reward": "trl:canary:score"},
    {"reward": "min(canary:score, gold)"},
    {"env": "canary:me/Toy-v0"},
    {"env": "UINav-v0", "env_options": "device=canary:score"},
    {"env": "UINav-v0", "env_options": "apps=all+canary"},
]


@pytest.mark.parametrize("named", NAMED, ids=str)
def test_no_run_folder_runs_code_when_it_is_resumed_or_opened(canary, named):
    folder = run_folder(canary.folder, **named)
    read_options = command_module("agents.train_ppo").read_options
    (key, value), *_ = list(named.items())[::-1]
    said = refused(read_options, ["--resume", str(folder)])
    line = 1 + sorted({**RUN, **named}).index(key)
    assert said.startswith(f"{folder / 'config.yaml'}:{line}: {key.replace('_', '-')} {value!r} would run")
    refused(lambda: setup_of_run({**RUN, **named}).reward)
    assert not canary.ran()


@pytest.mark.parametrize("module", ["agents.train_ppo", "agents.train_sft", "evaluation.eval_agent"])
@pytest.mark.parametrize("named", NAMED[3:], ids=str)
def test_no_config_file_runs_code(canary, tmp_path, named, module):
    (tmp_path / "given.yaml").write_text(yaml.safe_dump(named))
    refused(parse_options, command_module(module).Options, ["--config", str(tmp_path / "given.yaml")])
    assert not canary.ran()


def test_no_config_file_names_an_agent_or_apps(canary, tmp_path):
    (tmp_path / "agent.yaml").write_text("agent: canary:score\n")
    refused(parse_options, command_module("evaluation.eval_agent").Options, ["--config", str(tmp_path / "agent.yaml")])
    (tmp_path / "apps.yaml").write_text("apps: all+canary\n")
    refused(parse_options, command_module("envs.uinav.play").Options, ["--config", str(tmp_path / "apps.yaml")])
    assert not canary.ran()


REWARDS = [
    {"reward": "canary:score"},
    {"reward": "trl:canary:score"},
    {"reward": "uncertainty(gold, canary:score)"},
    [{"reward": "gold"}, {"reward": "canary:score", "weight": 0.0}],
    {"ensemble": "min", "members": ["gold", {"reward": "canary:score"}]},
    {"ensemble": "min", "members": ["gold", [{"reward": "min(gold, mean(gold, canary:score))"}]]},
]


@pytest.mark.parametrize("spec", REWARDS, ids=str)
def test_no_reward_file_runs_code(canary, tmp_path, spec):
    path = tmp_path / "reward.yaml"
    path.write_text(yaml.safe_dump(spec))
    assert refused(load_reward_yaml, path).startswith(f"{path}: the reward would run")
    refused(lambda: setup_of_run({**RUN, "reward": str(path)}).reward)
    assert not canary.ran()
    assert load_reward_yaml(path, allow_code="canary") == spec
    refused(load_reward_yaml, path)  # that was for the one call
    assert load_reward_yaml(path, allow_code=["other", "canary"]) == spec


@pytest.mark.parametrize(
    "spec",
    [
        "os:system", "rewards.trl_functions:score", "envs.entry_points:load_callable", "rewards.functions.os:x",
        {"reward": "trl:rewards.functions:contains", "trl_function": "os:system"},
        {"reward": "rewards.trl_functions:score", "trl_function": "rewards.functions:contains"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_imported_already_or_calls_what_its_options_name_is_not_ours_to_run(canary, spec):
    with pytest.raises(UserError, match="would run code of the module"):
        allowed_code.check_code(modules_of_reward(spec), "here")


@pytest.mark.parametrize(
    "spec",
    [
        "bundled", "gold", "rewards.functions:success_and_progress", "rewards.bundled:hh", "mean(gold, bundled)",
        "classifier:me/reward", "judge:http://localhost:8000#a:b", "runs/gone", "reward.yaml", lambda turns: turns,
        [{"reward": "bundled"}, {"reward": "rewards.functions:length_penalty", "target": 30}],
    ],
    ids=lambda spec: getattr(spec, "__name__", str(spec)),
)  # fmt: skip
def test_what_perlhf_ships_needs_no_permission(canary, spec):
    assert modules_of_reward(spec) == set()
    assert modules_of_env("HH-v0") == modules_of_env("me/Toy-v0") == modules_of_env("envs:perlhf/HH-v0") == set()
    assert modules_of_env_options("UINav-v0", "actions=qwen:1000,apps=all+tickets,image=true") == set()


def test_a_reward_of_no_known_form_is_said_as_ever(canary):
    with pytest.raises(RewardError, match="parentheses do not match"):
        modules_of_reward("min(canary:score")


# What is allowed.


@dataclasses.dataclass
class Options:
    """Options of which one names code."""

    reward: str = option("gold", "the reward", code=lambda options: modules_of_reward(options.reward))
    other: str = option("gold", "another", code=lambda options: modules_of_reward(options.other))


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "given.yaml"
    path.write_text("reward: canary:score\n")
    return ["--config", str(path)]


@pytest.mark.parametrize(
    "words",
    [
        ["--allow-code", "canary"], ["--allow_code=canary"], ["--allow-code", "my_one+canary"],
        ["--allow-code", "x", "--allow-code", "canary"], ["--reward", "canary:score"], ["--other", "canary:more"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_command_line_allows_a_module(canary, config, words):
    refused(parse_options, Options, config)
    assert parse_options(Options, [*config, *words]).reward == "canary:score"


def test_what_the_command_line_replaces_runs_nothing(canary, config):
    assert parse_options(Options, [*config, "--reward", "gold"]).reward == "gold"


@pytest.mark.parametrize("words", [["--allow-code", "canar"], ["--allow-code", "canary.more"], ["--other", "os:x"]])
def test_another_module_is_no_permission(canary, config, words):
    refused(parse_options, Options, [*config, *words])


def test_a_package_stands_for_what_is_in_it(canary):
    allowed_code.check_code({"canary.deep.down"}, "here", "canary")


def test_the_environment_and_python_allow_modules(canary, config, monkeypatch):
    with monkeypatch.context() as within:
        within.setenv("PERLHF_ALLOW_CODE", "a+canary")
        parse_options(Options, config)
    refused(parse_options, Options, config)
    allowed_code.allow_code("canary")
    parse_options(Options, config)


def test_a_file_cannot_allow_its_own_code(canary, tmp_path):
    (tmp_path / "given.yaml").write_text("allow_code: canary\nreward: canary:score\n")
    with pytest.raises(UserError, match=r"given.yaml:1: unknown key 'allow_code'"):
        parse_options(Options, ["--config", str(tmp_path / "given.yaml")])


def test_names_from_python_are_asked_for(canary):
    import gymnasium as gym

    env = gym.make("perlhf/HH-v0", reward="canary:score")
    env.reset(seed=0)
    assert env.step("Yes.")[1] == 1.0
    assert canary.ran()


# Adapters and models.


def test_an_adapter_imports_no_module_for_megatron(canary, tmp_path):
    from rewards.trl_adapter import load

    config = {"peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": str(tmp_path), "r": 2}
    config |= {"lora_alpha": 2, "megatron_config": {"x": 1}, "megatron_core": "canary"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(RewardError, match="names a module to import"):
        load(str(tmp_path))
    assert not canary.ran()


@pytest.mark.parametrize("named", ["somebody/kernel", {"text_config": "somebody/kernel"}], ids=["all of it", "a part"])
def test_a_model_takes_no_attention_from_the_hub(tmp_path, named):
    from backbones.backbone import Backbone
    from backbones.model.loading import SHIPPED, read_config

    for file in SHIPPED["tiny" if isinstance(named, str) else "tiny-vqav2"].iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text()) | {"attn_implementation": named}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="takes code from the hub, attention 'somebody/kernel'"):
        read_config(str(tmp_path))
    with pytest.raises(UserError, match="takes code from the hub"):
        Backbone.load(tmp_path)


def test_a_model_with_code_of_its_own_runs_none(canary, tmp_path):
    from backbones.backbone import Backbone
    from backbones.model.loading import SHIPPED

    for file in SHIPPED["tiny"].iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "theirs.py").write_text("import canary\n")
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.C", "AutoModelForCausalLM": "theirs.M"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="cannot be loaded"):
        Backbone.load(tmp_path)
    assert not canary.ran()
