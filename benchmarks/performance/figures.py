"""From what was measured to the figures of the tables. Rounds are compared with each other one by one."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.performance.cases import PROMPT_TOKENS, SETTINGS, SIZES, PPOWork
from benchmarks.performance.store import Result


class Spread(NamedTuple):
    """A median with the least and the greatest value."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def cpu_seconds(result: Result) -> float:
    """CPU seconds of one iteration, the median of those that were measured in one process."""
    return statistics.median(iteration["total"] for iteration in result["iterations"])


def rate(result: Result) -> float:
    """Samples (or pairs) per CPU second."""
    return float(result["count"]) / cpu_seconds(result)


def memory_mb(result: Result, imports: Result) -> float:
    """Returns the memory of the work at its peak, less that of the imports, in MiB."""
    return float(result["peak_mb"]) - float(imports["peak_mb"])


def phases(results: Sequence[Result]) -> dict[str, float]:
    """Median CPU seconds of an iteration by phase."""
    iterations = [iteration for result in results for iteration in result["iterations"]]
    names = ("sampling", "scoring", "optimizing", "total")
    return {name: statistics.median(iteration.get(name, 0.0) for iteration in iterations) for name in names}


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Spread | None:
    """Ours over theirs in each round that both have; None where there is no such round."""
    shared = sorted(set(ours) & set(theirs))
    return spread([ours[number] / theirs[number] for number in shared]) if shared else None


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Returns the slope of log cost over log size by least squares: 1 where the cost grows in proportion."""
    fit = statistics.linear_regression([math.log(size) for size in sizes], [math.log(cost) for cost in costs])
    return fit.slope


def gigaflops_needed(work: PPOWork, setting: str) -> float:
    """GFLOP of the matrix products in one iteration of perlhf's algorithm; attention and adapters are left out.

    Sampling reads every token once. Scoring runs reward, policy and reference, and the value role where it has an
    adapter of its own. Optimizing runs policy (and value) forwards and backwards, and no weight of the backbone takes
    gradients, so that backwards costs as much as forwards. Layers below all adapters run in sampling alone here,
    and the top layer's MLP where states are read: at the response, by a reward model at its last token.
    """
    size = SIZES[work.model]
    head, mlp = 2 * size.hidden * size.vocabulary, 6 * size.hidden * size.intermediate  # for each token
    layer = 2 * size.attention + mlp
    said, tokens = work.max_new_tokens, PROMPT_TOKENS + work.max_new_tokens
    adapted = math.ceil(size.layers / 4) if SETTINGS[setting].get("lora_layers") == "quarter" else size.layers
    states = adapted * tokens * layer - PROMPT_TOKENS * mlp  # of the policy's or another role's forward
    score = adapted * tokens * layer - (tokens - 1) * mlp
    own = 1 if SETTINGS[setting].get("value_adapter") == "own" else 0
    sampling = size.layers * tokens * layer + said * head
    scoring = (2 + own) * states + score + 2 * said * head
    optimizing = 2 * work.n_epochs * ((1 + own) * states + said * head)
    return work.n_envs * (sampling + scoring + optimizing) / 1e9
