"""Measures what perlhf costs beside TRL and AgileRL, and beside itself, and writes docs/performance.md.

    python -m benchmarks.performance [--parts ppo,reward] [--rounds 3] [--fresh]
    python -m benchmarks.performance --parts quality    # CPU seconds to a quality, into docs/speedrun.md

Everything it needs is made or installed under .bench/, where finished measurements are kept too: an interrupted run
goes on where it was.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.performance.cases import SIZES, Case
from benchmarks.performance.page import page
from benchmarks.performance.plan import PARTS, QUICK, WHOLE, Plan, baselines, restricted, schedule
from benchmarks.performance.runner import MeasurementError, Runner
from benchmarks.performance.store import Store
from benchmarks.quality import side_by_side
from benchmarks.quality.cells import SETTINGS
from perlhf.errors import UserError, did_you_mean, run_command
from perlhf.options import option, parse_options
from perlhf.run_folder import write_text

QUALITY = "quality"  # a part with a page of its own


@dataclass
class Options:
    """Measures CPU seconds and memory of PPO and of reward-model training."""

    parts: str = option(",".join((*PARTS, QUALITY)), "what to measure, with commas between")
    models: str = option("", "of which models, with commas between; by default all that a part is about")
    rounds: int = option(3, "measurements of each thing that is compared, in turns", low=1)
    quick: bool = option(False, "tiny models, to see whether all of it runs")
    fresh: bool = option(False, "measure again what has been measured before")
    folder: str = option(".bench", "where models, environments and measurements are kept")
    output: str | None = option(None, "the page to write; docs/performance.md, with --quick FOLDER/quick.md")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m benchmarks.performance")
    parts = chosen(options.parts, (*PARTS, QUALITY), "part")
    own = [part for part in parts if part != QUALITY]
    failed = measure_cost(options, own) if own else []
    if QUALITY in parts and not options.quick:
        folder = Path(options.folder)
        failed += side_by_side.make_all(folder, side_by_side.ENVS, list(SETTINGS.values()), side_by_side.SEEDS)
        side_by_side.write(folder)
    for reason in failed:
        print(f"not measured: {reason}")


def measure_cost(options: Options, parts: Sequence[str]) -> list[str]:
    """Measures all parts but the one on quality and writes their page; returns why what is missing was not measured."""
    whole = QUICK if options.quick else WHOLE
    plan = restricted(whole, chosen(options.models, SIZES, "model")) if options.models else whole
    runner = Runner(Path(options.folder), options.fresh)
    store = Store(runner.folder / ("quick.json" if options.quick else "results.json"), options.fresh)
    failed = measure_all(runner, store, plan, parts, options.rounds)
    text = page(store, whole)  # with what was measured before, too
    print(text)
    output = Path(options.output or (runner.folder / "quick.md" if options.quick else "docs/performance.md"))
    write_text(output, text)
    print(f"-> {output}")
    return failed


def chosen(text: str, known: Collection[str], what: str) -> list[str]:
    """Returns the names in a text, with commas between; UserError for an unknown one."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise UserError(f"unknown {what} {name!r}.{did_you_mean(name, known)}")
    return names


def measure_all(runner: Runner, store: Store, plan: Plan, parts: Sequence[str], rounds: int) -> list[str]:
    """Measures what the store does not hold yet; returns why what could not be measured was not."""
    work = list(schedule(plan, parts, rounds))
    todo = [*((0, case) for case in baselines([case for _, case in work])), *work]
    todo = [(number, case) for number, case in todo if store.get(case, number) is None]
    failures: dict[Case, str] = {}
    for done, (number, case) in enumerate(todo, start=1):
        if case in failures:  # it would fail again
            continue
        print(f"[{done}/{len(todo)}] round {number + 1}: {named(case)}", flush=True)
        try:
            store.put(case, number, runner.measure(case))
        except MeasurementError as error:
            failures[case] = f"{named(case)}: {error}"
            print(f"  {error}", flush=True)
    return list(failures.values())


def named(case: Case) -> str:
    """Returns a case in a few words."""
    return f"{case.program} {case.setting} {case.work or 'imports'}"


if __name__ == "__main__":
    run_command(main)
