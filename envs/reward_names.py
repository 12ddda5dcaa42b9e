"""Says what the name of a reward stands for: a folder of some kind, a judge, a function of TRL's, one of our own.

Nothing is imported or loaded here: a name is told by its form, and a folder by what its files say of themselves.
"""

import json
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from envs.entry_points import quoted
from perlhf.client import JUDGE_KEYS, check_url
from perlhf.errors import RewardError, UserError, did_you_mean

NAMES = ("bundled", "gold")
OF_TRL = "rewards.trl_functions:score"  # what calls a function of TRL's

_MODEL = "rewards.reward_model:score"
_ADAPTER = "rewards.trl_adapter:score"
_CLASSIFIER = "rewards.classifier:score"
_JUDGE = "rewards.judge:score"
_FORMS = (
    "'bundled', 'gold', 'module:name', 'classifier:HUB_ID', 'judge:URL#MODEL', 'trl:module:name', 'min(a, b)' or an "
    "existing folder"
)
_EXAMPLE = "judge:http://localhost:8000#MODEL"


class Named(NamedTuple):
    """Holds what a name stands for.

    Attributes:
        entry_point: of the function that scores.
        options: of that function, which the name itself gives.
        module: the module that is the user's own to bring; "" where the function is ours.
    """

    entry_point: str
    options: dict[str, Any]
    module: str = ""


def meaning_of(name: str) -> Named:
    """Returns what a name stands for; not of "bundled" and "gold", which are the task's.

    Raises:
        RewardError: nothing, or a folder that holds no reward; it says what was expected.
    """
    kind, _, rest = name.partition(":")
    if os.path.isdir(name):
        return Named(_scorer_of(Path(name)), {"path": name})
    if name.endswith((".yaml", ".yml")):
        read = "reward=load_reward_yaml(FILE), which is in rewards.functions"
        raise RewardError(f"reward {quoted(name)} is a YAML file; read it and pass what it holds: {read}.")
    if kind == "classifier" and (os.path.isdir(rest) or "/" in rest):  # else a module of that name
        return Named(_CLASSIFIER, {"path": rest})
    if kind == "judge" and not rest.replace(".", "_").isidentifier():  # else a function of a module of that name
        return Named(_JUDGE, _judge_of(name, rest))
    if kind == "trl" and ":" in rest:
        return Named(OF_TRL, {"trl_function": rest}, rest.partition(":")[0])
    if ":" in name and name[0] not in ":.":
        return Named(name, {}, kind)
    near = get_close_matches(name, NAMES, n=1)
    raise RewardError(f"unknown reward {quoted(name)}: expected {_FORMS}.{did_you_mean(name, near)}")


def check_options(named: Named, options: Mapping[str, Any]) -> None:
    """Refuses an address of a judge that is given beside a name, where it is none or a key stands in it.

    Raises:
        RewardError: as said.
    """
    if named.entry_point == _JUDGE and "url" in options:
        _check_address(str(options["url"]))


def _judge_of(name: str, address: str) -> dict[str, Any]:
    """Returns address and model of a judge.

    Raises:
        RewardError: the address is none, a key stands in it, or no model behind it.
    """
    url, _, model = address.partition("#")
    _check_address(url)
    if not model:
        raise RewardError(f"reward {quoted(name)} names no model; give it behind '#', as in {_EXAMPLE}.")
    return {"url": url, "model": model}


def _check_address(url: str) -> None:
    """Refuses an address before it is written or sent anywhere."""
    try:
        check_url(url, "judge", "", JUDGE_KEYS)
    except UserError as error:
        raise RewardError(str(error)) from None


def _scorer_of(folder: Path) -> str:
    """Returns the entry point of what scores with the model of a folder.

    Raises:
        RewardError: it holds none that scores texts.
    """
    if (folder / "perlhf.json").is_file():
        return _MODEL
    adapter, config = _json_of(folder / "adapter_config.json"), _json_of(folder / "config.json")
    if adapter is not None:
        heads = adapter.get("modules_to_save") or []
        if adapter.get("task_type") == "SEQ_CLS" or "score" in heads or "classifier" in heads:
            return _ADAPTER
        kind = adapter.get("task_type")
        raise RewardError(f"reward {str(folder)!r} is an adapter for {kind}, and none that scores (SEQ_CLS).")
    classes = [] if config is None else [str(name) for name in config.get("architectures") or []]
    if any(name.endswith("ForSequenceClassification") for name in classes):
        return _CLASSIFIER
    if classes:
        expected = "expected a ...ForSequenceClassification, which scores"
        raise RewardError(f"reward {str(folder)!r} is a {classes[0]}; {expected}.")
    raise RewardError(
        f"reward {str(folder)!r} holds no model that scores: neither perlhf.json, nor adapter_config.json, nor "
        "config.json of a sequence classifier."
    )


def _json_of(file: Path) -> Mapping[str, Any] | None:
    """Returns what a file of JSON holds; None where there is none.

    Raises:
        RewardError: it is no JSON object.
    """
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RewardError(f"{file}: cannot be read as JSON ({str(error).splitlines()[0]}).") from None
    if not isinstance(found, dict):
        raise RewardError(f"{file}: expected a JSON object, got {type(found).__name__}.")
    return found
