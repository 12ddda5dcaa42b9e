"""The options of a plan: which model, on which machines, doing what."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from agents.plan.machines import Gpu, find_gpu
from backbones.memory import MICRO_BATCH
from backbones.model.loading import QUANTIZED
from perlhf.errors import UserError
from perlhf.options import check_bounds, option


@dataclass
class Workload:
    """Says what is trained, on what, and how much of it."""

    group: ClassVar[str] = "the model, and what is trained of it"
    model: str = option(
        "7B", "7B, 8B, 70B (Llama), 135M (SmolLM2), a config.json, a folder with one, or a hub id", positional=True
    )
    precision: Literal["bf16", "mixed", "fp32", "int8", "int4"] = option("bf16", "numbers of the frozen weights")
    lora_rank: int = option(8, "rank of the policy's adapter", low=1)
    value_rank: int = option(4, "rank of the value adapter and of the reward model's", low=1)
    lora_layers: str = option("all", "which layers have adapters: all, half, quarter, or so many at the top")
    lora_targets: str = option("attention", "which maps have adapters, as in train-ppo")
    value_adapter: Literal["own", "shared", "none"] = option(
        "own", "an adapter of its own for V, a head on the policy's, or no V (rloo, grpo, reinforce++)"
    )
    gradient_checkpointing: bool = option(False, "run layers again in the backward pass, for less memory")
    shard_base: bool = option(False, "cut the decoder layers over the GPUs of each machine")

    gpus: int = option(8, "GPUs that train, in all", low=1, high=100_000, group="the machines")
    gpu: str = option("H100-80GB", "which: H100-80GB, H200-141GB, A100-80GB, RTX-4090 and others", group="the machines")
    gpus_per_node: int = option(8, "GPUs in one machine", low=1, high=1024, group="the machines")
    network: float | None = option(
        None, "GB/s between machines, each way, for each GPU; the GPU's own by default", above=0, group="the machines"
    )
    efficiency: float = option(
        0.4, "share of the published FLOP/s that products of matrices reach", above=0, high=1, group="the machines"
    )
    rollout: Literal["local", "server"] = option(
        "local", "who samples: each process for itself, or a server such as vLLM", group="the machines"
    )
    server_gpus: int | None = option(
        None, "GPUs of the server, besides; as many as train by default", low=1, high=100_000, group="the machines"
    )

    prompt_tokens: int = option(512, "tokens of a prompt", low=1, high=10_000_000, group="the work")
    response_tokens: int = option(256, "tokens of a response", low=1, high=10_000_000, group="the work")
    rows: int = option(64, "turns of a rollout, for each GPU", low=1, high=1_000_000, group="the work")
    batch_rows: int = option(16, "turns in an optimizer step, for each GPU", low=1, high=1_000_000, group="the work")
    n_epochs: int = option(1, "passes over a rollout", low=1, high=1000, group="the work")

    def __post_init__(self) -> None:
        """Refuses what cannot be planned together.

        Raises:
            UserError: an unknown GPU, machines that are not full, a base that cannot be cut, more than a rollout has.
        """
        check_bounds(self)
        find_gpu(self.gpu)
        each = self.gpus_per_node
        if self.gpus > each and self.gpus % each:
            fewer = self.gpus // each * each
            raise UserError(
                f"--gpus {self.gpus} do not fill machines of {each}; take {fewer} or {fewer + each}, or another "
                "--gpus-per-node."
            )
        if self.shard_base and min(self.gpus, each) == 1:
            raise UserError("--shard-base cuts the base over the GPUs of a machine; a machine has one here.")
        if self.shard_base and self.precision in QUANTIZED:
            raise UserError(f"--shard-base takes --precision bf16, mixed or fp32, got {self.precision}.")
        if self.batch_rows > self.rows:
            raise UserError(f"--batch-rows {self.batch_rows} are more than the {self.rows} --rows of a rollout.")
        if self.server_gpus is not None and self.rollout == "local":
            raise UserError("--server-gpus needs --rollout server.")

    @property
    def card(self) -> Gpu:
        """What is published of the GPU."""
        return find_gpu(self.gpu)

    @property
    def inside(self) -> int:
        """GPUs of one machine that train."""
        return min(self.gpus, self.gpus_per_node)

    @property
    def shards(self) -> int:
        """GPUs that share one base; its layers never travel between machines."""
        return self.inside if self.shard_base else 1

    @property
    def between(self) -> float:
        """Bytes/s between machines, for each GPU."""
        return self.card.network if self.network is None else self.network * 1e9

    @property
    def rate(self) -> float:
        """FLOP/s that are reckoned with: bf16 products, or float32 ones where the weights are in fp32 or quantized."""
        card = self.card
        return self.efficiency * (card.half_rate if self.precision in ("bf16", "mixed") else card.full_rate)

    @property
    def steps(self) -> int:
        """Optimizer steps of an iteration."""
        return self.n_epochs * -(-self.rows // self.batch_rows)

    @property
    def most_rows(self) -> int:
        """Rows that one forward of training takes at most."""
        return min(MICRO_BATCH, self.batch_rows)

    @property
    def all_rows(self) -> int:
        """Turns of a rollout, of all GPUs."""
        return self.rows * self.gpus
