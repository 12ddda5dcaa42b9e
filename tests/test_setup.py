"""What a command runs on: the setup that its options stand for, and the recipes that it takes by itself."""

import gc
from pathlib import Path

import gymnasium as gym
import pytest
import yaml
from command_modules import command_module
from tiny_models import save_gemma

import agents.setup
import backbones.backbone
import envs
import rewards.bundled
from agents import train_ppo
from agents.held_out import check_watch
from agents.setup import RECIPES, Setup, TaskOptions, recipe_of
from backbones.backbone import Backbone
from backbones.model.devices import device_of
from backbones.model.loading import load_model
from envs.registry import class_of, env_id
from envs.taskmaster.task import Taskmaster
from envs.uinav.task import UINav
from perlhf.errors import UserError
from perlhf.options import parse_options

TASKS = sorted(name.removeprefix("perlhf/") for name, spec in gym.registry.items() if "task" in spec.kwargs)
OURS = [name for name in TASKS if "/" not in name]
COMMANDS = {
    "ppo": "agents.train_ppo",
    "reward": "rewards.train_reward_model",
    "sft": "agents.train_sft",
    "pretrain": "agents.pretrain",
}
BUNDLED = sorted(path.parent for path in Path(rewards.bundled.__file__).parent.glob("*/config.yaml"))
FILES = sorted(path.relative_to(RECIPES) for path in RECIPES.rglob("*.yaml"))


def options_of(stage, path):
    """The options of a command that is given this file and nothing else."""
    return parse_options(command_module(COMMANDS[stage]).Options, ["--config", str(path)])


# Setup


def test_what_a_task_brings_stands_for_tiny_and_bundled():
    setup = Setup.of("UINav-v0")
    assert (setup.env_id, setup.task_class) == ("perlhf/UINav-v0", UINav)
    assert setup.backbone_name == "tiny-uinav"
    assert setup.reward == [{"reward": "rewards.bundled:uinav", "weight": 0.25}, {"reward": "gold", "weight": 5.0}]
    assert Setup.of("HH-v0").reward == "bundled"  # the env itself knows which


def test_other_names_stay():
    setup = Setup.of("UINav-v0", backbone="org/model", reward="gold", device="cuda:3")
    assert (setup.backbone_name, setup.reward, setup.device) == ("org/model", "gold", "cuda:3")


def test_the_options_of_the_env_reach_the_task_and_a_wrong_one_is_one_line():
    setup = Setup.of("Taskmaster-v0", "domain=ticketing")
    assert setup.task_options == {"domain": "ticketing", "data": "miniature"}
    task = setup.task("validation")
    assert isinstance(task, Taskmaster)
    assert (task.domain, task.split) == ("ticketing", "validation")
    assert [len(found.records) for found in setup.feedback("train", "test")] == [20_000, 2_000]
    with pytest.raises(UserError, match=r"Taskmaster has no option 'domains'\. Did you mean 'domain'\?"):
        Setup.of("Taskmaster-v0", "domains=ticketing")


def test_a_reward_that_is_a_file_is_read_when_it_is_asked_for(tmp_path):
    setup = Setup.of("HH-v0", reward=str(tmp_path / "reward.yaml"))  # a run's file may be gone where none is needed
    (tmp_path / "reward.yaml").write_text("- reward: gold\n  weight: 2\n")
    assert setup.reward == [{"reward": "gold", "weight": 2}]


def test_the_backbone_is_one_object_while_the_setup_is_held(tmp_path):
    save_gemma(tmp_path / "model")
    setup = Setup.of("HH-v0", backbone=str(tmp_path / "model"), device="cpu")
    assert setup.backbone is setup.backbone is Backbone.load(str(tmp_path / "model"), "cpu")


def test_a_run_looks_its_env_up_once_and_loads_its_backbone_once(tmp_path, monkeypatch):
    save_gemma(tmp_path / "model")
    asked, loaded = [], []
    monkeypatch.setattr(agents.setup, "env_id", lambda name: asked.append(name) or env_id(name))
    monkeypatch.setattr(backbones.backbone, "load_model", lambda *given: loaded.append(given[0]) or load_model(*given))
    load = Backbone.load

    def load_after_collecting(*arguments, **settings):  # what nobody holds is gone then
        gc.collect()
        return load(*arguments, **settings)

    monkeypatch.setattr(Backbone, "load", load_after_collecting)
    train_ppo.train(
        train_ppo.Options(
            backbone=str(tmp_path / "model"), reward="toy_tasks:starts_with_i", output_dir=str(tmp_path / "run"),
            total_timesteps=4, n_envs=4, batch_size=4, max_new_tokens=4, eval_prompts=4,
        )
    )  # fmt: skip
    assert asked == ["HH-v0"]
    assert loaded == [str(tmp_path / "model")]


@pytest.mark.parametrize(("there", "device"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_a_gpu_where_there_is_one(monkeypatch, there, device):
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    assert device_of("auto") == device
    assert device_of("cpu") == "cpu"


@pytest.mark.parametrize("command", [*list(COMMANDS.values())[:3], "evaluation.evaluate"])
def test_every_command_runs_on_a_gpu_by_itself(command):
    assert command_module(command).Options().device == "auto"


# Recipes


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_recipe_is_read_by_its_command_and_says_all_it_sets(path):
    options = options_of(path.parts[0], RECIPES / path)
    for name, value in yaml.safe_load((RECIPES / path).read_text(encoding="utf-8")).items():
        assert getattr(options, name) == (float(value) if isinstance(getattr(options, name), float) else value)


def test_every_task_has_a_recipe_for_ppo_and_every_recipe_a_task():
    ours = {name for name in OURS if not class_of(f"perlhf/{name}").needs_data}  # settings are tuned on some data
    assert ours == {path.stem for path in FILES if path.parts[0] == "ppo" and path.stem.count("-") == 1}
    for path in FILES:
        if path.parts[0] != "pretrain":
            assert "-".join(path.stem.split("-")[:2]) in OURS


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("HH-v0", (3072, 64, 1, 16, None, 0.15, 0.2, 64)),
        ("Taskmaster-v0", (3072, 64, 1, 16, None, 0.1, 0.2, 64)),
        ("UINav-v0", (150_000, 320, None, 192, 0.002, 0.01, 0.2, 48)),
        ("VQAv2-v0", (245_760, 512, None, 256, 0.002, 0.01, 0.2, 16)),
    ],
)
def test_ppo_takes_the_recipe_of_its_env(name, values):
    found = command_module("agents.train_ppo").read_options([name])
    names = "total_timesteps n_envs n_steps batch_size learning_rate kl_coef clip_range_vf max_new_tokens".split()
    assert tuple(getattr(found, name) for name in names) == values


@pytest.mark.parametrize("name", ["UINav-v0", "VQAv2-v0"])
def test_ppo_with_the_reward_model_takes_back_what_the_recipe_of_its_env_sets(name):
    path = RECIPES / "ppo" / f"{name}-ppo.yaml"
    found = command_module("agents.train_ppo").read_options([name, "--config", str(path)])
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {key: getattr(found, key) for key in said} == said
    check_watch(found, found.eval_prompts)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("HH-v0", (8000, None, 0.0, None, None)),
        ("TLDR-v0", (8000, None, 0.1, None, None)),
        ("SHP-v0 --backbone tiny-shp-liked", (8000, None, 0.1, None, None)),
        ("Taskmaster-v0 --backbone tiny-taskmaster-liked", (4000, 1000, 0.3, None, 3.0)),
        ("UINav-v0", (12_000, 24_000, 1.0, 3e-3, 5.0)),
        ("VQAv2-v0", (16_000, 16_000, 1.0, 2e-3, 5.0)),
    ],
)
def test_a_reward_model_is_by_itself_the_bundled_one(words, values):
    command = command_module(COMMANDS["reward"])
    found = parse_options(command.Options, words.split(), defaults=lambda options: recipe_of("reward", options))
    names = "pairs policy_pairs log_prob_weight learning_rate score_limit".split()
    assert tuple(getattr(found, name) for name in names) == values


@pytest.mark.parametrize("folder", BUNDLED, ids=lambda folder: folder.name)
def test_the_bundled_reward_models_were_made_by_their_recipes(folder):
    made = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    words = [made["env"], "--env-options", made.get("env_options", ""), "--backbone", made["backbone"]]
    command = command_module(COMMANDS["reward"])
    found = parse_options(command.Options, words, defaults=lambda options: recipe_of("reward", options))
    assert made.pop("policy_pairs") == (found.policy_pairs or found.pairs // 2)
    places = ("device", "output_dir", "threads")
    values = {name: value for name, value in made.items() if name not in places}
    assert values == {name: getattr(found, name) for name in values}


@pytest.mark.parametrize(
    "words",
    [
        ["HH-v0", "--data", "hh.jsonl"],
        ["HH-v0", "--backbone", "org/model"],
        ["VQAv2-v0", "--env-options", "feedback=pairs"],
        ["UINav-v0", "--referee"],
        ["UINav-v0", "--full"],  # the learning rate there is an adapter's, ten times that of all weights
        ["VQAv2-v0", "--full"],
        ["BOLT-v0"],
    ],
    ids=" ".join,
)
def test_a_recipe_is_left_alone_where_it_was_not_tuned_for(words):
    options = parse_options(command_module(COMMANDS["reward"]).Options, words)
    assert recipe_of("reward", options) is None


def test_recipes_of_a_task_of_ones_own_stand_beside_its_module(tmp_path, monkeypatch):
    (tmp_path / "my_lights.py").write_text(
        "from envs import register_task\nfrom toy_tasks import OneTurn\nclass Lights(OneTurn):\n    pass\n"
        "register_task('me/Lights-v0', 'my_lights:Lights')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = TaskOptions("my_lights:me/Lights-v0")
    assert recipe_of("ppo", options) is None
    (tmp_path / "recipes" / "ppo").mkdir(parents=True)
    (tmp_path / "recipes" / "ppo" / "Lights-v0.yaml").write_text("n_envs: 3\nkl_coef: 0.5\n")
    assert recipe_of("ppo", options) == tmp_path / "recipes" / "ppo" / "Lights-v0.yaml"
    found = command_module("agents.train_ppo").read_options(["my_lights:me/Lights-v0", "--kl-coef", "0.2"])
    assert (found.n_envs, found.kl_coef) == (3, 0.2)
    (tmp_path / "recipes" / "ppo" / "Lights-v0.yaml").write_text("n_envs: 3\nkl_coef: [\n")
    with pytest.raises(UserError, match=r"Lights-v0.yaml:3: not valid YAML"):
        command_module("agents.train_ppo").read_options(["my_lights:me/Lights-v0"])


def test_an_env_of_a_shipped_task_under_another_name_takes_the_recipe_of_that_task():
    envs.register_task("me/Stars-v0", "envs.uinav.task:UINav", templates="star_email")
    envs.register_task("me/OneQuestion-v0", "test_vqa_answers:OneQuestion")  # a subclass
    try:
        assert recipe_of("ppo", TaskOptions("me/Stars-v0")) == RECIPES / "ppo" / "UINav-v0.yaml"
        assert recipe_of("sft", TaskOptions("me/Stars-v0")) is None
        assert recipe_of("ppo", TaskOptions("me/OneQuestion-v0")) == RECIPES / "ppo" / "VQAv2-v0.yaml"
    finally:
        del gym.registry["me/OneQuestion-v0"]
        del gym.registry["me/Stars-v0"]


PRETRAINED = {  # steps, learning rate
    "tiny-shp": (600, 1e-3),
    "tiny-taskmaster": (400, 1e-3),
    "tiny-taskmaster-liked": (2000, 3e-3),
    "tiny-uinav": (6400, 3e-3),
    "tiny-vqav2": (6800, 3e-3),
}
SIZES = {"tiny-uinav-pixels": 6}  # documents in a step
STARTS = {
    "tiny-shp": "tiny-shp-liked",
    "tiny-taskmaster": "tiny-taskmaster-liked",
    "tiny-uinav-pixels": "tiny-uinav",
    "tiny-vqav2": "tiny-vqav2-told",
}


def test_a_shipped_backbone_is_pretrained_by_its_recipe():
    command = command_module(COMMANDS["pretrain"])
    for name in command.BACKBONES:
        options = command.read_options(["--backbone", name])
        steps, rate = PRETRAINED.get(name, (8000, 3e-3))
        assert (options.steps, options.batch_size, options.learning_rate) == (steps, SIZES.get(name, 16), rate)
        assert options.start == STARTS.get(name)
        assert (options.vocab_size, options.hidden_size, options.layers) == (2048, 128, 4)
        assert (RECIPES / "pretrain" / f"{name}.yaml").is_file()
