"""The same numbers on every x86-64 CPU that has AVX2, however many cores it has: what `--reproducible` stands for.

torch, MKL, oneDNN, numpy and OpenBLAS choose the kernels for the CPU they find, and add up in another order with each:
the last bits differ, and after some updates the words that a policy samples. `SETTINGS` are the environment variables
that have each of them take kernels which all such CPUs have, on one thread. They are read when a library is loaded, so
a command starts itself anew with them, and Python has to be started with them.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

from perlhf.errors import UserError

SETTINGS = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    # MKL's products and functions. Of its other values Intel promises the same on CPUs of its own alone.
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # products in bfloat16, convolutions, GELU
    # numpy's own; before 2.4 they have other names. One that it does not know is no more than an ImportWarning.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",  # numpy's products
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def is_set() -> bool:
    """Returns whether this process was started with `SETTINGS`; what it changes later a library may not see."""
    started = _environment_at_start()
    return all(started.get(name) == os.environ.get(name) == value for name, value in SETTINGS.items())


def fused() -> bool | None:
    """Returns `fused` of torch's Adam: True where numbers are to be the same, else None, which leaves it to torch.

    Fused it takes the CPU's own square root, which is exact; else MKL's, which is not, nor the same everywhere.
    """
    return is_set() or None


def _environment_at_start() -> dict[str, str]:
    """Returns the environment of when the process was started; that of now where the system does not keep it."""
    try:
        lines = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return dict(os.environ)
    return dict(os.fsdecode(line).split("=", 1) for line in lines if b"=" in line)


def start_again_where_unset() -> None:
    """Starts a command anew, in this process's place, unless it was started with `SETTINGS`.

    Nothing may be open or taken yet that has to be closed. Of several processes none is started anew, since they have
    met; `require` has the words for them.
    """
    if is_set() or "WORLD_SIZE" in os.environ or sys.platform == "win32":
        return
    sys.stdout.flush()
    sys.stderr.flush()
    words = [sys.executable, *sys.orig_argv[1:]]  # the same command
    os.execve(sys.executable, words, {**os.environ, **SETTINGS})  # noqa: S606


def require() -> None:
    """Makes sure that libraries were loaded with `SETTINGS`.

    Raises:
        UserError: they were not; it says what to start Python with.
    """
    if not is_set():
        _refuse()


def _refuse() -> NoReturn:
    said = " ".join(f"'{name}={value}'" if " " in value else f"{name}={value}" for name, value in SETTINGS.items())
    raise UserError(f"reproducible: libraries are loaded with other settings; start with: env {said} {_command()}")


def _command() -> str:
    return "torchrun ..." if "WORLD_SIZE" in os.environ else "python ..."
