"""Plants small faults into modules, one at a time, and counts those that a test notices.

    python -m benchmarks.mutants [--modules functional,rollout] [--left]

What became of each mutant is kept in a folder; --left tries those again that no test noticed. It needs mutmut, whose
table of faults it takes: pip install 'perlhf[mutants]'.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutants.equivalent import EQUIVALENT
from benchmarks.mutants.targets import TARGETS, Target
from perlhf.errors import UserError, did_you_mean, run_command
from perlhf.options import option, parse_options
from perlhf.run_folder import write_text

try:
    from benchmarks.mutants.mutations import Mutant, mutants_of
    from benchmarks.mutants.trial import KILLED, SLOW, try_all
except ModuleNotFoundError as error:
    raise SystemExit(f"error: mutants need {error.name}: pip install 'perlhf[mutants,dev]'") from None


@dataclass
class Options:
    """Plants small faults into modules and counts those that a test notices."""

    modules: str = option(",".join(TARGETS), "which of them, with commas between")
    most: int | None = option(
        None, "mutants of a module; where it has more, so many are drawn; each has its own", low=1
    )
    seed: int = option(0, "of that draw")
    left: bool = option(False, "try only those again that no test noticed, and new ones")
    folder: str = option(".bench/mutants", "where what became of each is kept")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m benchmarks.mutants")
    names = [name.strip() for name in options.modules.split(",")]
    for name in names:
        if name not in TARGETS:
            raise UserError(f"unknown module {name!r}.{did_you_mean(name, TARGETS)}")
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        target = TARGETS[name]
        mutants, everything = drawn(target, options.most or target.most, options.seed)
        before = read_kept(folder / f"{name}.json") if options.left else {}
        todo = [mutant for mutant in mutants if before.get(key_of(mutant), "") not in (KILLED, SLOW)]
        found = {**before, **tried(name, target, todo, folder)}
        outcomes = {key_of(mutant): found[key_of(mutant)] for mutant in mutants}
        write_text(folder / f"{name}.json", json.dumps(outcomes, indent=1, ensure_ascii=False) + "\n")
        print(summary(target, outcomes, everything), flush=True)


def drawn(target: Target, most: int, seed: int) -> tuple[list[Mutant], int]:
    """Returns the mutants of a module that are tried, and how many there are."""
    mutants = mutants_of(target.path.read_text(encoding="utf-8"))
    if target.functions:
        mutants = [mutant for mutant in mutants if mutant.function.startswith(target.functions)]
    unlike = list({key_of(mutant): mutant for mutant in mutants}.values())
    # By a hash of each and not by its place, so that a line more or less in the module leaves most of them drawn.
    by_hash = sorted(unlike, key=lambda mutant: hashlib.sha256(f"{seed} {key_of(mutant)}".encode()).digest())
    return sorted(by_hash[:most], key=lambda mutant: mutant.line), len(unlike)


def key_of(mutant: Mutant) -> str:
    """Names a mutant by what it changes, wherever that stands."""
    return f"{mutant.function}: {mutant.change}"


def read_kept(path: Path) -> dict[str, str]:
    """Returns what became of mutants, by their names; nothing where none were tried."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def tried(name: str, target: Target, mutants: Sequence[Mutant], folder: Path) -> dict[str, str]:
    """Tries mutants in a process of its own, which imports the module anew; returns what became of each."""
    results, log = folder / f"{name}.jsonl", folder / f"{name}.log"
    results.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, 1), os.dup2(descriptor, 2)
        try:
            try_all(target.path, mutants, target.arguments, results)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    if status or len({number for number, *_ in rows}) < len(mutants):
        raise UserError(f"{name}: {len(rows)} of {len(mutants)} mutants were tried; {log} says why.")
    return {key_of(mutants[number]): outcome for number, outcome, _ in rows}


def summary(target: Target, outcomes: Mapping[str, str], everything: int) -> str:
    """Returns the figures of a module, and a line for each mutant that is left."""
    same = {key for key in EQUIVALENT.get(str(target.path), {}) if key in outcomes}
    killed = {key for key, outcome in outcomes.items() if outcome in (KILLED, SLOW)}
    left = [key for key in outcomes if key not in killed | same]
    counts = Counter(outcomes.values())
    score = len(killed) / max(1, len(killed) + len(left))
    lines = [
        f"{target.path}: {len(outcomes)} of {everything} mutants tried, {len(killed)} killed ({counts[SLOW]} by time), "
        f"{len(same - killed)} equivalent, {len(left)} left: {score:.1%}"
    ]
    lines += [f"  {outcomes[key]}: {key}" for key in left]
    lines += [f"  said to be equivalent, and killed: {key}" for key in sorted(same & killed)]
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
