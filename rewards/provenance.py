"""What stands in the perlhf.json of a reward model beside its weights, held against what `save` could have written."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from backbones.backbone import Backbone
from backbones.pooled import POOLINGS, Reading, check_reading
from perlhf.errors import UserError


class Numbers(NamedTuple):
    """Holds the numbers of a reward model, see `RewardModel`."""

    centre: float
    log_prob_weight: float = 0.0
    score_limit: float | None = None
    bias: float = 0.0


def numbers_of(folder: Path, provenance: Mapping[str, Any]) -> Numbers:
    """Reads the numbers; what was written before there was one of them has its default.

    Raises:
        UserError: they are no numbers that `save` could have written.
    """
    numbers = Numbers(**{name: provenance[name] for name in Numbers._fields if name in provenance})
    limit = numbers.score_limit
    given = [numbers.centre, numbers.log_prob_weight, numbers.bias, *([] if limit is None else [limit])]
    sound = all(type(number) in (int, float) and math.isfinite(number) for number in given)
    if not sound or numbers.log_prob_weight < 0 or (limit is not None and limit <= 0):
        got = ", ".join(f"{name} {number!r}" for name, number in numbers._asdict().items())
        raise UserError(f"{folder / 'perlhf.json'} is damaged: {got}.")
    return numbers


def reading_of(folder: Path, provenance: Mapping[str, Any], backbone: Backbone) -> Reading:
    """Reads which states the head reads; the last ones where nothing is said.

    Raises:
        UserError: there is no such pooling, or no such layer in the backbone.
    """
    pooling, layer = provenance.get("pooling", "last"), provenance.get("read_layer")
    if pooling not in POOLINGS or not (layer is None or type(layer) is int):
        raise UserError(f"{folder / 'perlhf.json'} is damaged: pooling {pooling!r}, read_layer {layer!r}.")
    return Reading(pooling, check_reading(backbone.model, layer))
