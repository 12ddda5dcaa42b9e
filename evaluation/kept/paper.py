"""The figures of Tables 1 to 3 of PE-RLHF (arXiv 2403.10704 v2) that ours stand beside.

By size of the backbone as the paper calls it, PaLM 2 S, XS and XXS, and by what was trained.
"""

from collections.abc import Mapping
from typing import NamedTuple

Figures = Mapping[str, Mapping[str, float]]  # by size, then by what was trained

# Accuracy of reward models in percent, Table 2.
REWARD: Mapping[str, Figures] = {
    "HH": {
        "S": {"full": 76.6, "LoRA 16": 75.0, "LoRA 8": 79.1, "LoRA 4": 78.7, "LoRA 1": 76.0},
        "XS": {"full": 77.0, "LoRA 8": 76.8},
        "XXS": {"full": 73.4, "LoRA 8": 72.5},
    },
    "TLDR": {"S": {"full": 78.7, "LoRA 16": 77.0, "LoRA 8": 77.3, "LoRA 4": 79.7, "LoRA 1": 77.2}},
    "UINav": {"S": {"full": 93.1, "LoRA 16": 92.2, "LoRA 8": 92.0, "LoRA 4": 91.2, "LoRA 1": 90.8}},
}

# What a judge says of policies in percent, Table 3.
POLICY: Mapping[str, Figures] = {
    "HH": {
        "S": {"SFT": 75.5, "full": 96.6, "LoRA 16": 96.4, "LoRA 8": 97.7, "LoRA 4": 96.7, "LoRA 1": 98.2},
        "XS": {"SFT": 70.3, "full": 96.1, "LoRA 16": 97.4},
        "XXS": {"SFT": 66.7, "full": 96.6, "LoRA 16": 96.6},
    },
    "TLDR": {"S": {"SFT": 50, "full": 87, "LoRA 16": 86.5, "LoRA 8": 85.7, "LoRA 4": 84.2, "LoRA 1": 85}},
}


class Cost(NamedTuple):
    """Holds what LoRA costs beside full tuning, Table 1.

    Attributes:
        memory: its peak by that of full tuning.
        speed: how many times as fast it is.
    """

    memory: float
    speed: float


COSTS: Mapping[str, Mapping[str, Cost]] = {
    "reward": {"HH": Cost(0.431, 1.6), "TLDR": Cost(0.50, 1.7), "UINav": Cost(0.56, 1.9)},
    "policy": {"HH": Cost(0.80, 1.3), "TLDR": Cost(0.75, 1.15)},
}
