"""From a workload to figures: what a GPU holds, what it sends, how long each phase takes, and what breaks first."""

from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

from agents.hyperparameters import PolicySettings
from agents.plan import costs
from agents.plan.models import find_model
from agents.plan.workload import Workload
from backbones.generate import ROWS
from backbones.memory import (
    Held,
    MemoryPlan,
    RoleSettings,
    plan_memory,
    skeleton,
)
from backbones.model.anatomy import decoder_layers
from backbones.passes import SCORED, Shape, bytes_of_states, kept_with_checkpoints
from perlhf.errors import UserError

SHARE = 0.1  # of an iteration, from which on a cost beside the model's own counts as a break


class Figure(NamedTuple):
    """Holds one line of a plan."""

    name: str
    here: float  # bytes or seconds
    four: float | None  # of four full models; None where they have no such thing
    formula: str


class Phase(NamedTuple):
    """Holds the seconds of one phase.

    Of a base cut by `backbones.sharding` each layer waits for its own weights, since each is a root to FSDP2, which
    gathers ahead below one root alone. Four models are taken to gather while they compute, so that the longer counts.
    """

    name: str
    products: float
    gathers: float
    four_products: float
    four_gathers: float
    formula: str

    @property
    def seconds(self) -> float:
        return self.products + self.gathers

    @property
    def four(self) -> float:
        """Seconds of four full models."""
        return max(self.four_products, self.four_gathers)


class Sizes(NamedTuple):
    """Holds what is known of a model without its weights."""

    name: str
    weights: int  # all of them
    of_layers: int  # those in decoder layers
    of_head: int  # those of the LM head
    layers: int
    top: int  # layers from the lowest adapter on
    width: int
    plan: MemoryPlan  # of one row in a micro-batch, and one that is sampled


@dataclass(frozen=True)
class Estimate:
    """Holds the figures of a workload.

    Attributes:
        work: what was asked for.
        sizes: of its model.
        micro_batch: rows that one forward of training has memory for.
        held: bytes of a GPU; the last one is the sum.
        sent: bytes that a GPU or process gets.
        seconds: of an iteration; the last one is the sum.
        breaks: what does not fit or costs too much, the worst first, a sentence each; empty where nothing does.
        limit: GPUs from which on gathering whole rollouts takes more than `SHARE` of an iteration.
    """

    work: Workload
    sizes: Sizes
    micro_batch: int
    held: list[Figure]
    sent: list[Figure]
    seconds: list[Figure]
    breaks: list[str]
    limit: int


def sizes_of(work: Workload) -> Sizes:
    """Reads the sizes of a workload's model off its config.

    Raises:
        UserError: no such model; layers or maps that it does not have; or one that does not run without its weights.
    """
    name, config = find_model(work.model)
    model = skeleton(config)
    settings = PolicySettings(
        lora_rank=work.lora_rank, lora_layers=work.lora_layers, lora_targets=work.lora_targets
    )  # fmt: skip
    policy, value = settings.lora(model), settings.lora(model, rank=work.value_rank)
    layers = decoder_layers(model)
    if layers is None:
        raise UserError(f"model {name!r} does not hold its layers in one list, so it cannot be planned.")
    how = work.value_adapter
    roles = RoleSettings(policy, value, value, value_is_shared=how == "shared", has_values=how != "none")
    shape = Shape(work.prompt_tokens, work.response_tokens, rows=1, micro_batch=1)
    head = model.get_output_embeddings().weight
    return Sizes(
        name,
        weights=sum(p.numel() for p in model.parameters()),
        of_layers=sum(p.numel() for p in layers.parameters()),
        of_head=head.numel(),
        layers=len(layers),
        top=(policy.layers if policy else None) or len(layers),
        width=int(head.shape[-1]),
        plan=plan_memory(config, roles, shape, work.precision, work.shards),
    )


def estimate(work: Workload, sizes: Sizes | None = None) -> Estimate:
    """Estimates a workload; nothing is run.

    Args:
        work: what is planned.
        sizes: of its model, where they are known already; they do not depend on how many full machines there are.
    """
    sizes = sizes or sizes_of(work)
    micro_batch, held = _held(work, sizes)
    phases = _phases(work, sizes, micro_batch)
    here, four = sum(phase.seconds for phase in phases), sum(phase.four for phase in phases)
    seconds = [Figure(phase.name, phase.seconds, phase.four, phase.formula) for phase in phases]
    seconds.append(Figure("an iteration", here, four, "sum"))
    limit = _gathering_limit(work, here)
    breaks = _breaks(work, sizes, held[-1].here, phases, limit)
    return Estimate(work, sizes, micro_batch, held, _sent(work, sizes), seconds, breaks, limit)


def _held(work: Workload, sizes: Sizes) -> tuple[int, list[Figure]]:
    """Counts the bytes of a GPU that trains; and the rows of a micro-batch, which get half of what is left."""
    plan, gpus = sizes.plan, work.gpus
    trained, frozen = Held.trained(plan.plain), plan.layers + plan.outside
    adapters = sum(held.total for held in plan.roles.values()) - plan.base
    of_row = plan.activations
    if work.gradient_checkpointing:
        state = bytes_of_states(work.precision) * sizes.width
        of_row = kept_with_checkpoints(of_row, 1, sizes.layers, work.prompt_tokens + work.response_tokens, state)
    left = work.card.memory - plan.base - plan.gathered - adapters
    micro_batch = int(max(1, min(work.most_rows, left / 2 // of_row)))
    rows = min(ROWS, work.rows) if work.rollout == "local" else 0
    cut = f"{gb(plan.outside)} + layers {gb(plan.layers)} / {work.shards}" if work.shards > 1 else "all weights, once"
    checkpoints = ", layers run again" if work.gradient_checkpointing else ""
    figures = [
        Figure("frozen weights", plan.base, (2 * trained.weights + 2 * frozen) / gpus,
               f"{cut}; four: (2 in float32 + 2 of {gb(frozen)}) / {gpus} GPUs"),
        Figure("layers gathered at once", plan.gathered, None, "2 x a layer of a sharded base"),
        Figure("adapters, gradients, Adam", adapters, 2 * (trained.gradients + trained.optimizer) / gpus,
               f"4 x 4 bytes x trained weights + the reward's; four: 2 x 12 bytes x {count(sizes.weights)} / {gpus}"),
        Figure("keys and values", rows * plan.cache, rows * plan.cache,
               f"sampling: {rows} rows x {kb(plan.cache / (work.prompt_tokens + work.response_tokens))} a token x "
               f"{work.prompt_tokens + work.response_tokens} tokens"),
        Figure("activations", micro_batch * of_row, micro_batch * of_row,
               f"training: {micro_batch} rows x {gb(of_row)}, from a forward without weights{checkpoints}"),
    ]  # fmt: skip
    merged = plan.merged if rows else 0
    if merged:
        figures.append(Figure("merged weights", merged, None, "sampling: the adapted maps again, in float32"))
    here = plan.base + plan.gathered + adapters + max(rows * plan.cache + merged, micro_batch * of_row)
    four = (2 * trained.total + 2 * frozen) / gpus + max(rows * plan.cache, micro_batch * of_row)
    figures.append(
        Figure(
            "at most", here, four, f"sum, with the larger of sampling and training; the GPU has {gb(work.card.memory)}"
        )
    )
    return micro_batch, [figure for figure in figures if figure.here or figure.four]


def _sent(work: Workload, sizes: Sizes) -> list[Figure]:
    """Counts the bytes that messages have."""
    plan, whole, two = sizes.plan, 2 * sizes.weights, 4 * sizes.weights
    figures = []
    if work.gpus > 1:
        rows = work.all_rows
        gathered = _gathered(work)
        server = f" + {costs.SAMPLED_BYTES} x {work.response_tokens} tokens" if work.rollout == "server" else ""
        figures += [
            Figure("gradients, an optimizer step", plan.adapters, two,
                   f"4 bytes x trained weights; four: 2 models x 2 bytes x {count(sizes.weights)}"),
            Figure("rows, an iteration", gathered, gathered,
                   f"{rows} rows x ({costs.ID_BYTES} bytes x {work.prompt_tokens + work.response_tokens} ids + 2 x 4 "
                   f"bytes x {costs.FIGURES} figures x {work.response_tokens} tokens{server}), to every process"),
        ]  # fmt: skip
    if work.shards > 1:
        figures.append(
            Figure("layers, a forward", costs.gather_seconds(plan.layers, work.shards, 1.0), whole,
                   f"{gb(plan.layers)} x {work.shards - 1} / {work.shards}, within a machine; four: over all GPUs")
        )  # fmt: skip
    if work.rollout == "server":
        policy = plan.roles["policy"].weights
        figures.append(
            Figure("policy to the server, an iteration", policy, whole, "4 bytes x its adapter; four: 2 bytes x all")
        )
    return figures


def _phases(work: Workload, sizes: Sizes, micro_batch: int) -> list[Phase]:
    """Reckons how long the phases of an iteration take; env, judge and Python around the model are not in it."""
    return [
        _sampling(work, sizes), _scoring(work, sizes), _training(work, sizes, micro_batch), _messages(work, sizes)
    ]  # fmt: skip


def _sampling(work: Workload, sizes: Sizes) -> Phase:
    """Prompts at the speed of products, then tokens one by one at the speed of memory, or of Python."""
    if work.rollout == "server":
        return _engines(work, sizes)
    at_once = min(ROWS, work.rows)
    turns = -(-work.rows // at_once)
    base = sizes.plan.layers + sizes.plan.outside
    token = costs.token_seconds(base, at_once * _half_way(work, sizes), work.card.bandwidth, sizes.layers)
    gather = costs.gather_seconds(sizes.plan.layers, work.shards, work.card.link)
    prompts = work.rows * _prompt(work, sizes)
    products, gathers = prompts + turns * work.response_tokens * token, turns * (work.response_tokens + 1) * gather
    formula = (
        f"prompts {prompts:.2g} s + {turns} x {work.response_tokens} tokens x {1e3 * token:.3g} ms, the larger of "
        f"(weights + cache) / bandwidth and {sizes.layers} layers x {1e3 * costs.EAGER_LAYER:g} ms{_and(gathers)}; "
        "four: the same products, gathered once"
    )
    return Phase("sampling", products, gathers, products, 0.0, formula)


def _engines(work: Workload, sizes: Sizes) -> Phase:
    """A server's engines share the rows of all; each has as many at once as its memory has keys and values for."""
    width, engines, room = _server(work, sizes)
    rows = -(-work.rows * work.gpus // engines)
    at_once = int(max(1, min(rows, room // sizes.plan.cache)))
    turns = -(-rows // at_once)
    token = costs.token_seconds(2 * sizes.weights, at_once * _half_way(work, sizes), width * work.card.bandwidth)
    prompts = rows * _prompt(work, sizes) / width
    seconds = prompts + turns * work.response_tokens * token
    formula = (
        f"{engines} engines of {width} GPUs: prompts {prompts:.2g} s + {turns} x {work.response_tokens} tokens x "
        f"{1e3 * token:.3g} ms, (weights + cache of {at_once} rows) / bandwidth; four: the same"
    )
    return Phase("sampling", seconds, 0.0, seconds, 0.0, formula)


def _server(work: Workload, sizes: Sizes) -> tuple[int, int, float]:
    """Returns the GPUs of one engine, how many engines there are, and the bytes one has for keys and values."""
    gpus, whole = work.server_gpus or work.gpus, 2 * sizes.weights
    width = costs.engine_width(whole, work.card.memory, min(work.gpus_per_node, gpus))
    return width, gpus // width, 0.9 * width * work.card.memory - whole


def _prompt(work: Workload, sizes: Sizes) -> float:
    """Returns the seconds in which one prompt is read."""
    return costs.forward_flop(sizes.of_layers, sizes.of_head, work.prompt_tokens, 1) / work.rate


def _half_way(work: Workload, sizes: Sizes) -> float:
    """Returns the bytes of keys and values of a row when half of its response is said."""
    tokens = work.prompt_tokens + work.response_tokens
    return sizes.plan.cache * (work.prompt_tokens + work.response_tokens / 2) / tokens


def _scoring(work: Workload, sizes: Sizes) -> Phase:
    """Policy, value, reward and reference read every row once, without gradients."""
    tokens = work.prompt_tokens + work.response_tokens
    forwards = 4 if work.value_adapter == "own" else 3
    run, once = _layers_run(work, sizes)
    heads = 2 * costs.forward_flop(0, sizes.of_head, 0, work.response_tokens)
    of_row = costs.forward_flop(forwards * run + once, 0, tokens, 0) + heads
    of_four = costs.forward_flop(4 * sizes.of_layers, 0, tokens, 0) + heads
    batches = -(-work.rows // SCORED)
    gathers = forwards * batches * costs.gather_seconds(sizes.plan.layers, work.shards, work.card.link)
    formula = (
        f"{work.rows} rows x {forwards} forwards of 2 x weights x {tokens} tokens / {_rate(work)}{_and(gathers)}; "
        "four: 4 forwards of all layers"
    )
    four_gathers = 4 * batches * _gather_of_four(work, sizes)
    return Phase(
        "scoring", work.rows * of_row / work.rate, gathers, work.rows * of_four / work.rate, four_gathers, formula
    )


def _training(work: Workload, sizes: Sizes, micro_batch: int) -> Phase:
    """Forward and backward of policy and value; frozen weights have no gradient, so a backward costs a forward."""
    tokens, response = work.prompt_tokens + work.response_tokens, work.response_tokens
    roles = 2 if work.value_adapter == "own" else 1
    run, _ = _layers_run(work, sizes)
    above = sizes.of_layers * sizes.top / sizes.layers
    again = 1 if work.gradient_checkpointing else 0
    of_row = costs.forward_flop(roles * ((1 + again) * run + above), 2 * sizes.of_head, tokens, response)
    of_four = costs.forward_flop(2 * (3 + again) * sizes.of_layers, 3 * sizes.of_head, tokens, response)
    batches, rows = work.steps * -(-work.batch_rows // micro_batch), work.n_epochs * work.rows
    times = 2 * batches  # a layer that runs again does so where its backward pass has gathered it
    gathers = roles * times * costs.gather_seconds(sizes.plan.layers, work.shards, work.card.link)
    twice = ", forward again" if again else ""
    four_gathers = 2 * times * _gather_of_four(work, sizes)
    formula = (
        f"{rows} rows x {roles} x (forward{twice}, and backward of inputs alone) / {_rate(work)}{_and(gathers)}; four: "
        f"2 x (forward{twice}, and twice that), or gathers of {four_gathers:.3g} s"
    )
    return Phase("training", rows * of_row / work.rate, gathers, rows * of_four / work.rate, four_gathers, formula)


def _layers_run(work: Workload, sizes: Sizes) -> tuple[float, float]:
    """Counts the weights of the layers that each forward runs, and of those that are run once for all of them.

    Below the lowest adapter states are kept (up to 1 GiB of them): where sampling is local it has them already. A
    sharded base keeps none.
    """
    if work.shards > 1 or sizes.top == sizes.layers:
        return sizes.of_layers, 0.0
    run = sizes.of_layers * sizes.top / sizes.layers
    return run, 0.0 if work.rollout == "local" else sizes.of_layers - run


def _gather_of_four(work: Workload, sizes: Sizes) -> float:
    """Returns how long a model takes to gather that is cut over all GPUs: a share of it comes over the network."""
    machines, size = work.gpus // work.inside, 2.0 * sizes.weights
    within = costs.gather_seconds(size, work.inside, work.card.link)
    return within + costs.gather_seconds(size / work.inside, machines, work.between)


def _messages(work: Workload, sizes: Sizes) -> Phase:
    """Sums of gradients, the gathering of rows, and the policy on its way to the server."""
    link, network, machines = work.card.link, work.between, work.gpus // work.inside
    each = costs.sum_seconds(sizes.plan.adapters, work.inside, machines, link, network)
    of_four = costs.sum_seconds(4 * sizes.weights, work.inside, machines, link, network)
    rows = _gathering(work)
    policy = sizes.plan.roles["policy"].weights / network if work.rollout == "server" else 0.0
    whole = 2 * sizes.weights / network if work.rollout == "server" else 0.0
    formula = (
        f"{work.steps} sums of {1e3 * each:.2g} ms + rows {rows:.2g} s (bytes / network + {1e6 * costs.ROW_SECONDS:g} "
        f"us of a core for a row of {costs.ROW_TOKENS} tokens) + policy {1e3 * policy:.1g} ms; four: {work.steps} sums "
        f"of {1e3 * of_four:.4g} ms + rows + policy {1e3 * whole:.4g} ms"
    )
    return Phase("messages", work.steps * each + rows + policy, 0.0, work.steps * of_four + rows + whole, 0.0, formula)


def _gathered(work: Workload) -> int:
    """Returns the bytes that every process gets of the rows of all."""
    by_server = work.rollout == "server"
    return costs.gathered_bytes(work.all_rows, work.prompt_tokens, work.response_tokens, by_server)


def _gathering(work: Workload) -> float:
    """Returns the seconds in which every process gets the rows of all."""
    if work.gpus == 1:
        return 0.0
    tokens = work.prompt_tokens + work.response_tokens
    return _gathered(work) / work.between + work.all_rows * costs.ROW_SECONDS * tokens / costs.ROW_TOKENS


def _gathering_limit(work: Workload, whole: float) -> int:
    """Returns the number of GPUs from which on gathering rows takes `SHARE` of an iteration, all else as it is."""
    of_two = replace(work, gpus=2, gpus_per_node=2, server_gpus=None)
    others, of_gpu = whole - _gathering(work), _gathering(of_two) / 2
    return ceil(SHARE / (1 - SHARE) * others / of_gpu)


def _breaks(work: Workload, sizes: Sizes, need: float, phases: list[Phase], limit: int) -> list[str]:
    """Says what does not fit, then what costs more beside the model's own products than it should, the worst first."""
    whole, gathering = sum(phase.seconds for phase in phases), _gathering(work)
    found: list[tuple[float, str]] = []  # with the seconds lost
    if need > work.card.memory:
        says = f"memory: {gb(need)} on a GPU of {gb(work.card.memory)}. {_for_memory(work, sizes)}"
        found.append((float("inf"), says))
    if work.rollout == "server" and _server(work, sizes)[2] < sizes.plan.cache:
        says = f"the server's memory: {gb(2 * sizes.weights)} of weights leave no room for keys and values"
        found.append((float("inf"), f"{says}. --server-gpus gives it more."))
    if work.rollout == "local":
        of_server = _engines(replace(work, rollout="server"), sizes).seconds
        lost = phases[0].seconds - of_server
        if lost > SHARE * whole:
            says = (
                f"sampling in each process: {phases[0].seconds:.3g} s; a server on as many GPUs takes {of_server:.3g} s"
            )
            found.append((lost, f"{says}: --rollout server."))
    for phase in phases[1:3]:
        if phase.gathers > SHARE * whole:
            says = f"gathering layers in {phase.name}: {phase.gathers:.3g} s beside {phase.products:.3g} s of products"
            found.append((phase.gathers, f"{says}. {_for_gathers(work)}"))
    if work.gpus >= limit:
        held = work.all_rows * (work.prompt_tokens + work.response_tokens) * costs.ROW_HELD / costs.ROW_TOKENS
        says = (
            f"gathering whole rollouts: {gathering:.3g} s ({gathering / whole:.0%} of an iteration), and {gb(held)} of"
        )
        found.append((
            gathering,
            f"{says} its machine's memory for each process; from {limit} GPUs on it is above {SHARE:.0%}. Above one "
            "machine moments and scores alone would have to travel; that is planned, not built.",
        ))  # fmt: skip
    return [says for _, says in sorted(found, reverse=True)]


def _for_memory(work: Workload, sizes: Sizes) -> str:
    """Says what would help where a GPU has too little memory."""
    if sizes.plan.base > work.card.memory / 2 and work.shards == 1:
        return "--shard-base cuts the weights over the GPUs of a machine." if work.inside > 1 else (
            "Take more GPUs and --shard-base, or --precision int4."
        )  # fmt: skip
    if work.rollout == "local":
        return "--rollout server leaves keys and values to the server; fewer --rows are fewer side by side."
    return "" if work.gradient_checkpointing else "--gradient-checkpointing keeps less of a forward."


def _for_gathers(work: Workload) -> str:
    """Says what would help where layers are gathered often."""
    if not work.gradient_checkpointing:
        return "--gradient-checkpointing leaves room for more rows in a forward, which is gathered for once."
    return "Larger GPUs or faster links within a machine; gathering ahead of the layer that runs is not built."


def _rate(work: Workload) -> str:
    return f"{work.rate / 1e12:.4g} TFLOP/s"


def _and(gathers: float) -> str:
    return f" + gathers of {gathers:.3g} s" if gathers else ""


def gb(size: float) -> str:
    """Returns bytes as GB, of 1e9."""
    return f"{size / 1e9:.3g} GB"


def kb(size: float) -> str:
    """Returns bytes as KiB."""
    return f"{size / 1024:.4g} KiB"


def count(weights: float) -> str:
    """Returns a number of weights, as 6.74B or 135M."""
    return f"{weights / 1e9:.3g}B" if weights >= 1e9 else f"{weights / 1e6:.3g}M"
