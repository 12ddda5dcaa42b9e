"""Devices: says which one a name stands for, and in which numbers it computes."""

import os
import time
from functools import cache

import torch
from torch.nn import functional as F

from backbones.model.loading import SMALL, BackboneError, Precision
from perlhf.errors import one_line

_KERNELS = 64  # enough for a step of sampling, which has the same few shapes in each layer
_ACCELERATORS = ("cuda", "xpu", "mps")  # by which "auto" goes, the first that is there


def device_of(name: str) -> str:
    """Returns the kind of device that "auto" stands for: cuda, xpu, mps or cpu, the first there is; others stay."""
    if name != "auto":
        return name
    return next((kind for kind in _ACCELERATORS if is_there(kind)), "cpu")


def is_there(kind: str) -> bool:
    """Tells whether torch finds a device of this kind."""
    return bool(torch.backends.mps.is_available() if kind == "mps" else getattr(torch, kind).is_available())


def has_avx2() -> bool:
    """Tells whether torch computes with AVX2 on this CPU; with AVX-512 it does not."""
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


def find_device(name: str | torch.device) -> torch.device:
    """Returns the device as tensors on it name it: "cpu:0" is "cpu".

    "auto" is what `device_of` says. Of several processes on a machine each has its own one of "cuda" and "xpu": that of
    the number that their launcher gave it, LOCAL_RANK, and computes on it from here on.

    Raises:
        BackboneError: no such device here, or LOCAL_RANK is missing.
    """
    wanted = device_of(name) if isinstance(name, str) else name
    others = "auto takes what there is"
    try:
        device = torch.device(wanted)
        shared = device.index is None and device.type in ("cuda", "xpu")
        if not shared or int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return torch.empty(0, device=device).device
        device = torch.device(device.type, _local_rank(device.type))
        others = "start fewer processes on this machine"
        found = torch.empty(0, device=device).device
        torch.accelerator.set_device_index(device.index)  # FSDP2, for one, asks for the current device
        return found
    except (RuntimeError, AssertionError) as error:  # torch has one for unknown names, one for absent devices
        raise BackboneError(f"device {str(name)!r} cannot be used: {one_line(error)} ({others})") from None


def _local_rank(kind: str) -> int:
    """Returns the number of this process among those of its machine."""
    try:
        return int(os.environ["LOCAL_RANK"])
    except (KeyError, ValueError):
        raise BackboneError(
            f"there are several processes (WORLD_SIZE), and LOCAL_RANK does not say which {kind} device of this "
            "machine is this one's: start them with torchrun, or set LOCAL_RANK to 0, 1 and so on."
        ) from None


def computes_bf16(device: torch.device) -> bool:
    """Tells whether a device multiplies numbers of bf16 itself, and does not only hold them."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "xpu":
        return bool(torch.xpu.is_bf16_supported())
    if device.type == "mps":
        return torch.backends.mps.is_macos_or_newer(14, 0)
    return bool(device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def precision_on(precision: Precision, device: torch.device, parameters: int) -> Precision:
    """Returns the precision that "auto" stands for; others stay.

    bf16 on a GPU that computes in it; mixed on a CPU that is faster in it, for a model that is not small; else fp32.

    Raises:
        BackboneError: bf16 numbers are asked for on a GPU that does not compute in them.
    """
    if precision != "auto":
        if precision in ("bf16", "mixed") and device.type in _ACCELERATORS and not computes_bf16(device):
            raise BackboneError(f"--precision {precision}: {device} does not compute in bf16; take --precision fp32.")
        return precision
    if device.type == "cpu" and parameters < SMALL:
        return "fp32"
    if not computes_bf16(device):
        return "fp32"
    if device.type == "cpu":
        return "mixed" if is_faster_in_bf16() else "fp32"
    return "bf16"


@cache
def is_faster_in_bf16() -> bool:
    """Tells whether this CPU multiplies matrices faster in bf16 than in float32, by trying for about 50 ms.

    An AMD core with instructions for bf16 was 2.3 times as fast in it, an Intel core with the same ones, and without
    AMX, half as fast.
    """
    keep_few_kernels()
    best = {}
    for dtype in (torch.float32, torch.bfloat16):
        rows, weights = torch.ones(256, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
        F.linear(rows, weights)  # compiles a kernel
        best[dtype] = min(_cpu_seconds(rows, weights) for _ in range(4))
    return best[torch.bfloat16] < best[torch.float32]


def _cpu_seconds(rows: torch.Tensor, weights: torch.Tensor) -> float:
    start = time.process_time()
    F.linear(rows, weights)
    return time.process_time() - start


def keep_few_kernels() -> None:
    """Lets oneDNN and torch keep 64 kernels each for products in bf16; the user's own numbers stay.

    On a CPU such products are oneDNN's, which compiles a kernel for each number of rows that it meets. It keeps 1,024
    of them and torch as many again, half a GB or more where lengths vary, and hardly any is met twice. Both read their
    variable at the first product: where one has been computed before, this does nothing.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, str(_KERNELS))
