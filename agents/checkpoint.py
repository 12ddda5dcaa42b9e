"""Checkpoints: everything that decides how a run goes on, whole or not at all, in safetensors and JSON.

A checkpoint is a folder. It is written under another name beside its place: every file with fsync, the manifest with
the sha256 of each file last, then the folder is renamed. So a folder with a checkpoint's name is complete, and a
kill at any moment leaves the checkpoint before. Loading verifies every hash.
"""

import hashlib
import json
import os
import random
import re
import shutil
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule
from stable_baselines3.common.vec_env import VecMonitor
from torch import Tensor

from agents.hyperparameters import Hyperparameters, values_of
from agents.vec_env import TaskVecEnv
from backbones.model.loading import short_name
from backbones.role_files import read_provenance
from backbones.roles import LoRASettings
from envs.spaces import Unicode
from perlhf.errors import UserError
from perlhf.run_folder import sync_folder, write_json

if TYPE_CHECKING:
    from agents.ppo import PPO

FORMAT = 2
_MANIFEST = "manifest.json"
_OTHER_ARGUMENTS = ("policy_kwargs", "seed", "tensorboard_log", "verbose")  # of PPO, beside its hyperparameters


class CheckpointError(UserError):
    """A checkpoint that cannot be written, or that is not what was written."""


# What is in it.


def save_checkpoint(algorithm: "PPO", folder: Path) -> None:
    """Writes the whole state of `algorithm` to `folder`, replacing a checkpoint that is already there."""
    _put_back(folder)
    if folder.exists() and not (folder / _MANIFEST).exists():
        raise CheckpointError(f"{folder} exists and is no checkpoint; give another path.")
    tensors, state = get_state(algorithm)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file(tensors, part / "state.safetensors")
    write_json(part / "state.json", {**state, "arguments": constructor_arguments(algorithm)})
    algorithm.policy.policy_role.save(part / "policy")
    algorithm.policy.value_role.save(part / "value", {"offset": algorithm.policy.value_offset})
    _seal(part)
    _replace(part, folder)


def _replace(part: Path, folder: Path) -> None:
    """Gives a finished checkpoint its name; the one that had it stays beside it until then."""
    old = _old(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    os.rename(part, folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _put_back(folder: Path) -> None:
    """Gives its name back to a checkpoint whose replacement was cut short."""
    if not folder.exists() and _old(folder).exists():
        os.rename(_old(folder), folder)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def get_state(algorithm: "PPO") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All tensors by name, and the rest as JSON."""
    policy = algorithm.policy
    tensors = {f"parameters.{n}": p.detach().cpu().clone() for n, p in policy.named_parameters()}
    tensors |= _optimizer_tensors(policy.optimizer)
    tensors["rng.policy"] = policy.generator.get_state()
    tensors["rng.evaluation"] = policy.evaluation_generator.get_state()
    tensors["rng.torch"] = torch.get_rng_state()
    state: dict[str, Any] = {
        "num_timesteps": algorithm.num_timesteps,
        "n_updates": algorithm._n_updates,
        "base_sha256": policy.backbone.hash,
        "kl_coef": algorithm.kl_coef,
        "initial_kl_coef": algorithm.initial_kl_coef,
        "cost": algorithm.cost,
        "negative_kl_rollouts": algorithm.negative_kl_rollouts,
        "score_scale": vars(algorithm.score_scale),
        "value_offset": policy.value_offset,
        "spaces": _spaces_to_json(algorithm),
        "episodes": [list(buffer or ()) for buffer in (algorithm.ep_info_buffer, algorithm.ep_success_buffer)],
        "rng": {
            "order": algorithm.order_generator.bit_generator.state,
            "python": random.getstate(),
            "numpy": np.random.get_state(legacy=False),
        },
    }
    if algorithm.env is not None and algorithm._last_obs is not None:
        state["env"] = _env_state(algorithm.env)
    return tensors, json.loads(json.dumps(state, default=_plain))


def set_state(algorithm: "PPO", tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Puts back what `get_state` gave; the env too where the algorithm has one.

    A `kl_coef` other than the one that the saved run was given stands, and so do all other hyperparameters.

    Raises:
        CheckpointError: another base, adapters of another shape, or another number of envs; nothing is changed.
    """
    policy = algorithm.policy
    _check_fit(algorithm, tensors, state)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            parameter.copy_(tensors[f"parameters.{name}"])
    _restore_optimizer(policy.optimizer, tensors)
    policy.generator.set_state(tensors["rng.policy"])
    policy.evaluation_generator.set_state(tensors["rng.evaluation"])
    torch.set_rng_state(tensors["rng.torch"])
    policy.value_offset = state["value_offset"]
    algorithm.num_timesteps, algorithm._n_updates = state["num_timesteps"], state["n_updates"]
    if algorithm.initial_kl_coef == state["initial_kl_coef"]:
        algorithm.kl_coef = state["kl_coef"]
    algorithm.cost, algorithm.negative_kl_rollouts = dict(state["cost"]), state["negative_kl_rollouts"]
    vars(algorithm.score_scale).update(state["score_scale"])
    infos, successes = state["episodes"]
    infos = [{**info, "r": np.float32(info["r"])} for info in infos]  # as VecMonitor counts: means depend on it
    window = algorithm._stats_window_size
    algorithm.ep_info_buffer, algorithm.ep_success_buffer = deque(infos, maxlen=window), deque(successes, maxlen=window)
    algorithm.order_generator.bit_generator.state = state["rng"]["order"]
    version, internal, gauss = state["rng"]["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(_numpy_state(state["rng"]["numpy"]))
    if algorithm.env is not None and "env" in state:
        algorithm._last_obs = _restore_env(algorithm.env, state["env"])
        algorithm._last_episode_starts = np.ones(algorithm.env.num_envs, dtype=bool)


def _check_fit(algorithm: "PPO", tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    policy = algorithm.policy
    made_on, backbone = state["base_sha256"], policy.backbone
    if made_on != backbone.hash:
        raise CheckpointError(
            f"the checkpoint was made on a base with sha256 {made_on[:12]}, but backbone {backbone.path} has "
            f"{backbone.hash[:12]}; pass the backbone it was made on."
        )
    for name, parameter in policy.named_parameters():
        saved = tensors.get(f"parameters.{name}")
        if saved is None or saved.shape != parameter.shape:
            got = "none" if saved is None else tuple(saved.shape)
            raise CheckpointError(f"the checkpoint has {got} for {name}, this policy {tuple(parameter.shape)}.")
    n_envs = state["spaces"]["n_envs"]
    if algorithm.env is not None and "env" in state and algorithm.env.num_envs != n_envs:
        raise CheckpointError(f"the checkpoint is of {n_envs} envs side by side, got {algorithm.env.num_envs}.")


def load_checkpoint(cls: "type[PPO]", folder: Path, env: Any, device: Any, changes: Mapping[str, Any]) -> "PPO":
    """Makes an algorithm of class `cls` from a checkpoint; `changes` override the saved constructor arguments."""
    tensors, state = read_checkpoint(folder)
    arguments = {name: _schedule_from_json(value) for name, value in state["arguments"].items()}
    arguments |= {"n_envs": state["spaces"]["n_envs"], **changes}
    algorithm = cls(env=env, device=device, _init_setup_model=False, **arguments)
    if env is None:
        algorithm.observation_space, algorithm.action_space = _spaces_from_json(state["spaces"])
        algorithm.n_envs = state["spaces"]["n_envs"]
    algorithm.value_settings = _value_settings(folder)
    algorithm._setup_model()
    set_state(algorithm, tensors, state)
    algorithm.kl_coef = changes.get("kl_coef", algorithm.kl_coef)
    return algorithm


def _value_settings(folder: Path) -> LoRASettings | None:
    """Those of the saved value adapter, which may be a reward model's; None where all weights were trained."""
    lora = read_provenance(folder / "value")["lora"]
    return None if lora is None else LoRASettings(**lora)


def constructor_arguments(algorithm: "PPO") -> dict[str, Any]:
    """The constructor's arguments as JSON, but for the env and the device."""
    arguments = values_of(Hyperparameters, algorithm) | {name: getattr(algorithm, name) for name in _OTHER_ARGUMENTS}
    arguments["stats_window_size"] = algorithm._stats_window_size
    arguments["kl_coef"] = algorithm.initial_kl_coef
    if algorithm.policy_kwargs.get("backbone", "tiny") == "tiny":  # which one that is, the env said
        backbone = short_name(algorithm.policy.backbone.path)
        arguments["policy_kwargs"] = {**algorithm.policy_kwargs, "backbone": backbone}
    for name in ("learning_rate", "clip_range"):
        arguments[name] = _schedule_to_json(name, arguments[name])
    return arguments


def _schedule_to_json(name: str, value: Any) -> Any:
    if isinstance(value, FloatSchedule):
        value = value.value_schedule
    if isinstance(value, ConstantSchedule):
        value = value.val
    if isinstance(value, LinearSchedule):
        return {"start": value.start, "end": value.end, "end_fraction": value.end_fraction}
    if callable(value):
        raise CheckpointError(f"{name} is the callable {value}, which cannot be saved; use a number or LinearSchedule.")
    return value


def _schedule_from_json(value: Any) -> Any:
    return (
        LinearSchedule(**value) if isinstance(value, dict) and set(value) == {"start", "end", "end_fraction"} else value
    )


def _spaces_to_json(algorithm: "PPO") -> dict[str, Any]:
    prompt, image = (algorithm.observation_space.spaces.get(key) for key in ("prompt", "image"))  # type: ignore[attr-defined]
    return {
        "prompt": prompt.max_length,
        "image": None if image is None else list(image.shape),
        "response": algorithm.action_space.max_length,  # type: ignore[attr-defined]
        "n_envs": algorithm.n_envs,
    }


def _spaces_from_json(lengths: Mapping[str, Any]) -> tuple[spaces.Dict, Unicode]:
    observation: dict[str, spaces.Space[Any]] = {"prompt": Unicode(lengths["prompt"])}
    if lengths["image"] is not None:
        observation["image"] = spaces.Box(0, 255, tuple(lengths["image"]), np.uint8)
    return spaces.Dict(observation), Unicode(lengths["response"])


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"optimizer.{i}.{key}": value.cpu() for i, slots in state.items() for key, value in slots.items()}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            slots.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})


def _env_state(env: Any) -> dict[str, Any]:
    task_env = env.unwrapped
    if not isinstance(task_env, TaskVecEnv):
        raise CheckpointError(f"{type(task_env).__name__} cannot write down its state; use agents.make_vec_env.")
    state: dict[str, Any] = {"task": task_env.task_env.get_state()}
    if isinstance(env, VecMonitor):
        state["returns"], state["lengths"] = env.episode_returns.tolist(), env.episode_lengths.tolist()
    return state


def _restore_env(env: Any, state: Mapping[str, Any]) -> Any:
    if isinstance(env, VecMonitor):
        env.episode_returns = np.array(state["returns"], dtype=np.float32)
        env.episode_lengths = np.array(state["lengths"], dtype=np.int32)
    return env.unwrapped.task_env.set_state(state["task"])


def _plain(value: Any) -> Any:
    """JSON for what numpy leaves in states and statistics."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _numpy_state(state: Mapping[str, Any]) -> dict[str, Any]:
    inner = state["state"]
    key = np.array(inner["key"], dtype=np.uint32)
    return {**state, "state": {**inner, "key": key}}


# Folders, manifests, hashes.


def _seal(folder: Path) -> None:
    """Makes every file durable and writes the manifest last."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    for path in files:
        _sync_file(path)
    for inner in {p.parent for p in files}:
        sync_folder(inner)
    hashes = {str(p.relative_to(folder)): _sha256(p) for p in files}
    write_json(folder / _MANIFEST, {"format": FORMAT, "files": hashes})


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the JSON of a checkpoint, after verifying all its files.

    Raises:
        CheckpointError: no checkpoint there, another format, or a file that is missing or altered; it is named.
    """
    _put_back(folder)
    verify(folder)
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return load_file(folder / "state.safetensors"), state


def verify(folder: Path) -> None:
    """Checks every file of a checkpoint against the manifest.

    Raises:
        CheckpointError: as `read_checkpoint`.
    """
    path = folder / _MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        files, version = manifest["files"], manifest["format"]
    except FileNotFoundError:
        raise CheckpointError(f"{folder} holds no checkpoint (no {_MANIFEST}).") from None
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path} is damaged; take an earlier checkpoint.") from None
    if version != FORMAT:
        raise CheckpointError(f"{folder} is a checkpoint of format {version}; this version reads format {FORMAT}.")
    for name, digest in files.items():
        if not (folder / name).is_file() or _sha256(folder / name) != digest:
            raise CheckpointError(f"{folder / name} is missing or altered; take an earlier checkpoint.")


def checkpoints_of(run: Path) -> list[Path]:
    """The checkpoints of a run folder, newest first; folders still being written are no checkpoints."""
    found = [p for p in (run / "checkpoints").glob("step-*") if p.is_dir() and re.fullmatch(r"step-\d+", p.name)]
    return sorted(found, key=_step, reverse=True)


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def newest_sound_checkpoint(run: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that verifies (None if there is none), and what was wrong with newer ones."""
    problems: list[str] = []
    for folder in checkpoints_of(run):
        try:
            verify(folder)
            return folder, problems
        except CheckpointError as error:
            problems.append(str(error))
    return None, problems


def is_sound(folder: Path) -> bool:
    """Whether a checkpoint verifies."""
    try:
        verify(folder)
    except CheckpointError:
        return False
    return True


def set_aside_damaged(run: Path, sound: Path) -> None:
    """Renames step-N to bad-step-N where it is newer than `sound`, the newest sound checkpoint of the run."""
    for folder in checkpoints_of(run):
        if _step(folder) > _step(sound):
            aside = folder.with_name(f"bad-{folder.name}")
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(folder, aside)


def keep_newest(saved: Path, count: int) -> None:
    """Deletes the checkpoints that are older than the newest `count` sound ones, `saved` being the first of these.

    Raises:
        CheckpointError: `saved` is not sound; nothing is deleted.
    """
    verify(saved)
    kept = 1
    for folder in checkpoints_of(saved.parent.parent):
        if _step(folder) < _step(saved):
            if kept == count:
                shutil.rmtree(folder)
            elif is_sound(folder):
                kept += 1


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
