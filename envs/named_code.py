"""Tells the modules of the user's own that a reward, an environment and its options name.

What they name runs code. Of what a file says they are held against what is allowed, see `perlhf.allowed_code`; names of
what perlhf ships are left out.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from envs.registry import class_of, env_id, parse_env_options
from envs.reward_names import NAMES, meaning_of
from envs.reward_spec import names_in
from envs.task import Task
from perlhf.errors import RewardError, UserError

# Whole modules, by their full names: other functions of ours call what their options name.
_SHIPPED = ("rewards.functions", "rewards.bundled")


def modules_of_reward(spec: Any) -> set[str]:
    """Returns the modules that a reward spec names, see `envs.reward_spec`; none of a name that stands for nothing.

    Raises:
        RewardError: a spec of no known form.
    """
    names = {name for name in names_in(spec, Task) if name not in NAMES} | set(_functions_of_trl(spec))
    return {module for module in map(_module_of, names) if module and module not in _SHIPPED}


def modules_of_env(name: str) -> set[str]:
    """Returns the module in front of an id of an environment, unless it is imported already."""
    module = name.rpartition(":")[0]
    return {module} - sys.modules.keys() if module and not module.startswith(".") else set()


def modules_of_env_options(name: str, text: str) -> set[str]:
    """Returns the modules that the options of an environment name, as its task knows them.

    Args:
        name: of the environment; nothing is imported for it.
        text: the options, as on a command line; nothing is said of what cannot be read.
    """
    try:
        made_of = Task if modules_of_env(name) else class_of(env_id(name))
        return made_of.modules_in(parse_env_options(text)) if text else set()
    except UserError:
        return set()


def _module_of(name: str) -> str:
    try:
        return meaning_of(name).module
    except RewardError:  # nothing is run for it
        return ""


def _functions_of_trl(spec: Any) -> Iterator[str]:
    """Yields what the parts of a spec give as the function that `rewards.trl_functions` calls."""
    if isinstance(spec, Mapping):
        if isinstance(spec.get("trl_function"), str):
            yield f"trl:{spec['trl_function'].removeprefix('trl:')}"
        for part in spec.values():
            yield from _functions_of_trl(part)
    elif isinstance(spec, (list, tuple)):
        for part in spec:
            yield from _functions_of_trl(part)
