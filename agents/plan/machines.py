"""GPUs by name, with the figures that their makers publish."""

from typing import NamedTuple

from perlhf.errors import UserError, did_you_mean


class Gpu(NamedTuple):
    """Says what a GPU can do at most. No program reaches all of it."""

    memory: float  # bytes
    half_rate: float  # FLOP/s of dense bf16 products with float32 sums
    full_rate: float  # FLOP/s in float32, without tensor cores
    bandwidth: float  # bytes/s of its memory
    link: float  # bytes/s to the other GPUs of its machine, each way
    network: float  # bytes/s to other machines, each way, for each GPU of a machine
    source: str


_HOPPER, _AMPERE = "DGX H100: one 400 Gb/s port a GPU", "DGX A100: one 200 Gb/s port a GPU"
_CARD = "PCIe 4.0 x16; a 100 Gb/s port for eight cards is assumed"
GPUS = {
    "H100-80GB": Gpu(80e9, 989e12, 67e12, 3.35e12, 450e9, 50e9, f"NVIDIA H100 (SXM) data sheet; {_HOPPER}"),
    "H200-141GB": Gpu(141e9, 989e12, 67e12, 4.8e12, 450e9, 50e9, f"NVIDIA H200 (SXM) data sheet; {_HOPPER}"),
    "A100-80GB": Gpu(80e9, 312e12, 19.5e12, 2.039e12, 300e9, 25e9, f"NVIDIA A100 (SXM) data sheet; {_AMPERE}"),
    "A100-40GB": Gpu(40e9, 312e12, 19.5e12, 1.555e12, 300e9, 25e9, f"NVIDIA A100 (SXM) data sheet; {_AMPERE}"),
    "L40S": Gpu(48e9, 362e12, 91.6e12, 0.864e12, 32e9, 1.6e9, f"NVIDIA L40S data sheet; {_CARD}"),
    "RTX-4090": Gpu(24e9, 165e12, 82.6e12, 1.008e12, 32e9, 1.6e9, f"NVIDIA Ada whitepaper, appendix A; {_CARD}"),
    "RTX-3090": Gpu(24e9, 71e12, 35.6e12, 0.936e12, 32e9, 1.6e9, f"NVIDIA GA102 whitepaper, appendix A; {_CARD}"),
}


def find_gpu(name: str) -> Gpu:
    """Returns a GPU of the table; capitals, spaces and what a name ends with may be left out: "rtx 4090", "h100".

    Raises:
        UserError: there is none of this name, or there are several.
    """
    wanted = name.strip().upper().replace(" ", "-").replace("_", "-")
    found = [known for known in GPUS if known == wanted] or [known for known in GPUS if known.startswith(wanted)]
    if wanted and len(found) == 1:
        return GPUS[found[0]]
    if wanted and found:
        raise UserError(f"--gpu {name!r} may be {' or '.join(found)}; say which.")
    raise UserError(f"unknown GPU {name!r}.{did_you_mean(wanted, GPUS)} It stands in agents/plan/machines.py.")
