"""Makes the models, and runs a setting in processes of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from agents.pretrain.build_vision import build_processor, build_vision_model
from benchmarks.memory_plan.settings import PROMPT, RESPONSE, SETTINGS, WARM
from benchmarks.performance.cases import SIZES, Size
from benchmarks.performance.models import save_model, save_pairs
from perlhf.errors import UserError

ROOT = Path(__file__).parents[2]
GIVEN_BACK = 1 << 18  # bytes of a tensor from which it goes back to the system when it is freed
_WORDS = ["what is in the picture? a red square. yes no two three", "how many circles are blue?"] * 50


class Found(NamedTuple):
    """MiB of a setting."""

    planned: float
    measured: float

    @property
    def ratio(self) -> float:
        return self.planned / self.measured


def make_models(folder: Path, model: str) -> None:
    """Writes the model of a setting and the small one that warms up, where they are missing."""
    if model:
        for name, size in (("warm", WARM), (model, SIZES[model])):
            _make_text(folder / name, size)
    else:
        for name, width, layers, image in (("warm-images", 32, 1, 32), ("images", 256, 4, 256)):
            _make_seeing(folder / name, width, layers, image)


def _make_text(folder: Path, size: Size) -> None:
    if not (folder / "data").is_dir():
        save_model(folder / "model", size)
        save_pairs(folder / "data", size.vocabulary, RESPONSE, prompt_tokens=PROMPT)


def _make_seeing(folder: Path, width: int, layers: int, image: int) -> None:
    if not (folder / "model").is_dir():
        processor = build_processor(_WORDS, 400, image_size=image)
        model = build_vision_model(processor, width, layers, vision_layers=layers)
        model.save_pretrained(folder / "model")
        processor.save_pretrained(folder / "model")


def run(folder: Path, name: str, given_back: bool = True) -> Found:
    """Runs a setting.

    Args:
        folder: of the models.
        name: a key of `SETTINGS`.
        given_back: whether freed tensors go back to the system, so that what is resident is what tensors take. Else
            the C library's heap keeps them, as it does by default.

    Raises:
        UserError: it failed; the last line says why.
    """
    setting = SETTINGS[name]
    make_models(folder, setting.model)
    several = ["torch.distributed.run", "--standalone", f"--nproc-per-node={setting.processes}", "-m"]
    words = [*(several if setting.processes > 1 else []), "benchmarks.memory_plan.measured", str(folder), name]
    variables = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if given_back:
        variables["MALLOC_MMAP_THRESHOLD_"] = str(GIVEN_BACK)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", *words], cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True
    )
    if done.returncode:
        raise UserError(f"{name}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return Found(**json.loads(done.stdout.splitlines()[-1]))
