"""The tables of the page, in Markdown, from whatever has been measured so far."""

from collections.abc import Sequence

from benchmarks.performance.cases import (
    MATMUL,
    PERLHF_PPO,
    PERLHF_PROFILE,
    SETTINGS,
    SIZES,
    TRL_PPO,
    Case,
    MatmulWork,
    PPOWork,
    Work,
)
from benchmarks.performance.figures import (
    Spread,
    cpu_seconds,
    exponent,
    gigaflops_needed,
    memory_mb,
    phases,
    rate,
    ratios,
    spread,
)
from benchmarks.performance.names import NAMES, WANTED
from benchmarks.performance.plan import Plan, curves_of
from benchmarks.performance.store import Store
from evaluation.reproduce.tables import row

HEAVY = ("matrix products", "attention")  # what no better Python would make less


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table, all columns but the first to the right."""
    ruler = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(row(*cells) for cells in (header, ruler, *rows)) + "\n"


def shown(value: Spread | None, digits: int = 2) -> str:
    """Returns the median, with the range where there is one; "-" for nothing."""
    if value is None:
        return "-"
    median, low, high = (f"{number:.{digits}f}" for number in value)
    return median if low == high else f"{median} ({low}..{high})"


def comparison(store: Store, kind: str, cases: Sequence[Case]) -> str:
    """Rates and memory of cases that do the same work, beside those of the first one; "" where none was measured.

    Args:
        store: what was measured.
        kind: "ppo", "reward", "full ppo" or "full reward": which bars are wanted.
        cases: that one first.
    """
    assert cases[0].work is not None
    if not any(store.of(case) for case in cases):
        return ""
    wanted = WANTED.get((kind, cases[0].work.model), {})
    rows = [comparison_row(store, case, cases[0], wanted.get(case.setting, (None, None))) for case in cases]
    unit = "pairs" if "reward" in kind else "samples"
    first = NAMES[cases[0].program, cases[0].setting]
    header = (
        "", f"{unit} per CPU s", f"times {first}", "wanted", "memory, MB", f"of {first}", "wanted",
    )  # fmt: skip
    return markdown(header, rows)


def comparison_row(store: Store, case: Case, first: Case, bars: tuple[float | None, float | None]) -> list[str]:
    """One row of a comparison; dashes where a case could not be measured."""
    name = NAMES[case.program, case.setting]
    rates, base = _rates(store, case), _rates(store, first)
    memory, base_memory = _memory(store, case), _memory(store, first)
    if not rates or not memory:
        return [f"{name} (not measured)", *["-"] * 6]
    fast, small = ratios(rates, base), ratios(memory, base_memory)
    if case == first:
        return [
            name,
            shown(spread(list(rates.values()))),
            "1",
            "",
            f"{spread(list(memory.values())).median:.0f}",
            "1",
            "",
        ]
    at_least, at_most = bars
    return [
        name,
        shown(spread(list(rates.values()))),
        shown(fast),
        "" if at_least is None else f">= {at_least:g}{_met(fast is not None and fast.median >= at_least)}",
        f"{spread(list(memory.values())).median:.0f}",
        shown(small),
        "" if at_most is None else f"<= {at_most:g}{_met(small is not None and small.median <= at_most)}",
    ]


def _met(met: bool) -> str:
    return "" if met else ", missed"


def _rates(store: Store, case: Case) -> dict[int, float]:
    return {number: rate(result) for number, result in store.of(case).items()}


def _memory(store: Store, case: Case) -> dict[int, float]:
    """By round; the imports are measured once."""
    imports = store.get(case.imports, 0)
    return {} if imports is None else {n: memory_mb(result, imports) for n, result in store.of(case).items()}


def profile(store: Store, cases: Sequence[Case]) -> str:
    """Returns where the CPU seconds of an iteration go; "" where nothing was measured."""
    rows = []
    for case in cases:
        if results := list(store.of(case).values()):
            parts = phases(results)
            rows.append([NAMES[case.program, case.setting], *(f"{seconds:.2f}" for seconds in parts.values())])
    return markdown(("CPU s of an iteration", "sampling", "scoring", "optimizing", "total"), rows) if rows else ""


def limits(store: Store, work: PPOWork, settings: Sequence[str]) -> str:
    """Returns a sentence on how long the matrix products alone would take at peak; "" where that was not measured.

    And what they and attention take by the profile, beside what an iteration may take to be as fast as is wanted.
    """
    wanted = WANTED.get(("ppo", work.model), {})
    theirs = list(store.of(Case(TRL_PPO, "LoRA", work)).values())
    peak = store.get(Case(MATMUL, "", MatmulWork(work.model)), 0)
    rows = []
    for setting in settings:
        results = list(store.of(Case(PERLHF_PPO, setting, work)).values())
        if peak is None or not results:
            continue
        kind = "bf16" if SETTINGS[setting].get("precision") == "mixed" else "fp32"
        least = gigaflops_needed(work, setting) / peak["gigaflops"]["square"][kind]
        took = spread([cpu_seconds(result) for result in results]).median
        profiled = store.get(Case(PERLHF_PROFILE, setting, work), 0)
        heavy = "-" if profiled is None else f"{took * sum(profiled['shares'].get(name, 0.0) for name in HEAVY):.2f}"
        bar, _ = wanted.get(setting, (None, None))
        allowed = "-" if bar is None or not theirs else f"{spread([cpu_seconds(r) for r in theirs]).median / bar:.2f}"
        rows.append([NAMES[PERLHF_PPO, setting], f"{least:.2f}", heavy, f"{took:.2f}", allowed])
    header = (
        "CPU s of an iteration", "its matrix products at the peak", "they and attention, as they are", "all of it",
        "wanted at most",
    )  # fmt: skip
    return markdown(header, rows) if rows else ""


def operators(store: Store, work: PPOWork, settings: Sequence[str]) -> str:
    """Returns which operators an iteration spends its time in; "" where that was not recorded."""
    found = {setting: store.get(Case(PERLHF_PROFILE, setting, work), 0) for setting in settings}
    recorded = {setting: result["shares"] for setting, result in found.items() if result is not None}
    names = list(dict.fromkeys(name for of_setting in recorded.values() for name in of_setting if name != "Python"))
    rows = [
        [NAMES[PERLHF_PPO, setting], *(f"{of_setting.get(name, 0.0):.0%}" for name in (*names, "Python"))]
        for setting, of_setting in recorded.items()
    ]
    return markdown(("share of an iteration", *names, "Python"), rows) if rows else ""


def curves(store: Store, plan: Plan) -> list[str]:
    """One table for each thing that is varied."""
    tables = []
    for what, works in curves_of(plan).items():
        rows, cases = [], {value: Case(PERLHF_PPO, plan.curve_setting, work) for value, work in works.items()}
        for value, case in cases.items():
            if rates := list(_rates(store, case).values()):
                each, memory = 1 / rates[0], _memory(store, case).get(0, float("nan"))
                rows.append([value, f"{each:.3f}", f"{1 / each:.2f}", f"{memory:.0f}"])
        if rows:
            tables.append(markdown((what, "CPU s per sample", "samples per CPU s", "memory, MB"), rows))
    return tables


def growth(store: Store, plan: Plan) -> str:
    """Returns how cost grows with the backbone, in a sentence; "" where fewer than two sizes were measured."""
    works: list[Work] = list(curves_of(plan)["parameters of the backbone"].values())
    costs = {}
    for work in works:
        if result := store.get(Case(PERLHF_PPO, plan.curve_setting, work), 0):
            costs[SIZES[work.model].parameters] = 1 / rate(result)
    if len(costs) < 2:
        return ""
    power = exponent(list(costs), list(costs.values()))
    return f"CPU seconds per sample grow as parameters to the power of {power:.2f} (1 would be in proportion).\n"


def peaks(store: Store, work: MatmulWork) -> str:
    """GFLOP/s of matrix products; "" where they were not measured."""
    result = store.get(Case(MATMUL, "", work), 0)
    if result is None:
        return ""
    rows = [
        [name, " x ".join(map(str, rates["shape"])), f"{rates['fp32']:.0f}", f"{rates['bf16']:.0f}"]
        for name, rates in result["gigaflops"].items()
    ]
    return markdown(("matrix product, one thread", "tokens x inputs x outputs", "fp32 GFLOP/s", "bf16 GFLOP/s"), rows)
