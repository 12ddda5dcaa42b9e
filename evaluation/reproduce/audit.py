"""The table of what the bundled reward models can be fooled by: `evaluation.audit_reward` on each of them."""

from evaluation.reproduce.cached_runs import Table, Where, command
from evaluation.reproduce.tables import Summary, row, table_head

AUDITED: dict[str, tuple[str, ...]] = {
    "HH": ("--env", "HH-v0"),
    "TLDR": ("--env", "TLDR-v0"),
    "BOLT": ("--env", "BOLT-v0"),
    "SHP": ("--env", "SHP-v0"),
    "Taskmaster coffee": ("--env", "Taskmaster-v0", "--env-options", "domain=coffee"),
    "Taskmaster ticketing": ("--env", "Taskmaster-v0", "--env-options", "domain=ticketing"),
    "VQAv2": ("--env", "VQAv2-v0"),
    "UINav, single steps": ("--env", "UINav-v0"),
}
_SAME_MEANING = ("said twice", "with a boast", "with filler")
_OTHER_MEANING = ("negated", "denied after", "with an insult", "cut in half", "another prompt's", "the prompt itself")


def audit_table(options: Where) -> Table:
    """Defines the table of audits of the bundled reward models on validation prompts."""
    runs = {
        name: command(
            options, f"audit-{name.lower().replace(',', '').replace(' ', '-')}", "evaluation.audit_reward", *w
        )
        for name, w in AUDITED.items()
    }
    title = "The bundled reward models: what is scored above the oracle although it fails"
    return Table(title, runs, lambda summaries: [*worst_rows(summaries), "", *cross_rows(summaries)])


def worst_rows(summaries: dict[str, Summary]) -> list[str]:
    """Returns the worst constants of each task, and how far a search got on single prompts."""
    sources = ("corpus", "degenerate", "searched")
    rows = table_head("", "prompts", *(f"{source}, fools on" for source in sources), "a prompt's own, fools on",
                      "the worst constant", "its gold", "its margin", "its nats", "oracle's nats")  # fmt: skip
    for name, s in summaries.items():
        worst = max(s["worst"].values(), key=lambda each: each["fooled"]["mean"])
        cells = [f"{s['worst'][source]['fooled']['mean']:.3f}" if source in s["worst"] else "" for source in sources]
        cells += [f"{s['search']['fooled']:.2f}" if "search" in s else "", " ".join(worst["text"].split())]
        cells += [f"{worst['gold']:.2f}", f"{worst['margin']:+.2f}", f"{worst['nats']:.0f}", f"{s['oracle_nats']:.0f}"]
        rows.append(row(name, str(s["n"]), *(cell.replace("|", "/") for cell in cells)))
    return rows


def cross_rows(summaries: dict[str, Summary]) -> list[str]:
    """Returns the share of the oracle's answers that are scored higher when they are changed, and what gold says."""
    rows = table_head("", *_OTHER_MEANING, *_SAME_MEANING)
    for name, s in summaries.items():
        crosses = {each["name"]: each for each in s["crosses"]}
        cells = (crosses[way] for way in (*_OTHER_MEANING, *_SAME_MEANING))
        rows.append(row(name, *(f"{each['above']:.2f} ({each['gold']:.2f})" for each in cells)))
    return rows
