"""What the rows of the tables are called, and what is wanted of them."""

from collections.abc import Mapping

from benchmarks.performance.cases import AGILERL_PPO, PERLHF_PPO, PERLHF_REWARD, TRL_PPO, TRL_REWARD

NAMES = {
    (PERLHF_PPO, "own"): "perlhf, own value adapter, fp32",
    (PERLHF_PPO, "shared"): "perlhf, shared value adapter, fp32",
    (PERLHF_PPO, "best"): "perlhf, shared, adapters on the top quarter, mixed precision",
    (PERLHF_PPO, "learns"): "perlhf, shared, adapters on all maps of the top quarter, fp32",
    (PERLHF_PPO, "full"): "perlhf, all weights trained",
    (PERLHF_PPO, "defaults"): "perlhf",
    (PERLHF_REWARD, "shared"): "perlhf, fp32",
    (PERLHF_REWARD, "best"): "perlhf, adapters on the top quarter, mixed precision",
    (PERLHF_REWARD, "half"): "perlhf, adapters on all maps of the top half, fp32",
    (PERLHF_REWARD, "full"): "perlhf, all weights trained",
    (PERLHF_REWARD, "defaults"): "perlhf",
    (TRL_PPO, "LoRA"): "TRL",
    (TRL_PPO, "value LoRA"): "TRL, its value model wrapped in LoRA by hand",
    (TRL_REWARD, "LoRA"): "TRL, fp32",
    (TRL_REWARD, "bf16"): "TRL, autocast to bf16",
    (AGILERL_PPO, "LoRA"): "AgileRL",
}

# By setting: at least so many times the rate, and at most this share of the memory, of a table's first row.
Wanted = Mapping[str, tuple[float | None, float | None]]
WANTED: Mapping[tuple[str, str], Wanted] = {
    ("ppo", "8.4M"): {"own": (1.4, 0.6), "shared": (2.2, 0.5), "best": (5.5, 0.3), "learns": (4.0, 0.25)},
    ("ppo", "60M"): {"own": (1.15, 0.55), "shared": (1.5, 0.5), "best": (4.5, 0.25), "learns": (3.0, 0.25)},
    ("ppo", "135M"): {"best": (3.0, 0.3), "learns": (3.0, 0.3)},
    **{("reward", m): {"shared": (1.4, None), "best": (3.0, None), "half": (4.0, 0.25)} for m in ("8.4M", "60M")},
    **{("full ppo", model): {"best": (1.3, 0.73)} for model in ("60M", "342M")},
    **{("full reward", model): {"best": (1.9, 0.5)} for model in ("60M", "342M")},
}
