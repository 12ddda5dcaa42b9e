"""Settings of all tests: repeatable hypothesis examples, one torch thread, no model that outlives its tests."""

import os
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("perlhf", derandomize=True, deadline=None)
settings.load_profile("perlhf")

# Runs that tests make name functions of modules that lie beside this file, and are read again.
os.environ["PERLHF_ALLOW_CODE"] = "+".join(path.stem for path in Path(__file__).parent.glob("*.py"))

try:
    import torch
except ImportError:
    pass
else:
    torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption(
        "--device", choices=("pretend", "cuda"), default="pretend",
        help="what tests/test_pretend_device.py runs on: a device that only pretends, or a real one",
    )  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _no_backbone_stays_in_memory():
    """Releases what a module of tests loaded. Backbones are held until then, and the suite makes hundreds."""
    yield
    module = sys.modules.get("backbones.backbone")  # not imported here: many tests need no torch
    if module is not None:
        module.Backbone.release_all()


def pytest_terminal_summary(terminalreporter, config):
    """Says behind long tests how many trials each proof was, and how many of its tests failed.

    A test is one trial, or as many as it says with pytest's `record_property("trials", 1000)`; other numbers of its
    own, such as kills, are added up as well.
    """
    if config.option.markexpr != "long":
        return
    proofs = defaultdict(Counter)
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            proof = proofs[report.nodeid.partition("[")[0]]
            proof["failures"] += outcome != "passed"
            proof.update({"trials": 1, **dict(report.user_properties)})
    terminalreporter.section("trials")
    for name, numbers in sorted(proofs.items()):
        told = ", ".join(f"{numbers[each]:,} {each}" for each in ("trials", *sorted(set(numbers) - {"trials"})))
        terminalreporter.write_line(f"{name}: {told}")
    both = Counter({each: sum(numbers[each] for numbers in proofs.values()) for each in ("trials", "failures")})
    terminalreporter.write_line(f"{len(proofs)} proofs: {both['trials']:,} trials, {both['failures']} failures")
