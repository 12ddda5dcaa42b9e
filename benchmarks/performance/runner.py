"""Makes what a measurement needs, and runs it in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.performance.cases import MATMUL, PERLHF_PPO, PERLHF_PROFILE, SETTINGS, Case, PPOWork
from benchmarks.performance.environments import ROOT, prepare
from benchmarks.performance.store import Result
from perlhf.errors import UserError
from perlhf.run_folder import write_text

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "WANDB_DISABLED": "true",
}  # fmt: skip


class MeasurementError(UserError):
    """A measurement that could not be made; the message says why in one line."""


class Runner:
    """Measures cases, with models, data and environments under one folder."""

    def __init__(self, folder: Path, fresh: bool = False) -> None:
        """`fresh` trains the reward models anew, as a change of the code may ask for."""
        self.folder = folder.resolve()
        for trained in self.folder.glob("models/*/rewards") if fresh else ():
            shutil.rmtree(trained)
        write_text(self.folder / ".gitignore", "*\n")

    def measure(self, case: Case) -> Result:
        """Measures a case in one fresh process.

        Raises:
            MeasurementError: the process failed, or its environment cannot be installed.
        """
        try:
            python, variables = prepare(case.program, self.folder)
        except UserError as error:
            raise MeasurementError(str(error)) from None
        module = f"benchmarks.performance.{case.program}"
        printed = run([python, "-m", module, json.dumps(self.task(case))], variables)
        result: Result = json.loads(printed.splitlines()[-1])
        return result

    def task(self, case: Case) -> dict[str, Any]:
        """Returns the fields of `measure.Task`."""
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        setting: Any = case.setting
        if case.program.startswith("perlhf"):
            setting = SETTINGS[case.setting] if case.setting else {}
        files = {"model": "", "data": "", "reward": ""}
        if case.work is not None and case.program != MATMUL:
            model = self.model(case.work.model)
            files = {"model": str(model / "model"), "data": str(model / "data"), "reward": self.reward(case)}
        work = None if case.work is None else asdict(case.work)
        return {"work": work, "setting": setting, **files, "scratch": str(scratch)}

    def model(self, name: str) -> Path:
        """Returns the folder of a random model and its data, made where it is missing."""
        folder = self.folder / "models" / name
        if not folder.is_dir():
            part = folder.with_name(f".{name}.part")
            shutil.rmtree(part, ignore_errors=True)
            run([sys.executable, "-m", "benchmarks.performance.models", str(part), name], {})
            part.rename(folder)
        return folder

    def reward(self, case: Case) -> str:
        """Returns the folder of a reward model trained with a PPO case's setting, made where it is missing; else ""."""
        if case.program not in (PERLHF_PPO, PERLHF_PROFILE) or not isinstance(case.work, PPOWork):
            return ""
        model, rank = self.model(case.work.model), case.work.lora_rank
        chosen = {name: value for name, value in SETTINGS[case.setting].items() if name != "value_adapter"}
        name = ",".join([f"lora_rank={rank}", *(f"{key}={value}" for key, value in chosen.items())])
        folder = model / "rewards" / name
        if not (folder / "summary.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            options = {
                **chosen, "env": "HH-v0", "data": model / "data", "backbone": model / "model", "lora_rank": rank,
                "log_prob_weight": 0, "start": "random", "pairs": 16, "policy_pairs": 0, "eval_pairs": 1, "threads": 1,
                "output_dir": folder,
            }  # fmt: skip
            words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
            run([sys.executable, "-m", "rewards.train_reward_model", *words], {})
        return str(folder)


def run(command: list[str], variables: dict[str, str]) -> str:
    """Returns the standard output of a command, which runs on one thread.

    Raises:
        MeasurementError: it failed; the message is the last line of its standard error.
    """
    environment = {**os.environ, **_ENVIRONMENT, **variables}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise MeasurementError(f"{command[2]}: {last}")
    return done.stdout
