"""The processes of a run, as torchrun or `accelerate launch` started them. With one process nothing here does anything.

Every process plays and scores its share of the episodes; then all hold the whole rollout, and each takes its rows of
the same minibatch. Gradients of adapters and logged figures are added up in one message an optimizer step. The base
never travels.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from perlhf.errors import UserError, one_line
from perlhf.measure import Stopwatch, peak_rss_mb

T = TypeVar("T")

TO_MEET = timedelta(minutes=2)  # the processes of several machines do not start together
_TO_WAIT = timedelta(days=7)  # for one that evaluates or writes alone; `backbones.launch` notices one that is gone


def launched() -> int:
    """Returns how many processes a launcher has started for this command; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def start() -> None:
    """Joins the other processes where a launcher has named them in RANK and WORLD_SIZE; else does nothing.

    Raises:
        UserError: they do not meet: a variable is missing, the port is taken, MASTER_ADDR is out of reach.
    """
    if launched() == 1 or dist.is_initialized():
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, number, count = next(dist.rendezvous("env://", timeout=TO_MEET))
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=_TO_WAIT)
    except (RuntimeError, ValueError) as error:  # a socket's, or of a variable
        where = f"{os.environ.get('MASTER_ADDR', '')}:{os.environ.get('MASTER_PORT', '')}"
        raise UserError(
            f"the {launched()} processes of this run (WORLD_SIZE) do not meet at {where}: {one_line(error)}. Start "
            "them with torchrun; where the port is taken, give another --master-port."
        ) from None


def rank() -> int:
    """Returns the number of this process, 0 for the one that writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """Returns how many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Returns whether this is the process that writes files and prints."""
    return rank() == 0


def share(count: int, what: str) -> range:
    """Returns which of `count` things are this process's: as many for each process, one after the other.

    Raises:
        UserError: they cannot be cut into equal shares; `what` they are.
    """
    each, rest = divmod(count, size())
    if rest:
        near = " or ".join(str(n) for n in (each * size(), (each + 1) * size()) if n)
        raise UserError(f"{count} {what} cannot be shared out equally to {size()} processes; take {near}.")
    return range(rank() * each, (rank() + 1) * each)


def gather(mine: T) -> list[T]:
    """Returns what every process has, in the order of ranks. What is sent is pickled by torch, among ourselves."""
    if size() == 1:
        return [mine]
    found: list[Any] = [None] * size()
    dist.all_gather_object(found, mine)
    return found


def from_first(make: Callable[[], T]) -> T:
    """Returns to all what `make` gives on the first process, where alone it runs: the name of a new folder, say.

    Raises:
        UserError: or OSError, that `make` raised: on all processes. Any other error the others hear of as a UserError.
    """
    if size() == 1:
        return make()
    outcome: list[Any] = [None, None]  # what it gave, and what it raised
    raised: Exception | None = None
    if is_first():
        try:
            outcome[0] = make()
        except Exception as error:  # a bug too: the others wait for this process
            raised = error
            known = isinstance(error, (UserError, OSError))
            outcome[1] = error if known else UserError(f"{type(error).__name__} in process 0: {one_line(error)}")
    dist.broadcast_object_list(outcome, src=0)
    if raised is not None:
        raise raised
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def own_part(lengths: Sequence[int], rows: Sequence[int]) -> list[int]:
    """Returns which rows of a minibatch this process trains on: as many short and long ones as any other."""
    return sorted(rows, key=lengths.__getitem__)[rank() :: size()]


def every_nth_of(count: int) -> range:
    """Returns which of the numbers 0 to count - 1 are this process's: every size-th; none where there are too few."""
    return range(rank(), count, size())


def map_over_processes(
    count: int, work: Callable[[list[int]], Sequence[T]], told: Callable[[T], T] = lambda result: result
) -> list[T]:
    """Returns what `work` gives for the numbers 0 to count - 1, in their order; each process does its part of them.

    Args:
        count: of numbers.
        work: gives a result for each number that it is given; it is not called without any. All do all of it where
            there are fewer numbers than processes.
        told: what the others are told of a result.
    """
    if count < size() or size() == 1:
        return list(work(list(range(count)))) if count else []
    mine = list(work(list(every_nth_of(count))))
    found: list[Any] = [None] * count
    for number, results in enumerate(gather([told(result) for result in mine])):
        found[number :: size()] = mine if number == rank() else results
    return found


def require_same(known: Mapping[str, str]) -> None:
    """Makes sure that all processes know the same, as which data they read.

    Args:
        known: by what it is called; the same names on all.

    Raises:
        UserError: on all, where it differs on one.
    """
    first, *others = gather(dict(known))
    for number, other in enumerate(others, start=1):
        said = [
            f"{name} ({first[name]} in process 0, {other[name]} in process {number})"
            for name in first
            if first[name] != other[name]
        ]
        if said:
            raise UserError(f"process {number} differs from process 0 in {', '.join(said)}; start all alike.")


def add_up(tensors: Sequence[Tensor]) -> None:
    """Replaces each tensor by its sum over all processes, in place, in one message."""
    if size() == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    flat = flat if flat.is_cuda else flat.cpu()  # gloo, which adds up where NCCL does not, knows no other device
    dist.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def most(count: int) -> int:
    """Returns the largest of the numbers that the processes give."""
    if size() == 1:
        return count
    number = torch.tensor(count)
    dist.all_reduce(number, dist.ReduceOp.MAX)
    return int(number)


def add_up_gradients(parameters: Sequence[nn.Parameter], figures: Mapping[str, float]) -> dict[str, float]:
    """Adds up the gradients of all processes, in place, and figures with them, in one message; returns the figures.

    With one process gradients and figures are as they were. Else figures are rounded to float32 on the way, and a
    parameter without a gradient, as on a process that has no row of a minibatch, takes part with zeros.

    Args:
        parameters: the same ones on all processes.
        figures: sums, by the same names on all.
    """
    if size() == 1:
        return dict(figures)
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    sums = torch.tensor(list(figures.values()), dtype=torch.float32, device=parameters[0].device)
    add_up([*(parameter.grad for parameter in parameters if parameter.grad is not None), sums])
    return dict(zip(figures, sums.tolist(), strict=True))


def cost_since(clock: Stopwatch) -> dict[str, float]:
    """Returns what work has cost, for summary.json; all processes call this.

    Its seconds are this process's, its CPU seconds those of all together, its peak in MiB that of the largest.
    """
    cost = {"seconds": clock.seconds, "cpu_seconds": sum(gather(clock.cpu_seconds))}
    return {**cost, "peak_rss_mb": max(gather(peak_rss_mb()))}
