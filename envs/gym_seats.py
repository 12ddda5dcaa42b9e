"""`EnvSource`: envs of one kind, made when they are needed and used again when nobody plays in them any more."""

import copy
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from perlhf.errors import UserError, one_line


class CopyError(UserError):
    """An env that was given itself and of which there can be no second one."""


class Seat:
    """A single env and how far the episode in it is.

    Attributes:
        env: the env.
        steps: since its reset; -1 where nobody knows how it stands.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self.env, self.steps = env, 0


class EnvSource:
    """Gives out envs of one kind. An env comes back by itself when nothing holds its seat any more.

    Args:
        make: makes one more.
        name: of the env, in messages; None takes that of the first one.
        free: envs that are there already.

    Raises:
        UserError: what is made is no env, or `make` raises.
    """

    def __init__(
        self, make: Callable[[], Any], name: str | None = None, free: Sequence[gym.Env[Any, Any]] = ()
    ) -> None:
        self._make, self._free, self._closed = make, list(free), False
        self.name = name or str(getattr(make, "__name__", "env"))
        if not self._free:
            self._free.append(self._made())
        spec = self._free[0].spec
        self.name = name or (type(self._free[0].unwrapped).__name__ if spec is None else str(spec.id))

    @classmethod
    def of(cls, env: Any, arguments: Mapping[str, Any]) -> "EnvSource":
        """Returns the source of what a user gives: an id, a spec, an env or a callable that makes one.

        Args:
            env: as given.
            arguments: of the env, where it is made from an id or a spec.

        Raises:
            UserError: it is none of these, or arguments are given with what is made already.
        """
        if isinstance(env, EnvSource):
            return env
        if isinstance(env, (str, EnvSpec)):
            name = env if isinstance(env, str) else env.id
            return cls(partial(gym.make, env, disable_env_checker=True, **arguments), name)
        if arguments:
            raise UserError(f"{', '.join(arguments)} given with an env that is made already; give them to its maker.")
        if isinstance(env, gym.Env):
            return cls(partial(_copied, env), None, [env])
        if callable(env):
            return cls(env)
        raise UserError(f"expected the id of an env, an env, or a callable that makes one, got {type(env).__name__}.")

    @property
    def first(self) -> gym.Env[Any, Any]:
        """A free env, to ask it what it is."""
        if not self._free:
            self._free.append(self._made())
        return self._free[0]

    def take(self) -> Seat:
        """Returns an env that nobody plays in, to be reset."""
        env = self._free.pop() if self._free else self._made()
        seat = Seat(env)
        weakref.finalize(seat, self._back, env).atexit = False
        return seat

    def close(self) -> None:
        """Closes all envs: those that are played in when they come back."""
        self._closed = True
        while self._free:
            self._free.pop().close()

    def _back(self, env: gym.Env[Any, Any]) -> None:
        if self._closed:
            env.close()
        else:
            self._free.append(env)

    def _made(self) -> gym.Env[Any, Any]:
        try:
            env = self._make()
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"env {self.name!r} cannot be made: {type(error).__name__}: {one_line(error)}.") from error
        if not isinstance(env, gym.Env):
            raise UserError(f"{self.name} gave {type(env).__name__}, expected a gymnasium.Env.")
        return env


def _copied(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Returns one more env like this one, for episodes side by side."""
    try:
        return copy.deepcopy(env)
    except Exception as error:
        raise CopyError(
            f"cannot copy {env} for more episodes side by side ({type(error).__name__}: {one_line(error)}); give a "
            "callable that makes such an env, or n_envs=1."
        ) from error
