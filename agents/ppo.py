"""PPO for language models as a Stable-Baselines3 algorithm: text observations, text actions, LoRA roles.

    from agents import PPO
    PPO("LoRAPolicy", "HH-v0").learn(4096, progress_bar=True)
    PPO("LoRAPolicy", "HH-v0", algorithm="grpo")  # REINFORCE, RLOO and others go through the same loop

SB3 keeps the learn loop, callbacks, logger and episode statistics. What is replaced: how a rollout is collected
(`PPO.collect_rollouts`, `agents.rollout`), the update (`PPO.train`), and saving (`agents.checkpoint`: safetensors and
JSON, no pickle). What tells the algorithms apart, advantages and losses, is in `agents.algorithms`.
`examples/ppo_in_one_file.py` does the same as PPO straight down.
"""

from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, replace
from inspect import signature
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import FloatSchedule, get_system_info
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from tqdm import tqdm

from agents import counterfactual, finite, preflight
from agents.algorithms import ALGORITHMS
from agents.algorithms import functional as F
from agents.averaging import AveragedWeights
from agents.checkpoint import load_checkpoint, save_checkpoint, saved_arguments, saved_spaces, set_state
from agents.forwards import forwards_to_come, lengths_of, micro_batch_for
from agents.groups import begin_groups, require_groups, starts_of, tell_starts
from agents.hyperparameters import Hyperparameters, PolicySettings, from_keywords, values_of
from agents.importance import weigh
from agents.merging import merge
from agents.policy import LoRAPolicy
from agents.processes import all_go_on, require_a_row_each, step_of_all, sums_of_all
from agents.rollout import Rollout, ScoreSettings, score_rollout
from agents.rollout_log import count_negative_kl, rollout_figures, sound_scores, sums_of, update_figures
from agents.running import RunningScale
from agents.sb3 import TextAlgorithm, vectorized
from agents.starts import Starts
from agents.steps import Players, Step
from agents.vec_env import AnyEnv
from agents.watched import Watched
from backbones import group
from backbones.backbone import Backbone
from backbones.draws import row_seeds
from backbones.memory import MICRO_BATCH
from backbones.model.devices import find_device
from backbones.roles import LoRASettings
from backbones.sharding import in_step
from perlhf.errors import UserError
from rewards.reward_model import learned_model

LEARNING_RATE = 0.8  # of Adam, times the width; see `Backbone.learning_rate`
FIGURES = ("policy_loss", "clip_fraction", "approx_kl", "entropy", "value_loss")  # of an optimizer step, per token
LONGEST = 1000  # turns of a whole episode, where nothing else ends it


class PPO(TextAlgorithm):
    """PPO with a value adapter, a per-token KL penalty to the SFT policy, and the score on the last token.

    Callbacks are SB3's. A callback may

    - stop the run (`on_step` returns False), save the model, evaluate it on an env of its own, log with `self.logger`;
    - read `self.model` (`policy`, `num_timesteps`, and at `on_rollout_end`, before the update, `rollout`) and in
      `self.locals` the `actions`, `rewards`, `dones` and `infos` of a step;
    - set attributes that are hyperparameters, which count from then on; but the learning rate is `lr_schedule` by now.

    With several processes each has envs of its own, and calls callbacks: `self.locals` is of these envs, `rollout` of
    all. Where a callback of one says stop, all stop. Loggers of all but the first write nothing. `save` takes all of
    them, so a callback that decides when to save has to decide alike in all: one that evaluates has envs seeded alike.
    What writes files of its own, such as a log, gets its path on the first alone.

    It finds no `values` and `log_probs` in `self.locals`, since responses are scored when the rollout is whole, and
    `rollout_buffer` is None. It may not step or reset `training_env`, whose episodes are under way, nor change adapters
    between `on_rollout_start` and `on_rollout_end`. A row of the log is written after the update, not before it, and
    global random states are neither seeded nor used.

    Args:
        policy: "LoRAPolicy".
        env: an id ("HH-v0"), or whatever else `agents.make_vec_env` takes or gives.
        learning_rate: of Adam, a number or a schedule; None takes `Backbone.learning_rate` of `LEARNING_RATE`.
        n_envs: episodes side by side in all processes, where `env` is an id or a single env; a vector env is this
            process's share.
        seed: of the adapters, the samples and the episodes; two seeds share no episodes.
        policy_kwargs: the fields of `agents.hyperparameters.PolicySettings`.
        stats_window_size, tensorboard_log, verbose: as in SB3's PPO.
        device: where the model lives: "cpu", "cuda", ...; "auto" takes a GPU where there is one.
        hyperparameters: the other fields of `agents.hyperparameters.Hyperparameters`, which says what each does;
            `clip_range` may be a schedule too. Each is an attribute of the model by its name.

    Attributes:
        rollout: the last one.
        preflight_checks: what the run found out about itself before and after its first update.
        score_scale: the running scale of scores, with `normalize_scores`.
        turns: how many each env has been given, in all calls of `learn`; samples depend on it.
        starts: proposes the states in which groups begin, with `frontier`; None has the env draw them.
        average: of the policy's weights, with `average_weights`.
        cost: what learning has cost so far, {"seconds", "cpu_seconds"}; `agents.callbacks.Checkpoints` counts.
        watched: what callbacks have found out about the run; where its `ended` says why, no rollout begins.
        asked_to_stop: returns a signal by which `learn` ends in the middle of an update, or 0; set by a callback.

    Raises:
        UserError: an argument that there is not, or a value out of its bounds.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"LoRAPolicy": LoRAPolicy}
    learns_by: ClassVar[str] = "ppo"  # the algorithm, where none is given
    policy: LoRAPolicy  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[LoRAPolicy] = "LoRAPolicy",
        env: AnyEnv | None = None,
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
        others = signature(PPO).parameters.keys() - {"hyperparameters", "_init_setup_model"}
        given = {"algorithm": self.learns_by, "learning_rate": learning_rate, **hyperparameters}
        h = from_keywords(Hyperparameters, given, type(self).__name__, others).settled()
        if h.algorithm != self.learns_by != "ppo":
            raise UserError(f"{type(self).__name__} learns by {self.learns_by!r}, got algorithm {h.algorithm!r}.")
        if env is None and _init_setup_model:
            raise UserError('PPO needs an env, as in PPO("LoRAPolicy", "HH-v0").')
        if seed is not None and not (isinstance(seed, Integral) and seed >= 0):
            raise UserError(f"seed must be a whole number, 0 or more, got {seed!r}.")
        require_a_row_each(h.batch_size)
        super().__init__(
            policy,  # type: ignore[arg-type]
            None if env is None else vectorized(env, n_envs),  # type: ignore[arg-type]
            learning_rate,  # type: ignore[arg-type]
            h.n_steps or LONGEST,
            h.gamma,
            h.gae_lambda,
            h.ent_coef,
            h.vf_coef,
            h.max_grad_norm,
            use_sde=False,
            sde_sample_freq=-1,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log if group.is_first() else None,
            policy_kwargs=policy_kwargs,
            verbose=0,  # it would print the device alone
            seed=None if seed is None else int(seed),
            device=find_device(device),  # SB3 would take the CPU where there is no such device, and say nothing
            supported_action_spaces=(spaces.Text,),
            _init_setup_model=False,
        )
        self.starts: Starts | None = None
        if self.env is not None:  # a vector env brings its own number
            group.require_same({"the number of envs": str(self.n_envs)})
            if h.whole_episodes:
                require_groups(self.env, h.group_size or 1)
            self.starts = starts_of(self.env, h.frontier, self.seed or 0)
        for name, value in vars(h).items():
            setattr(self, name, value)
        self.initial_kl_coef = self.kl_coef = h.kl_coef  # `kl_target` steers the latter
        self.stats_window_size, self.verbose = stats_window_size, verbose if group.is_first() else 0
        self.score_scale = RunningScale()
        self.negative_kl_rollouts = 0
        self.cost = {"seconds": 0.0, "cpu_seconds": 0.0}
        self.watched = Watched()
        self.asked_to_stop: Callable[[], int] = int  # 0
        self.turns = 0
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

    @property
    def score_settings(self) -> ScoreSettings:
        """How the next rollout is scored."""
        h = self.hyperparameters
        scale = self.score_scale.std if h.normalize_scores else 1.0
        how = (ALGORITHMS[h.algorithm], h.group_size or 1)
        return ScoreSettings(h.kl_coef, h.missing_eos_penalty, h.gamma, h.gae_lambda, scale, *how)

    @property
    def all_envs(self) -> int:
        """How many envs all processes play together; `n_envs` are this one's."""
        return self.n_envs if self.env is None else self.n_envs * group.size()

    def _setup_model(self) -> None:
        self.set_random_seed(self.seed)
        settings = {**asdict(PolicySettings()), "seed": self.seed or 0, "device": self.device, **self.policy_kwargs}
        if self.env is not None and settings["backbone"] == "tiny":
            settings["backbone"] = self.env.get_attr("shipped_backbone")[0]
        # Loaded before the env's reward model is, which then finds this copy by its weights and takes no second one.
        known = asdict(PolicySettings()).keys()
        of_model = PolicySettings(**{name: value for name, value in settings.items() if name in known})
        before = Backbone.in_memory()
        backbone = Backbone.load(of_model.backbone, settings["device"], of_model.load_settings)
        if backbone not in before:  # else whoever loaded it has said so
            self._say(backbone.whereabouts)
        start = None if self.env is None else learned_model(self.env.get_attr("reward_function")[0])
        h, schedule = self.hyperparameters, FloatSchedule(self.learning_rate or 0.0)
        self.policy = self.policy_class(  # type: ignore[assignment]
            self.observation_space, self.action_space, schedule, value_start=start,
            value_settings=self.value_settings, has_values=ALGORITHMS[h.algorithm].has_values, **settings,
        )  # fmt: skip
        if self.policy.no_value_start is not None:
            self._say(f"the value function starts at random, not as the reward model: {self.policy.no_value_start}")
        if self.learning_rate is None:
            self.learning_rate = backbone.learning_rate(None, LEARNING_RATE, settings["full"])
        self._setup_lr_schedule()
        self.order_generator = np.random.default_rng(self.seed or 0)
        weights = self.policy.policy_role.parameters()
        self.average = AveragedWeights(weights, h.average_weights) if h.average_weights else None
        self.rollout_buffer = None  # type: ignore[assignment]  # `rollout` is in its place

    def averaged(self) -> AbstractContextManager[None]:
        """Puts the averaged weights in the place of the policy's inside a block, where there is an average."""
        return nullcontext() if self.average is None else self.average.swapped_in()

    def learn(self, *args: Any, **kwargs: Any) -> "PPO":
        """SB3's; nothing of a rollout stays in memory after it, however it ends."""
        states = self.policy.backbone.frozen_states
        self.watched.ended = None
        with states.kept(self.policy.frozen_layers), closing(self.policy.engine):
            return super().learn(*args, **kwargs)

    # 1. Collect: sample responses, step the env, score what was said.

    def collect_rollouts(  # type: ignore[override]
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: None, n_rollout_steps: int | None
    ) -> bool:
        """Plays turns of all envs and leaves them in `self.rollout`; returns False where a callback stops.

        These are `n_rollout_steps` of each env, or an episode of each, as long as it takes if nothing else is said.
        """
        policy, h = self.policy, self.hyperparameters
        policy.set_training_mode(False)
        policy.backbone.frozen_states.open(policy.frozen_layers)  # forgets the tokens of the rollout before
        policy.engine.update(policy.policy_role.save)  # a server is told what the last update made of the adapter
        callback.on_rollout_start()
        if self.watched.ended is not None:
            return False
        if h.whole_episodes:
            self.starts = starts_of(env, h.frontier, self.seed or 0, self.starts)
            self.last_observation, begun = begin_groups(env, h.group_size or 1, self.starts)
        players = Players(env.num_envs, h.whole_episodes, isinstance(env, VecMonitor))
        steps: list[Step] = []
        golds: list[float] = []
        prompts_cut = 0
        while len(steps) < (n_rollout_steps or LONGEST) and players.count:
            before = policy.backbone.cut_prompts
            prompts = policy.encode(players.observed(self.last_observation))  # type: ignore[arg-type] # token ids of s_t
            prompts_cut += policy.backbone.cut_prompts - before
            seeds = row_seeds(policy.seed, players.envs, self.turns)
            responses, said = policy.sample(prompts, seeds)  # a_t ~ pi_old, token by token
            actions = players.actions([policy.backbone.decode(row) for row in responses])
            self.last_observation, rewards, dones, infos = env.step(actions)  # type: ignore[arg-type, assignment]
            self.num_timesteps += players.count
            finite.check_step(self.last_observation, rewards, self.num_timesteps)  # type: ignore[arg-type]
            self.turns += 1
            callback.update_locals(locals())
            if not all_go_on(callback.on_step(), self.asked_to_stop()):
                return False
            step, told = step_of_all(
                *players.step(prompts, responses, said, rewards, dones, infos), policy.backbone.vision
            )
            players.note(step, told)
            steps.append(step)
            self._update_info_buffer(told, step.dones)
            golds += [info["gold"] for info, done in zip(told, step.dones, strict=True) if done and "gold" in info]
        if h.whole_episodes:
            tell_starts(self.starts, begun, players.outcomes, h.group_size or 1)
        if h.normalize_scores:
            self.score_scale.update(sound_scores(steps))
        batches = self._forwards_to_come(steps)
        self.rollout = score_rollout(policy, steps, self.last_observation, self.score_settings, batches)  # type: ignore[arg-type]
        finite.check_rollout(self.rollout, self.num_timesteps)
        self._log_rollout(self.rollout, steps, golds)
        self.logger.record("rollout/cut_prompts", sum(group.gather(prompts_cut)))
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _forwards_to_come(self, steps: list[Step]) -> list[list[int]] | None:
        """Returns the rows of each forward of the update, where they matter; says how many there is room for."""
        h = self.hyperparameters
        size = h.micro_batch_size or micro_batch_for(self.policy, steps)
        if h.micro_batch_size is None:
            self.micro_batch_size = size
            self._say(f"micro-batch: {size} turns of up to {max(lengths_of(steps))} tokens")
        return forwards_to_come(self.policy, steps, h.batch_size, size, self.order_generator)

    # 2. Update: policy and value losses over minibatches of the rollout.

    def train(self) -> None:
        """Updates policy and value on the rollout: `n_epochs` times over its turns, `batch_size` turns a step.

        With PPO a step minimises the mean over its response tokens t of (arXiv 1707.06347, eq. 9, the sign turned)

            -min(r_t A_t, clip(r_t, 1 - eps, 1 + eps) A_t)  +  c1/2 max((V_t - R_t)^2, (V_t^clip - R_t)^2)  -  c2 S_t

        with the ratio r_t of the new policy's probability to the old one's, the advantage A_t, the return R_t, the
        value V_t and the entropy S_t; eps is `clip_range`, c1 `vf_coef`, c2 `ent_coef`. The other algorithms have other
        first and second terms (`agents.algorithms`).

        Each process adds up over its rows of the minibatch, then all over the processes. The rest is the same on all.
        """
        policy, rollout, h = self.policy, self.rollout, self.hyperparameters
        assert rollout is not None
        policy.set_training_mode(True)
        self._update_learning_rate(policy.optimizer)
        h.clip_range = FloatSchedule(h.clip_range)(self._current_progress_remaining)
        if h.preflight and not self.preflight_checks:
            self._say(preflight.adapted(policy))
            self._check(preflight.before_update(policy, rollout, self.score_settings, fresh=self.n_updates == 0))
            self._check(counterfactual.checks(self, h))
        self._check(preflight.sampler(policy, rollout, self.preflight_checks))
        learned, weights = self.learned_from(rollout, h)
        has_values = ALGORITHMS[h.algorithm].has_values
        says = has_values or bool(learned.advantages.any())  # else nothing moves, or only by the KL
        first_update = h.preflight and len(learned) > 0 and says and not preflight.has_updated(self.preflight_checks)
        if first_update:
            before = preflight.snapshot(policy)
        values_alone = self.n_updates < h.value_warmup * h.n_epochs
        of_rows = {} if has_values else {"rows": [float(len(learned))]}
        stats: dict[str, list[float]] = defaultdict(list, {**weights, **of_rows})
        for rows in learned.minibatches(h.n_epochs, h.batch_size, self.order_generator):
            tokens, trained_on = learned.tokens(rows)
            sums = self.backward(learned, rows, h, values_alone)
            if not h.ent_coef:  # then it is not computed; rollout/entropy is what it was before the update
                del sums["entropy"]
            for name, value in sums.items():
                stats[name].append(value / (tokens if name.endswith("loss") else trained_on))
            if h.target_kl is not None and stats["approx_kl"][-1] > 1.5 * h.target_kl:
                break
            norm = float(torch.nn.utils.clip_grad_norm_(policy.parameters(), h.max_grad_norm))
            finite.check_gradient(norm, policy, learned, rows, self.num_timesteps)
            stats["grad_norm"].append(norm)
            policy.optimizer.step()
            if self.average is not None and not values_alone:
                self.average.update()
        self.n_updates += h.n_epochs
        if first_update:
            self._check(preflight.after_update(policy, *before, values_alone or not bool(learned.advantages.any())))
        kl = rollout.response_kl
        if h.kl_target is not None and len(kl):
            self.kl_coef = F.adapt_kl_coef(h.kl_coef, float(kl.mean()), h.kl_target, len(kl), h.kl_horizon)
        self._log_update(rollout, stats)

    def learned_from(self, rollout: Rollout, h: Hyperparameters) -> tuple[Rollout, dict[str, list[float]]]:
        """Returns the rollout as it is trained on, advantages normalized and equal rows one, and figures to log."""
        algorithm, advantages = ALGORITHMS[h.algorithm], rollout.advantages
        if algorithm.normalizes:
            advantages = F.normalize(advantages, rollout.response_mask)
        advantages, weights = weigh(rollout, advantages, h.importance, h.importance_cap)
        learned = replace(rollout, advantages=advantages)
        if not algorithm.has_values and self.policy.backbone.precision == "fp32":
            learned = merge(learned, keep_all=algorithm.loss_kl_coef(h.kl_coef) > 0 or h.ent_coef > 0)
        return learned, weights

    def backward(self, learned: Rollout, rows: list[int], h: Hyperparameters, values_alone: bool) -> dict[str, float]:
        """Puts the gradient of the losses on a minibatch into the parameters; returns figures summed over tokens."""
        policy, algorithm = self.policy, ALGORITHMS[h.algorithm]
        roles = policy.trained_roles[-1 if values_alone else 0 :]
        names, (tokens, _) = FIGURES if algorithm.has_values else FIGURES[:-1], learned.tokens(rows)
        figures: dict[str, list[torch.Tensor]] = {name: [] for name in names}  # read when all has been computed
        policy.optimizer.zero_grad(set_to_none=True)
        chunks = in_step(policy.backbone, learned.chunks(rows, h.micro_batch_size or MICRO_BATCH), [])
        # One part at a time: what is made of images takes far more memory than the images.
        parts = (learned.part(chunk, policy) for chunk in chunks)
        for part, role in ((part, role) for part in parts for role in roles):
            loss, counts = torch.zeros((), device=part.mask.device), part.counts[:, None]
            with role.active():  # only here do its parameters take gradients
                spoken, values = policy.outputs(role, part.batch, with_entropy=h.ent_coef != 0)
                if spoken is not None and not values_alone:
                    log_probs, entropies = spoken
                    losses, clipped = algorithm.policy_loss(log_probs, part, h)
                    entropy = (entropies * part.mask * counts).sum()
                    loss = loss + losses.sum() - h.ent_coef * entropy  # -L^CLIP - c2 S
                    moved = F.approx_kl(log_probs.detach(), part.old_log_probs, part.mask)
                    noted = (losses.detach(), clipped * counts, moved * counts, entropy.detach())
                    for name, each in zip(FIGURES, noted, strict=False):
                        figures[name].append(each.sum())
                if values is not None:
                    errors = algorithm.value_loss(values, part, h)
                    loss = loss + h.vf_coef * errors.sum()  # c1 L^VF
                    figures["value_loss"].append(errors.sum().detach())
                (loss / tokens).backward()
        sums = sums_of_all(list(policy.parameters()), sums_of(figures), self.asked_to_stop())
        if values_alone:  # a gradient of 0 would be a step for Adam
            for parameter in policy.policy_parameters.values():
                parameter.grad = None
        return sums

    def _check(self, checks: list[preflight.Check]) -> None:
        self.preflight_checks += checks
        for check in checks:
            self._say(str(check))
        preflight.require(checks)

    def _say(self, text: str) -> None:
        if self.verbose >= 1:
            tqdm.write(text)  # above a progress bar, if there is one

    # 3. Log. SB3 would write a row between collecting and training; ours is written after both.

    def dump_logs(self, iteration: int = 0) -> None:
        """Notes that a row is due; `train` writes it."""
        self._log_due = True

    def _log_rollout(self, rollout: Rollout, steps: list[Step], golds: list[float]) -> None:
        if rollout.failed.all():
            self.logger.warn("the env failed at every step of this rollout: nothing is learned from it.")
            return
        self.negative_kl_rollouts = count_negative_kl(rollout, self.negative_kl_rollouts, self.logger.warn)
        for name, value in rollout_figures(rollout, steps, golds).items():
            self.logger.record(name, value)

    def _log_update(self, rollout: Rollout, stats: dict[str, list[float]]) -> None:
        for name, value in update_figures(rollout, stats).items():
            self.logger.record(name, value)
        self.logger.record("train/kl_coef", self.kl_coef)
        self.logger.record("train/n_updates", self.n_updates, exclude="tensorboard")
        if self._log_due:
            self._log_due = False
            super().dump_logs(self.n_updates // self.hyperparameters.n_epochs)

    # 4. Save and load.

    def save(self, path: str | Path, exclude: Any = None, include: Any = None) -> None:  # type: ignore[override]
        """Writes a folder at `path`: everything that `load` and an exact resume need, safetensors and JSON only.

        `exclude` and `include` are SB3's and have no effect: a checkpoint is whole. All processes call it
        with the same path, and the first one writes.

        Raises:
            UserError: not all processes call it, or a weight is NaN or infinite.
        """
        finite.check_weights(self.policy)
        save_checkpoint(self, Path(path))

    @classmethod
    def load(  # type: ignore[override]
        cls,
        path: str | Path,
        env: Any = None,
        device: torch.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = False,
        **kwargs: Any,
    ) -> "PPO":
        """Makes the algorithm that `save` wrote.

        Args:
            path: the folder, or that of a run, for its newest checkpoint; ".zip" may be there or not, as with SB3.
            env: as for the constructor; the saved env is not made again by itself.
            device: where to put it.
            custom_objects: constructor arguments in place of saved ones, as SB3 calls it; others are ignored.
            print_system_info: print the versions of what is installed.
            force_reset: begin new episodes. By default those that were under way go on, bit for bit, which needs an
                env of the same task and number.
            kwargs: constructor arguments to change; an unknown one is an error.

        Raises:
            CheckpointError: no sound checkpoint there, or one that does not fit the env, the backbone or the arguments.
        """
        if print_system_info:
            get_system_info()
        tensors, state, value_settings = group.from_first(lambda: load_checkpoint(path))
        arguments = saved_arguments(state)
        arguments |= {name: value for name, value in (custom_objects or {}).items() if name in arguments} | kwargs
        model = cls(env=env, device=device, _init_setup_model=False, **arguments)
        if env is None:
            model.observation_space, model.action_space, model.n_envs = saved_spaces(state)
        model.value_settings = value_settings
        model._setup_model()
        set_state(model, tensors, state, with_episodes=not force_reset)
        model.kl_coef = kwargs.get("kl_coef", model.kl_coef)
        return model
