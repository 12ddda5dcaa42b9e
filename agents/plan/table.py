"""A plan as text for the terminal."""

from collections.abc import Sequence
from textwrap import wrap

from agents.plan.estimate import SHARE, Estimate, Figure, count, gb
from agents.plan.models import KNOWN


def describe(estimate: Estimate, formulas: bool = False) -> str:
    """Returns the plan as tables of held bytes, sent bytes and seconds; with formulas, one under each figure."""
    work, sizes = estimate.work, estimate.sizes
    base = f"one base over {work.shards}" if work.shards > 1 else "a base on each"
    nodes = f", {work.gpus_per_node} a machine" if work.gpus > work.gpus_per_node else ""
    lines = [
        f"{sizes.name} ({count(sizes.weights)} weights, {work.precision}) on {work.gpus} x {work.gpu}{nodes}",
        "an estimate, not run: what is published of the GPUs, and formulas (--formulas)",
        "",
        f"{work.rows} turns a GPU of {work.prompt_tokens} + {work.response_tokens} tokens; adapters of rank "
        f"{work.lora_rank} and {work.value_rank} on {sizes.top} of {sizes.layers} layers; {base}; sampling: "
        f"{work.rollout}",
        f"as options of train-ppo: --n-envs {work.all_rows} --batch-size {work.batch_rows * work.gpus} "
        f"--micro-batch-size {estimate.micro_batch}",
        "",
        *_section("held by a GPU, GB", estimate.held, 1e9, formulas),
        "",
        *_section("sent to a GPU, MB", estimate.sent, 1e6, formulas),
        "",
        *_section("an iteration, seconds", estimate.seconds, 1.0, formulas),
        f"{'turns a second, all GPUs':38} {_number(work.all_rows / estimate.seconds[-1].here):>10} "
        f"{_number(work.all_rows / (estimate.seconds[-1].four or 1.0)):>12}",
        "",
        *_breaks(estimate),
        "four models: policy and value trained in full (float32 weights, gradients and Adam; bf16 on the way), reward",
        "and reference frozen; each is cut over all GPUs (ZeRO stage 3, arXiv 1910.02054)",
    ]
    if formulas:
        lines += ["", *_sources(estimate)]
    return "\n".join(lines)


def _section(title: str, figures: Sequence[Figure], unit: float, formulas: bool) -> list[str]:
    lines = [f"{title:38} {'perlhf':>10} {'four models':>12}"]
    if not figures:
        return [f"{title:38} {'nothing':>10}"]
    for name, here, four, formula in figures:
        other = "-" if four is None else _number(four / unit)
        lines.append(f"  {name:36} {_number(here / unit):>10} {other:>12}")
        if formulas:
            lines.append(f"      = {formula}")
    return lines


def _breaks(estimate: Estimate) -> list[str]:
    limit = f"gathering whole rollouts will be {SHARE:.0%} of an iteration from {estimate.limit} GPUs on"
    first, *others = estimate.breaks or [f"nothing here; {limit}"]
    says = [f"what breaks first: {first}", *(f"then: {other}" for other in others)]
    return [line for text in says for line in wrap(text, 118, subsequent_indent="  ")]


def _sources(estimate: Estimate) -> list[str]:
    work, card = estimate.work, estimate.work.card
    known = [known.source for known in KNOWN.values() if known.name == estimate.sizes.name]
    return [
        f"model: {known[0] if known else work.model}",
        f"GPU: {gb(card.memory)}, {card.half_rate / 1e12:g} TFLOP/s bf16 dense, {card.full_rate / 1e12:g} float32, "
        f"{card.bandwidth / 1e12:g} TB/s, {card.link / 1e9:g} GB/s within a machine, {work.between / 1e9:g} between "
        f"({card.source})",
        f"assumed: {work.efficiency:g} of those FLOP/s; bandwidth alone, no latency; attention's own products, envs "
        "and Python around the model are left out",
    ]


def _number(value: float) -> str:
    """Returns three digits, without an exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}" if abs(value) >= 0.001 else f"{value:.1g}"
