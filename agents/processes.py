"""A run in several processes: what they must have in common, and env steps of all from what each saw of its envs.

With one process nothing is sent or compared.
"""

import hashlib
import platform
import signal
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.metadata import version
from itertools import accumulate
from typing import Any

import numpy as np
from torch import nn

from agents.steps import Infos, Step
from backbones import group
from backbones.backbone import Backbone
from backbones.model.vision import ImagePrompt, Vision
from envs.task import Task
from perlhf import stopping
from perlhf.errors import UserError

_LIBRARIES = ("torch", "transformers", "peft", "gymnasium", "stable_baselines3", "numpy")
_COMPARED = 64  # episodes, as far as they show on which data the task is
_TOLD = ("episode", "is_success", "gold")  # what is logged of an env's `info`


def require_same_command(options: Any) -> None:
    """Makes sure that all processes run the same command on the same libraries.

    Args:
        options: dataclass of the command.

    Raises:
        UserError: on all, where one is not like the first; it says in what.
    """
    if group.size() > 1:
        given = {field.name: repr(getattr(options, field.name)) for field in fields(options)}
        libraries = {name: version(name) for name in _LIBRARIES}
        group.require_same({**given, **libraries, "Python": platform.python_version()})


def require_same_model_and_data(backbone: Backbone, task: Task) -> None:
    """Makes sure that all processes have the same base, on a device of one kind, and the same episodes.

    Args:
        backbone: the base; where there is one process its weights are not read.
        task: over its data.

    Raises:
        UserError: on all, where one is not like the first; it says in what.
    """
    if group.size() > 1:
        # What cannot begin again alike cannot be compared either.
        data = _digest(task)[:12] if task.repeats else "no two resets alike"
        group.require_same({**_described(backbone), "the data": data})


def require_same_rows(backbone: Backbone, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> None:
    """Makes sure that all processes have the same base, on a device of one kind, and learn from the same rows.

    Args:
        backbone: the base; where there is one process its weights are not read.
        rows: token ids of prompts and responses.

    Raises:
        UserError: on all, where one is not like the first; it says in what.
    """
    if group.size() > 1:
        group.require_same({**_described(backbone), "the data": digest_of_rows(rows)[:12]})


def digest_of_rows(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> str:
    """Returns a sha256 of the token ids of prompts and responses, in their order; of images it knows nothing."""
    digest = hashlib.sha256()
    for row in rows:
        for ids in row:
            digest.update(array("q", [len(ids), *ids]).tobytes())
    return digest.hexdigest()


def require_a_row_each(batch_size: int) -> None:
    """Makes sure that a minibatch has a row for each process.

    Raises:
        UserError: it has fewer.
    """
    if batch_size < group.size():
        raise UserError(
            f"batch_size {batch_size} is less than the {group.size()} processes that share it; take at least "
            f"{group.size()}, or start fewer processes."
        )


def all_go_on(goes_on: bool, asked_to_stop: int) -> bool:
    """Returns whether learning goes on in all processes.

    Args:
        goes_on: what the callbacks of this one say.
        asked_to_stop: the signal that has asked this one to stop; 0 for none.

    Raises:
        Stopped: on all, where one was asked to.
    """
    found = group.gather((goes_on, asked_to_stop))
    if number := max(each for _, each in found):
        stopping.stop(number)
    return all(goes for goes, _ in found)


def sums_of_all(
    parameters: Sequence[nn.Parameter], figures: Mapping[str, float], asked_to_stop: int
) -> dict[str, float]:
    """Adds up gradients and figures as `group.add_up_gradients`; who is asked to stop says so in the same message.

    Raises:
        Stopped: on all, where one was asked to.
    """
    sums = group.add_up_gradients(parameters, {**figures, "stop": asked_to_stop})
    if sums.pop("stop"):
        stopping.stop(asked_to_stop or signal.SIGTERM)
    return sums


def _described(backbone: Backbone) -> dict[str, str]:
    """Returns what a backbone is: its weights, and what "auto" came to for it."""
    return {
        "the weights of the backbone": backbone.hash[:12],
        "the device": backbone.device.type,
        "the precision": backbone.precision,
    }


def _digest(task: Task) -> str:
    """Returns a sha256 of how some episodes begin, which are drawn from all."""
    digest = hashlib.sha256()
    for number in range(_COMPARED):
        shown: Mapping[str, Any] = task.observe(task.start(np.random.default_rng(number), {}))
        digest.update(shown["prompt"].encode(errors="surrogatepass"))
        digest.update(bytes(shown["image"]) if "image" in shown else b"")
    return digest.hexdigest()


def step_of_all(own: Step, infos: Infos, vision: Vision | None) -> tuple[Step, Infos]:
    """Returns the step of all envs, the first process's first, and what is logged of their infos.

    Where episodes were truncated is known of this process's envs alone: it computes what their last states are worth.

    Args:
        own: of this process's envs.
        infos: of these.
        vision: of the model, which makes pixels of the images of others.
    """
    if group.size() == 1:
        return own, infos
    told = [{name: info[name] for name in _TOLD if name in info} for info in infos]
    # An image's tokens travel with it, but not what makes pixels of it, which holds on to the model.
    prompts = [(list(row), row.image if isinstance(row, ImagePrompt) else None) for row in own.prompts]
    found = group.gather((own._replace(prompts=[], cut_at={}), prompts, told))
    steps = [step for step, _, _ in found]
    rows = [row for _, of_process, _ in found for row in of_process]
    firsts = [0, *accumulate(len(of_process) for _, of_process, _ in found)][:-1]  # rows of each process
    whole = Step(
        [ids if image is None or vision is None else ImagePrompt(ids, image, vision) for ids, image in rows],
        [row for step in steps for row in step.responses],
        np.concatenate([step.scores for step in steps]),
        np.concatenate([step.dones for step in steps]),
        {firsts[group.rank()] + row: observation for row, observation in own.cut_at.items()},
        frozenset(first + row for first, step in zip(firsts, steps, strict=True) for row in step.failed),
        [row for step in steps for row in step.sampled_log_probs or []] or None,
        [env for step in steps for env in step.envs],
        {first + row: paid for first, step in zip(firsts, steps, strict=True) for row, paid in step.monitored.items()},
    )  # fmt: skip
    return whole, [info for _, _, infos in found for info in infos]
