"""Envs of perlhf in verifiers: a taskset of episodes, and the env that plays them.

    vf-eval integrations --env.taskset.env UINav-v0 -n 50 --model NAME --client.base-url URL

`integrations` is the taskset's id: verifiers looks for a taskset, an env and a harness in that package.
"""

from collections.abc import Iterator

from envs.registry import parse_env_options
from integrations.text import instructions_of, messages, text_env
from perlhf.errors import UserError

try:
    import verifiers.v1 as vf
except ImportError:
    raise UserError("this needs verifiers 0.4 or newer: pip install 'perlhf[verifiers]'.") from None


class EpisodeData(vf.TaskData):
    """One episode: the seed of `env.reset`."""

    seed: int


class EpisodeTask(vf.Task[EpisodeData]):
    """Is scored by the env while it is played."""


class PerlhfTasksetConfig(vf.TasksetConfig):
    """Which env, how many episodes, and further arguments of `gym.make`, such as "split=test,reward=gold"."""

    id: str = "integrations"
    env: str = "HH-v0"
    episodes: int = 500
    options: str = "split=test"


class PerlhfTaskset(vf.Taskset[EpisodeTask, PerlhfTasksetConfig]):
    """The episodes of the seeds from 0 on."""

    def load(self) -> Iterator[EpisodeTask]:
        told = instructions_of(self.config.env, **parse_env_options(self.config.options))
        for seed in range(self.config.episodes):
            yield EpisodeTask(EpisodeData(seed=seed, system_prompt=told), self.config.task)


class PerlhfEnvConfig(vf.EnvConfig):
    """Who plays; by default a chat model alone (`OneReply`), with nothing run in a sandbox."""

    agent: vf.AgentConfig = vf.AgentConfig(runtime=vf.SubprocessConfig())


class PerlhfEnv(vf.Env[PerlhfEnvConfig]):
    """Shows the agent what the env shows and plays its replies; the reward is the sum of the env's."""

    async def run(self, task: EpisodeTask, agents: vf.Agents) -> None:
        of = self.taskset.config
        env = text_env(of.env, **parse_env_options(of.options))
        observation, info = env.reset(seed=task.data.seed)
        seen = [said for said in messages(observation["prompt"]) if said["role"] != "system"]
        total, over = 0.0, False
        async with agents.agent.interaction(task) as talk:
            while not over and not (reply := await talk.turn(seen)).terminated:
                observation, reward, terminated, truncated, info = env.step(reply.last_reply)
                total, over, seen = total + float(reward), terminated or truncated, observation["prompt"]
            talk.trace.record_reward("reward", total)
            talk.trace.record_metrics({name: float(info[name]) for name in ("gold", "is_success") if name in info})


def load_environment(env: str, episodes: int = 500, options: str = "split=test") -> PerlhfEnv:
    """Returns the env of verifiers over an env such as "UINav-v0"; see `PerlhfTasksetConfig`."""
    return PerlhfEnv(PerlhfEnvConfig(taskset=PerlhfTasksetConfig(env=env, episodes=episodes, options=options)))
