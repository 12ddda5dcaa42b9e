"""What a command runs on, looked up once: the task of an environment, backbone, reward, device and recipe."""

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import gymnasium as gym

from agents.hyperparameters import ModelSettings
from backbones.backbone import Backbone
from backbones.memory import MICRO_BATCH, rows_that_fit
from backbones.model.devices import device_of, has_avx2
from backbones.model.loading import SHIPPED, LoadSettings, read_config
from backbones.role_report import describe_role
from backbones.roles import Role
from envs.feedback import Feedback
from envs.gym_task import GymTask
from envs.named_code import modules_of_env, modules_of_env_options, modules_of_reward
from envs.registry import class_of, env_id, env_options, feedback_of, task_of
from envs.task import Task
from perlhf import reproducible
from perlhf.allowed_code import check_code
from perlhf.errors import UserError
from perlhf.options import option
from perlhf.plain_yaml import load_yaml
from rewards.functions import reward_from_text

RECIPES = Path(__file__).parents[1] / "recipes"  # never imported: a folder of that name may be in the way
_TUNED_FOR = (
    "data",
    "env_options",
    "backbone",
    "referee",
    "full",
)  # a recipe that names one of these is for that alone


Reproduced = TypeVar("Reproduced", bound="ReproducibleOptions")

# Options that several commands share.


@dataclass
class TaskOptions:
    """What a command works on."""

    group: ClassVar[str] = "what to work on"
    env: str = option(
        "HH-v0", "HH-v0, TLDR-v0 ..., or MODULE:ID of your own", positional=True, code=lambda o: modules_of_env(o.env)
    )
    env_options: str = option(
        "",
        "further arguments of the environment, such as 'domain=ticketing'",
        code=lambda o: modules_of_env_options(o.env, o.env_options),
    )
    data: str = option("miniature", "'miniature', 'hub', or a file or folder of the real corpus; see docs/tasks/")
    columns: str = option("", "what columns of Preferences-v0's files are called: 'prompt=question,chosen=good'")


@dataclass
class RunOptions:
    """How a command runs."""

    group: ClassVar[str] = "the run"
    seed: int = option(0, "decides every random draw", low=0, high=2**32 - 1)
    threads: int = option(0, "CPU threads of torch; 0 takes 1 for a small backbone, else torch's default", low=0)
    device: str = option("auto", "where to run: cpu, cuda, xpu, mps; auto takes a GPU where there is one")


@dataclass
class ReproducibleOptions(RunOptions):
    """How a command runs that can give the same numbers on other CPUs."""

    group: ClassVar[str] = RunOptions.group
    reproducible: bool = option(False, "the same on every x86-64 CPU, and slower: docs/reliability.md")


@dataclass
class FitOptions(ModelSettings, TaskOptions):
    """What fitting an adapter, or all weights, to records takes."""

    group: ClassVar[str] = "how it learns"
    lora_rank: int = option(16, "rank of the adapter", low=1, group="what is trained")
    epochs: int = option(1, "passes over the records", low=1)
    batch_size: int = option(32, "records in an optimizer step", low=1)
    micro_batch_size: int | None = option(
        None, "records in one forward pass of training; what memory has room for, 16 or 8 pairs at most", low=1
    )
    warmup: float | None = option(
        None,
        "share of the steps in which the learning rate rises; by default a tenth, 20 steps at most",
        low=0,
        high=1,
    )
    output_dir: str | None = option(None, "the run folder; runs/ENV-STAGE-seedN by default", group=RunOptions.group)
    resume: str | None = option(None, "a run folder to go on with, from its last checkpoint", group=RunOptions.group)
    checkpoint_every: int = option(100, "optimizer steps between checkpoints", low=1, group=RunOptions.group)
    keep_checkpoints: int = option(2, "newest checkpoints that stay", low=1, group=RunOptions.group)


# What they stand for.


class Choices(Protocol):
    """The options that say what a command runs on."""

    env: str
    env_options: str
    data: str
    columns: str
    backbone: str
    device: str

    @property
    def load_settings(self) -> LoadSettings: ...


@dataclass(frozen=True)
class Setup:
    """What the options of a command stand for.

    Attributes:
        env_id: the full id of the environment.
        task_class: the class of its task.
        task_options: arguments of the task, `data` among them.
        backbone_name: the folder or hub id, "tiny" resolved to the task's own.
        reward_text: the reward as a command is given it.
        reward_file: the file that names it, which is held against what is allowed; "" where the user does.
        device: where to run.
        load_settings: of the backbone; None takes a copy in memory as it is.
    """

    env_id: str
    task_class: type[Task]
    task_options: Mapping[str, Any]
    backbone_name: str
    reward_text: str
    device: str
    load_settings: LoadSettings | None
    reward_file: str = ""

    @classmethod
    def of(
        cls,
        env: str,
        env_options_text: str = "",
        data: str = "miniature",
        backbone: str = "tiny",
        reward: str = "bundled",
        device: str = "auto",
        load_settings: LoadSettings | None = None,
        columns: str = "",
        reward_file: str = "",
    ) -> "Setup":
        """Looks everything up; the arguments are options of a command, `reward_file` is as above.

        Raises:
            UserError: an unknown environment, or an option that its task does not have.
        """
        full_id = env_id(env)
        task_class = class_of(full_id)
        of_task = {**env_options(full_id, env_options_text), "data": data, **_columns_of(task_class, columns)}
        named = _shipped_for(full_id, of_task) if backbone == "tiny" else backbone
        return cls(full_id, task_class, of_task, named, reward, device_of(device), load_settings, reward_file)

    @classmethod
    def of_options(cls, options: Choices, reward: str = "bundled") -> "Setup":
        """`of`, from the options of a command."""
        of_task = options.env, options.env_options, options.data
        how = reward, options.device, options.load_settings
        return cls.of(*of_task, options.backbone, *how, columns=options.columns)

    def task(self, split: str, **more: Any) -> Task:
        """Returns the task over a split of its data; `more` are other options of it."""
        return task_of(self.env_id, **{**self.task_options, **more, "split": split})

    def feedback(self, *splits: str) -> list[Feedback]:
        """Returns what is learned from, records of prompts and responses, over each of some splits.

        Raises:
            UserError: the task has none.
        """
        return feedback_of(self.env_id, self.task_options, splits)

    @cached_property
    def reward(self) -> Any:
        """The reward spec, see `envs.reward_spec`: "bundled" is the task's learned one, a YAML file what it says.

        Raises:
            UserError: a file names code for it which is not allowed, see `perlhf.allowed_code`.
        """
        learned = self.task_class.trained_reward
        spec = reward_from_text(self.reward_text)
        if self.reward_file:
            check_code(modules_of_reward(spec), f"{self.reward_file}: reward {self.reward_text!r}")
        return learned if spec == "bundled" and learned is not None else spec

    @cached_property
    def backbone(self) -> Backbone:
        """The backbone, loaded when it is first asked for and held by this object; says where it is, and in what."""
        backbone = Backbone.load(self.backbone_name, self.device, self.load_settings)
        print(backbone.whereabouts, flush=True)
        return backbone


def _columns_of(task_class: type[Task], columns: str) -> dict[str, str]:
    """Returns `--columns` as an option of the task; UserError where its files have names of their own."""
    if not columns:
        return {}
    if "columns" not in inspect.signature(task_class).parameters:
        raise UserError(
            f"--columns {columns!r}: {task_class.__name__} reads the files of one corpus, whose columns have their "
            "names; --env Preferences-v0 reads other files."
        )
    return {"columns": columns}


def reproduced(options: Reproduced) -> Reproduced:
    """Returns the options that a command runs with: with `reproducible` on a CPU, and on one thread.

    Raises:
        UserError: with `reproducible`, another device, a CPU that has not all it takes, or libraries that were loaded
            without `perlhf.reproducible.SETTINGS`.
    """
    if not options.reproducible:
        return options
    if options.device not in ("auto", "cpu"):
        raise UserError(f"--reproducible is of CPUs, and --device is {options.device}; leave one of them out.")
    reproducible.require()
    if not has_avx2():
        raise UserError("--reproducible takes an x86-64 CPU with AVX2 (of 2013 or later), which this one is not.")
    return replace(options, device="cpu", threads=1)


def add_role(
    backbone: Backbone, options: FitOptions, name: str, seed: int, head: bool = False, dropout: float = 0.0
) -> Role:
    """Adds a new role to fit: an adapter as the options describe it, or with --full all weights. Prints what it is."""
    role = backbone.add_role(name, options.lora(backbone.model, dropout=dropout), head=head, seed=seed)
    print(describe_role(role))
    return role


def micro_batch_of(
    options: FitOptions,
    role: Role,
    rows: Sequence[tuple[Sequence[int], Sequence[int]]],
    per_record: int = 1,
    most: int = MICRO_BATCH,
) -> int:
    """Returns the records in one forward pass of training: as given, or as memory has room for, which it prints.

    Args:
        options: of the command.
        role: that is trained.
        rows: token ids of all prompts and responses.
        per_record: how many of them are one record.
        most: how many records it may be at most by itself.
    """
    if options.micro_batch_size is not None:
        return options.micro_batch_size
    longest, response = max(len(p) + len(r) for p, r in rows), max(len(r) for _, r in rows)
    found = rows_that_fit(role, longest, response, most, per_record)
    if found < most:
        print(f"micro-batch: {found} records of up to {longest} tokens, for memory (--micro-batch-size)", flush=True)
    return found


def _shipped_for(full_id: str, options: Mapping[str, Any]) -> str:
    """Returns what "tiny" stands for with an env; one of somebody else's is made to see whether it shows pictures."""
    if class_of(full_id) is not GymTask:
        return class_of(full_id).shipped_backbone
    task = task_of(full_id, **options)
    task.close()
    return task.shipped_backbone


def is_shipped(backbone: Backbone) -> bool:
    """Returns whether a backbone comes with this package, or has the shape of one that does, as after SFT.

    Defaults that were tuned on these hold for them; any other one has defaults that ask less of luck.
    """
    return _shape(backbone.model.config) in {_shape(read_config(str(folder))) for folder in SHIPPED.values()}


def _shape(config: Any) -> tuple[Any, ...]:
    text = config.get_text_config()
    return config.model_type, text.hidden_size, text.num_hidden_layers, text.vocab_size


def about(options: Any) -> dict[str, Any]:
    """Returns what every command that writes a summary.json says of itself there."""
    return {name: getattr(options, name) for name in ("env", "env_options", "backbone", "seed", "data")}


def identity(options: Any) -> dict[str, Any]:
    """Returns the same of a training command, and what it trains."""
    rank = None if options.full else options.lora_rank
    return {**about(options), "mode": "full" if options.full else "lora", "lora_rank": rank}


def recipe_of(stage: str, options: Any) -> Path | None:
    """Returns the recipe that a command takes by itself; see the package `recipes`.

    Args:
        stage: "ppo", "reward" or "sft".
        options: of the command, as far as they were given: a `TaskOptions` with whatever else it has.

    Raises:
        UserError: an unknown environment.
    """
    for path in _places(stage, env_id(options.env)):
        if path.is_file():
            named = _settings_of(path)
            fits = all(getattr(options, name) == named[name] for name in _TUNED_FOR if name in named)
            return path if fits else None
    return None


def _settings_of(path: Path) -> Mapping[str, Any]:
    """Returns what a recipe says; nothing where it is no YAML mapping, which its reader has better words for."""
    try:
        found = load_yaml(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _places(stage: str, full_id: str) -> list[Path]:
    """Returns where the recipe of an environment may be: its own, then that of a perlhf id with its task or a base."""
    task = class_of(full_id)
    beside = Path(getattr(sys.modules[task.__module__], "__file__", None) or ".").parent / "recipes" / stage
    ours = [i for i in gym.registry if i.startswith("perlhf/") and "task" in gym.spec(i).kwargs]
    kinds = [f"{kind.__module__}:{kind.__qualname__}" for kind in task.__mro__]
    alike = [i for kind in kinds for i in ours if gym.spec(i).kwargs["task"] == kind]
    folders = dict.fromkeys(ours, RECIPES / stage)
    return [folders.get(i, beside) / f"{i.rpartition('/')[2]}.yaml" for i in [full_id, *alike]]
