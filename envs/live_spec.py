"""The spec of an env whose reward is a callable: it makes envs, and says clearly why it cannot be saved."""

import dataclasses
from typing import Any

from gymnasium.envs.registration import EnvSpec

from envs.reward_spec import reward_name
from perlhf.errors import UserError


def is_callable(reward: Any) -> bool:
    """Returns whether a reward is a live function, and not a spec of one."""
    return callable(reward) and not isinstance(reward, str)


def not_serialisable(reward: Any) -> str:
    """Returns why an env with this reward cannot be saved, and what to do."""
    return (
        f"this env's reward is the live callable {reward_name(reward)}, which cannot be saved; "
        "put the function in a module and pass reward='module:name'."
    )


@dataclasses.dataclass
class LiveSpec(EnvSpec):
    """The spec of an env whose reward is a callable: good for `make`, and clear about why it cannot be saved."""

    @classmethod
    def of(cls, spec: EnvSpec) -> "LiveSpec":
        fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if f.init}
        return cls(**{**fields, "kwargs": _LiveKwargs(spec.kwargs)})

    def to_json(self) -> str:
        raise UserError(not_serialisable(self.kwargs["reward"]))

    def __getstate__(self) -> dict[str, Any]:
        raise UserError(not_serialisable(self.kwargs["reward"]))

    def __deepcopy__(self, memo: dict[int, Any]) -> "LiveSpec":
        return self.of(self)


class _LiveKwargs(dict[str, Any]):
    """Arguments that `gym.make(spec)` deep-copies: the dict is new, the callable and all else in it the same."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_LiveKwargs":
        return _LiveKwargs(self)
