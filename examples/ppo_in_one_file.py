"""PPO on a language model, straight down in one file: sample, score, estimate advantages, update.

    python examples/ppo_in_one_file.py

A model of 1.1M parameters learns to answer helpfully and harmlessly (HH-v0) from a learned reward in about a minute
on a laptop's CPU. `gold` is the verdict of the task's own judge, which is not trained on: watch it rise.

It is `agents.PPO` without its options, checkpoints, callbacks and episodes of several turns, number for number: a test
holds the adapters after the first updates to be the same bits. docs/ppo_walkthrough.md goes through it section by
section with the equations, whose papers and numbers stand here in brackets.

Shapes: N rows of a rollout, one response each; B rows of a batch; T response tokens, padded on the right.
"""

import time

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from agents.algorithms import functional as F
from backbones.draws import row_seeds
from backbones.forward import chosen_log_probs, log_probs_of, map_batches, response_logits, response_states
from backbones.generate import generate
from backbones.model.tokens import TokenBatch, length_mask, like_lengths
from backbones.roles import LoRARole, LoRASettings, Role
from perlhf import Backbone
from rewards.reward_model import learned_model

N_ENVS = 64  # prompts, and so responses, in a rollout
ITERATIONS = 24  # rollouts, each followed by its updates
MAX_NEW_TOKENS = 64
TEMPERATURE = 1.0  # of sampling, and of every log-probability

EPOCHS = 1  # passes over a rollout
BATCH_SIZE = 16  # responses in an optimizer step
MICRO_BATCH_SIZE = 16  # responses in one forward; less takes less memory and gives the same gradient
LEARNING_RATE = 0.8  # divided by the width of the model
MAX_GRAD_NORM = 1.0

GAMMA, LAMBDA = 1.0, 0.95  # per response token
CLIP_RANGE = 0.2  # eps: of the ratio, and of how far a value moves
VF_COEF = 0.5  # c1
KL_COEF = 0.1  # beta
MISSING_EOS_PENALTY = 1.0


def main(iterations: int = ITERATIONS, n_envs: int = N_ENVS, epochs: int = EPOCHS, seed: int = 0) -> list[Role]:
    """Trains, prints a line an iteration, and returns the policy and the value function."""
    # 1. One frozen language model. Policy, value function and reward model are adapters on it; the reference, the
    # policy before any training, is the model with no adapter at all.
    backbone = Backbone.load("tiny")
    env = gym.make_vec("perlhf/HH-v0", num_envs=n_envs)  # its reward is a model, bundled with perlhf
    reward = learned_model(env.unwrapped.reward_function)
    assert reward is not None
    assert isinstance(reward.role, LoRARole)

    policy = backbone.add_role("policy", LoRASettings(rank=8), seed=seed)
    # The value function has an adapter of its own and starts as a copy of the reward model.
    value = backbone.add_role("value", reward.role.settings, head=True, seed=seed + 1)
    value.copy_from(reward.role)
    assert value.head is not None
    value_head, value_offset = value.head, -reward.centre

    # Sorted by name, as `agents.PPO` has them: the last bit of a gradient's norm depends on the order.
    weights = [p for role in (policy, value) for _, p in sorted(role.parameters().items())]
    peak_rate = LEARNING_RATE / backbone.hidden_size
    optimizer = torch.optim.Adam(weights, lr=peak_rate, eps=1e-5)
    shuffling = np.random.default_rng(seed)

    # The two forwards that everything below is made of.

    def speak(batch: TokenBatch) -> Tensor:
        """log pi(a_t | s_t) of the response tokens, (B, T)."""
        with policy.active() as model:
            return chosen_log_probs(response_logits(model, batch, TEMPERATURE), batch.response_ids)

    def expect(batch: TokenBatch) -> Tensor:
        """V(s_t): what the value function expects before each response token, (B, T)."""
        with value.active() as model:
            return value_head(response_states(model, batch)).squeeze(-1).float() + value_offset

    print("  step   score    gold      KL   ended  length  clipped  value loss")
    started = time.perf_counter()
    observation, _ = env.reset(seed=seed)
    for iteration in range(iterations):
        # 2. Sample: a response to each prompt, token by token from the policy.
        prompts = [backbone.encode_prompt(text) for text in observation["prompt"]]  # token ids
        seeds = row_seeds(seed, range(n_envs), iteration)  # so that each response has random numbers of its own
        responses = generate(policy, prompts, MAX_NEW_TOKENS, TEMPERATURE, seeds)  # with their end tokens
        texts = [backbone.decode(row) for row in responses]
        observation, env_scores, _, _, infos = env.step(texts)  # every episode of HH-v0 is one turn long

        # 3. Score: by one plain forward each, never by the sampler's own numbers.
        mask = length_mask(responses)  # (N, T), True on response tokens
        with torch.no_grad():
            old_log_probs, old_values = map_batches(
                backbone, prompts, responses, lambda batch: (speak(batch), expect(batch))
            )
            reference_log_probs = log_probs_of(backbone.reference, prompts, responses, TEMPERATURE)
        # A response that was cut before its end token pays for it.
        ended = torch.tensor([backbone.has_ended(row) for row in responses])
        scores = torch.tensor(env_scores, dtype=torch.float32) - MISSING_EOS_PENALTY * ~ended

        # 4. Rewards per token: the score on the last one, on each the price of leaving the reference (FT, eq. 2).
        kl = F.kl_k1(old_log_probs, reference_log_probs) * mask
        rewards = F.token_rewards(scores, kl, mask, KL_COEF)

        # 5. Advantages (PPO, eq. 11 and 12). Nothing follows the end of an episode: value and advantage are 0 there.
        nothing = F.Carry(torch.zeros(n_envs), torch.zeros(n_envs))
        advantages, _ = F.gae(rewards, old_values, mask, nothing, GAMMA, LAMBDA)
        returns = (advantages + old_values) * mask
        advantages = F.normalize(advantages, mask)

        # 6. Update: minus L^CLIP + c1 L^VF (PPO, eq. 9), a mean over the response tokens of a minibatch.
        optimizer.param_groups[0]["lr"] = peak_rate * (1.0 - iteration / iterations)
        clipped_share, value_losses = [], []
        orders = [shuffling.permutation(n_envs).tolist() for _ in range(epochs)]
        for rows in (order[i : i + BATCH_SIZE] for order in orders for i in range(0, n_envs, BATCH_SIZE)):
            optimizer.zero_grad(set_to_none=True)
            tokens = int(mask[rows].sum())
            lengths = [len(prompts[i]) + len(responses[i]) for i in rows]
            clipped_tokens, value_loss = 0, 0.0
            for chunk in like_lengths(lengths, MICRO_BATCH_SIZE):
                part = [rows[i] for i in chunk]
                batch = backbone.batch([prompts[i] for i in part], [responses[i] for i in part])
                m, old, adv, old_v, ret = (
                    tensor[part, : batch.length] for tensor in (mask, old_log_probs, advantages, old_values, returns)
                )
                with policy.active():  # its parameters take gradients here alone
                    log_probs = speak(batch)
                    surrogate, clipped = F.policy_loss(log_probs, old, adv, m, CLIP_RANGE)  # -L^CLIP (PPO, eq. 7)
                    (surrogate.sum() / tokens).backward()
                with value.active():
                    errors = F.value_loss(expect(batch), old_v, ret, m, CLIP_RANGE)  # L^VF
                    (VF_COEF * errors.sum() / tokens).backward()
                clipped_tokens += int(clipped.sum())
                value_loss += float(errors.detach().sum())
            torch.nn.utils.clip_grad_norm_(weights, MAX_GRAD_NORM)
            optimizer.step()
            clipped_share.append(clipped_tokens / tokens)
            value_losses.append(value_loss / tokens)

        # 7. Watch: the judge's verdict beside the score that is trained on, and how far the policy has gone.
        gold = float(np.mean(infos["final_info"]["gold"]))
        print(
            f"{(iteration + 1) * n_envs:6} {env_scores.mean():7.3f} {gold:7.3f} {kl.sum(1).mean():7.3f} "
            f"{ended.float().mean():7.3f} {mask.sum(1).float().mean():7.1f} {np.mean(clipped_share):8.4f} "
            f"{np.mean(value_losses):11.4f}",
            flush=True,
        )
    print(
        f"{iterations * n_envs} responses in {time.perf_counter() - started:.0f} seconds; the last prompt and answer:"
    )
    print(backbone.tokenizer.decode(prompts[-1]), texts[-1])
    return [policy, value]


if __name__ == "__main__":
    torch.set_num_threads(1)  # the model is too small to be shared out
    main()
