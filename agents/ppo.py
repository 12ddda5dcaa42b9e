"""PPO for language models as a Stable-Baselines3 algorithm: text observations, text actions, LoRA roles.

    from agents import PPO
    PPO("LoRAPolicy", "HH-v0").learn(4096, progress_bar=True)

SB3 keeps the learn loop, callbacks, logger and episode statistics. What is replaced: how a rollout is collected
(`agents.rollout`), the loss (`agents.functional`), and saving (`agents.checkpoint`: safetensors and JSON, no pickle).
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import FloatSchedule
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor
from tqdm import tqdm

from agents import functional as F
from agents import preflight
from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.hyperparameters import Hyperparameters, PolicySettings, from_keywords, values_of
from agents.policy import LoRAPolicy
from agents.rollout import Rollout, ScoreSettings, Step, score_rollout
from agents.running import RunningScale
from agents.vec_env import make_vec_env
from backbones.backbone import Backbone
from backbones.model.anatomy import hash_base
from backbones.model.tokens import TokenBatch, like_lengths
from backbones.roles import LoRASettings, Role
from perlhf.errors import UserError
from rewards.reward_model import learned_model

LEARNING_RATE = 0.8  # of Adam, times the width; see `Backbone.learning_rate`
Loss = tuple[Tensor, dict[str, float]]  # summed over tokens, and figures to log, summed alike
LossOf = Callable[[Rollout, Tensor, list[int], TokenBatch], Loss]
_EPISODES_APART = 1_000_003  # of two seeds; episode i of a vector env is seeded with its seed + i


class PPO(OnPolicyAlgorithm):
    """PPO with a value adapter, a per-token KL penalty to the SFT policy, and the score on the last token.

    Args:
        policy: "LoRAPolicy".
        env: an id ("HH-v0"), an env of `gym.make` or `gym.make_vec`, or what `agents.make_vec_env` gives.
        learning_rate: of Adam, a number or a schedule; None takes `Backbone.learning_rate` of `LEARNING_RATE`.
        n_envs: episodes side by side, where `env` is an id or a single env.
        seed: of the adapters, the samples and the episodes; two seeds share no episodes.
        policy_kwargs: the fields of `agents.hyperparameters.PolicySettings`.
        stats_window_size, tensorboard_log, verbose, device: as in SB3's PPO.
        hyperparameters: the other fields of `agents.hyperparameters.Hyperparameters`, which says what each does;
            `clip_range` may be a schedule too. Each is an attribute of the model by its name.

    Raises:
        UserError: an argument that there is not, or a value out of its bounds.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"LoRAPolicy": LoRAPolicy}
    policy: LoRAPolicy  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[LoRAPolicy] = "LoRAPolicy",
        env: str | gym.Env | gym.vector.VectorEnv | VecEnv | None = None,
        learning_rate: float | Schedule | None = None,
        n_envs: int = 64,
        *,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
        **hyperparameters: Any,
    ) -> None:
        given = {"learning_rate": learning_rate, **hyperparameters}
        h = from_keywords(Hyperparameters, given, "PPO", signature(PPO).parameters)
        super().__init__(
            policy,  # type: ignore[arg-type]
            None if env is None else _vectorized(env, n_envs),  # type: ignore[arg-type]
            learning_rate,  # type: ignore[arg-type]
            h.n_steps,
            h.gamma,
            h.gae_lambda,
            h.ent_coef,
            h.vf_coef,
            h.max_grad_norm,
            use_sde=False,
            sde_sample_freq=-1,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            supported_action_spaces=(spaces.Text,),
            _init_setup_model=False,
        )
        for name, value in vars(h).items():
            setattr(self, name, value)
        self.initial_kl_coef = self.kl_coef = h.kl_coef  # kl_target steers the latter
        self.score_scale = RunningScale()
        self.negative_kl_rollouts = 0
        self.cost = {"seconds": 0.0, "cpu_seconds": 0.0}  # of learning so far; agents.callbacks.Checkpoints counts
        self.value_settings: LoRASettings | None = None  # of a checkpoint, before the policy is made
        self.preflight_checks: list[preflight.Check] = []
        self.rollout: Rollout | None = None
        self._log_due = False
        if _init_setup_model:
            self._setup_model()

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The hyperparameters as they stand now: a callback may have changed the attributes of these names."""
        return Hyperparameters(**values_of(Hyperparameters, self))

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        # SB3's own would transpose images and wrap text in arrays.
        return make_vec_env(env)

    def set_random_seed(self, seed: int | None = None) -> None:
        # SB3 seeds the global generators here; ours are our own, and those of others are left alone.
        if seed is not None and self.env is not None:
            self.env.seed(_EPISODES_APART * seed)

    def _setup_model(self) -> None:
        self.set_random_seed(self.seed)
        settings = {**asdict(PolicySettings()), "seed": self.seed or 0, "device": self.device, **self.policy_kwargs}
        if self.env is not None and settings["backbone"] == "tiny":
            settings["backbone"] = self.env.get_attr("task")[0].shipped_backbone
        # Loaded before the env's reward model is, which then finds this copy by its weights and takes no second one.
        backbone = Backbone.load(settings["backbone"], settings["device"], settings["precision"])
        start = None if self.env is None else learned_model(self.env.get_attr("reward_function")[0])
        schedule = FloatSchedule(self.learning_rate or 0.0)
        self.policy = self.policy_class(  # type: ignore[assignment]
            self.observation_space, self.action_space, schedule, value_start=start,
            value_settings=self.value_settings, **settings,
        )  # fmt: skip
        if self.learning_rate is None:
            self.learning_rate = backbone.learning_rate(None, LEARNING_RATE, settings["full"])
        self._setup_lr_schedule()
        self.clip_range = FloatSchedule(self.hyperparameters.clip_range)
        self.order_generator = np.random.default_rng(self.seed or 0)
        self.rollout_buffer = None  # type: ignore[assignment]

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        # SB3 counts the rollout it is about to train on as done, which would waste the last one on a rate of 0.
        super()._update_current_progress_remaining(num_timesteps - self.n_envs * self.n_steps, total_timesteps)

    def learn(self, *args: Any, **kwargs: Any) -> "PPO":
        """SB3's; nothing of a rollout stays in memory after it, however it ends."""
        try:
            return super().learn(*args, **kwargs)
        finally:
            self.policy.backbone.frozen_states.close()

    # 1. Collect: sample responses, step the env, score what was said.

    def collect_rollouts(  # type: ignore[override]
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: None, n_rollout_steps: int
    ) -> bool:
        self.policy.set_training_mode(False)
        self.policy.backbone.frozen_states.open(self.policy.frozen_layers)  # closed after the updates on this rollout
        callback.on_rollout_start()
        steps: list[Step] = []
        golds: list[float] = []
        for _ in range(n_rollout_steps):
            prompts = self.policy.encode(self._last_obs)  # type: ignore[arg-type]
            responses = self.policy.sample(prompts)
            actions = [self.policy.backbone.decode(row) for row in responses]
            observation, scores, dones, infos = env.step(actions)  # type: ignore[arg-type]
            self.num_timesteps += env.num_envs
            self._last_obs = observation  # type: ignore[assignment]
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, dones)
            cut = {i: info["terminal_observation"] for i, info in enumerate(infos) if info.get("TimeLimit.truncated")}
            failed = frozenset(i for i, info in enumerate(infos) if info.get("failed"))
            steps.append(Step(prompts, responses, scores, dones, cut, failed))
            golds += [info["gold"] for info in infos if "gold" in info]
        if self.hyperparameters.normalize_scores:
            self.score_scale.update(_sound_scores(steps))
        self.rollout = score_rollout(self.policy, steps, self._last_obs, self.score_settings)  # type: ignore[arg-type]
        self._log_rollout(self.rollout, steps, golds)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    @property
    def score_settings(self) -> ScoreSettings:
        """How the next rollout is scored."""
        h = self.hyperparameters
        scale = self.score_scale.std if h.normalize_scores else 1.0
        return ScoreSettings(h.kl_coef, h.missing_eos_penalty, h.gamma, h.gae_lambda, scale)

    # 2. Train: clipped policy and value losses over minibatches of the rollout.

    def train(self) -> None:
        rollout = self.rollout
        assert rollout is not None
        first = not self.preflight_checks
        if first:
            fresh = self._n_updates == 0
            self._check(preflight.before_update(self.policy, rollout, self.score_settings, fresh))
            weights = [p.detach().clone() for p in self.policy.parameters()]
            base = hash_base(self.policy.backbone.model)
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        advantages = F.normalize(rollout.advantages, rollout.response_mask)
        stats: dict[str, list[float]] = defaultdict(list)
        for rows in self._minibatches(len(rollout)):
            update = self._accumulate(rollout, advantages, rows)
            for name, value in update.items():
                stats[name].append(value)
            if (
                self.hyperparameters.target_kl is not None
                and update["approx_kl"] > 1.5 * self.hyperparameters.target_kl
            ):
                break
            self._apply_gradients(stats)
        self._n_updates += self.hyperparameters.n_epochs
        self.policy.backbone.frozen_states.close()
        if first:
            self._check(preflight.after_update(self.policy, base, weights))
        self._adapt_kl(rollout)
        self._log_training(rollout, stats)

    def _minibatches(self, count: int) -> list[list[int]]:
        """Row numbers of each optimizer step of the rollout, every row once an epoch."""
        orders = [self.order_generator.permutation(count).tolist() for _ in range(self.hyperparameters.n_epochs)]
        return [
            order[i : i + self.hyperparameters.batch_size]
            for order in orders
            for i in range(0, count, self.hyperparameters.batch_size)
        ]

    def _accumulate(self, rollout: Rollout, advantages: Tensor, rows: list[int]) -> dict[str, float]:
        """Adds up the gradients of one minibatch in micro-batches of like lengths; means over its tokens."""
        policy = self.policy
        lengths = [len(rollout.prompts[i]) + len(rollout.responses[i]) for i in rows]
        chunks = [[rows[k] for k in chunk] for chunk in like_lengths(lengths, self.hyperparameters.micro_batch_size)]
        tokens = max(1, int(rollout.response_mask[rows].sum()))
        sums: dict[str, float] = defaultdict(float)
        policy.optimizer.zero_grad(set_to_none=True)
        for role, loss_of in self._losses():
            with role.active():
                for chunk in chunks:
                    batch = policy.batch([rollout.prompts[i] for i in chunk], [rollout.responses[i] for i in chunk])
                    loss, figures = loss_of(rollout, advantages, chunk, batch)
                    (loss / tokens).backward()
                    for name, figure in figures.items():
                        sums[name] += figure
        return {name: value / tokens for name, value in sums.items()}

    def _losses(self) -> list[tuple[Role, LossOf]]:
        """Which role to activate for which loss: two forwards, or one where V reads the policy's states."""
        policy = self.policy
        if policy.shares_states:
            return [(policy.value_role, self._joint_loss)]
        return [(policy.policy_role, self._policy_loss), (policy.value_role, self._value_loss)]

    def _policy_loss(self, rollout: Rollout, advantages: Tensor, rows: list[int], batch: TokenBatch) -> Loss:
        log_probs, entropies = self.policy.log_probs_and_entropy(batch, self.ent_coef != 0)
        return self._surrogate(rollout, advantages, rows, log_probs, entropies)

    def _value_loss(self, rollout: Rollout, advantages: Tensor, rows: list[int], batch: TokenBatch) -> Loss:
        return self._value_error(rollout, rows, self.policy.values(batch))

    def _joint_loss(self, rollout: Rollout, advantages: Tensor, rows: list[int], batch: TokenBatch) -> Loss:
        log_probs, entropies, values = self.policy.log_probs_and_values(batch, self.ent_coef != 0)
        loss, figures = self._surrogate(rollout, advantages, rows, log_probs, entropies)
        value_loss, of_value = self._value_error(rollout, rows, values)
        return loss + value_loss, figures | of_value

    def _surrogate(
        self, rollout: Rollout, advantages: Tensor, rows: list[int], log_probs: Tensor, entropies: Tensor
    ) -> Loss:
        """The clipped surrogate of some rows, summed over their tokens, and what is logged of it."""
        clip_range = self.clip_range(self._current_progress_remaining)
        taken = (rollout.response_mask, rollout.old_log_probs, advantages)
        mask, old, advantage = (_part(tensor, rows, log_probs) for tensor in taken)
        loss, clipped = F.policy_loss(log_probs, old, advantage, mask, clip_range)
        loss, entropy = loss.sum(), (entropies * mask).sum()
        figures = {"policy_loss": loss.item(), "clip_fraction": clipped.sum().item()}
        figures["approx_kl"] = F.approx_kl(log_probs.detach(), old, mask).item()
        if self.ent_coef:  # else it is not computed; rollout/entropy says what it is before the update
            figures["entropy"] = entropy.item()
        return loss - self.ent_coef * entropy, figures

    def _value_error(self, rollout: Rollout, rows: list[int], values: Tensor) -> Loss:
        """The clipped squared error of some rows, summed over their tokens, and what is logged of it."""
        taken = (rollout.response_mask, rollout.values, rollout.returns)
        mask, old, returns = (_part(tensor, rows, values) for tensor in taken)
        loss = F.value_loss(values, old, returns, mask, self.hyperparameters.clip_range_vf).sum()
        return self.vf_coef * loss, {"value_loss": loss.item()}

    def _apply_gradients(self, stats: dict[str, list[float]]) -> None:
        norm = float(torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm))
        if not np.isfinite(norm):
            losses = {name: values[-1] for name, values in stats.items() if name.endswith("loss")}
            raise UserError(f"the gradient is not finite at step {self.num_timesteps}: {losses}; lower learning_rate.")
        stats["grad_norm"].append(norm)
        self.policy.optimizer.step()

    def _adapt_kl(self, rollout: Rollout) -> None:
        if self.hyperparameters.kl_target is not None:
            kl = rollout.kl.sum(1)[~rollout.failed]
            if len(kl):
                self.kl_coef = F.adapt_kl_coef(
                    self.kl_coef,
                    float(kl.mean()),
                    self.hyperparameters.kl_target,
                    len(kl),
                    self.hyperparameters.kl_horizon,
                )

    def _check(self, checks: list[preflight.Check]) -> None:
        self.preflight_checks += checks
        if self.verbose >= 1:
            tqdm.write("\n".join(map(str, checks)))  # above a progress bar, if there is one
        preflight.require(checks)

    # 3. Log. SB3 would write a row between collecting and training; ours is written after both.

    def dump_logs(self, iteration: int = 0) -> None:
        self._log_due = True

    def _log_rollout(self, rollout: Rollout, steps: list[Step], golds: list[float]) -> None:
        sound = ~rollout.failed  # a row that the env failed at says nothing of the policy
        if not sound.any():
            self.logger.warn("the env failed at every step of this rollout: nothing is learned from it.")
            return
        mask = rollout.response_mask
        k3 = F.kl_k3(rollout.old_log_probs, rollout.reference_log_probs) * mask
        per_response = rollout.kl.sum(1)[sound]
        self._watch_kl(per_response)
        record = self.logger.record
        record("rollout/score", float(_sound_scores(steps).mean()))
        if golds:
            record("rollout/gold", float(np.mean(golds)))
        record("rollout/kl_to_reference", per_response.mean().item())
        record("rollout/kl_k3", k3.sum(1)[sound].mean().item())
        record("rollout/entropy", F.masked_mean(rollout.entropy, mask).item())
        record("rollout/response_length", mask.sum(1)[sound].float().mean().item())
        record("rollout/ended", rollout.ended[sound].float().mean().item())

    def _watch_kl(self, kl: Tensor) -> None:
        """A KL estimate may be below 0 by chance; three rollouts in a row far below 0 are a mistake somewhere."""
        error = kl.std(unbiased=False) / len(kl) ** 0.5
        negative = kl.mean() < -3 * error
        self.negative_kl_rollouts = self.negative_kl_rollouts + 1 if negative else 0
        if self.negative_kl_rollouts == 3:
            self.logger.warn(
                "the KL to the reference has been negative for three rollouts: sampling and scoring disagree "
                "(temperature, top-k, padding, dropout), or the reference is not where the policy started."
            )

    def _log_training(self, rollout: Rollout, stats: dict[str, list[float]]) -> None:
        for name, values in stats.items():
            self.logger.record(f"train/{name}", float(np.mean(values)))
        explained = F.explained_variance(rollout.values, rollout.returns, rollout.response_mask)
        self.logger.record("train/explained_variance", explained)
        self.logger.record("train/kl_coef", self.kl_coef)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        if self._log_due:
            self._log_due = False
            super().dump_logs(self._n_updates // self.hyperparameters.n_epochs)

    # 4. Save and load.

    def save(self, path: str | Path, exclude: Any = None, include: Any = None) -> None:  # type: ignore[override]
        """Writes a folder at `path`: everything that `load` and an exact resume need, safetensors and JSON only."""
        save_checkpoint(self, Path(path))

    @classmethod
    def load(cls, path: str | Path, env: Any = None, device: torch.device | str = "auto", **kwargs: Any) -> "PPO":  # type: ignore[override]
        """Makes the algorithm that `save` wrote.

        Args:
            path: the folder.
            env: as for the constructor; the saved env is not made again by itself.
            device: where to put it.
            kwargs: constructor arguments to change.
        """
        return load_checkpoint(cls, Path(path), env, device, kwargs)


def _sound_scores(steps: list[Step]) -> np.ndarray:
    """The env's rewards of all steps that it did not fail at."""
    return np.array([score for step in steps for env, score in enumerate(step.scores) if env not in step.failed])


def _part(tensor: Tensor, rows: list[int], like: Tensor) -> Tensor:
    """Rows of a (N, T) tensor of the rollout, as wide as another one and where it is."""
    return tensor[rows, : like.shape[1]].to(like.device)


def _vectorized(env: str | gym.Env | gym.vector.VectorEnv | VecEnv, n_envs: int) -> VecEnv:
    """An env for training; a vector env has its own number of episodes."""
    return make_vec_env(env) if isinstance(env, (gym.vector.VectorEnv, VecEnv)) else make_vec_env(env, n_envs)
