"""What mutants are planted into, and which tests have to notice them."""

from pathlib import Path
from typing import NamedTuple


class Target(NamedTuple):
    """Holds a module, the arguments of pytest that name its tests, and of which functions mutants are made."""

    path: Path
    tests: tuple[str, ...]
    functions: tuple[str, ...] = ()  # the beginnings of their names; all where there are none


TARGETS = {
    "functional": Target(
        Path("agents/algorithms/functional.py"), ("tests/test_functional.py", "tests/test_algorithms.py", "-k",
        "test_functional or by_hand or baseline or advantage_is_on or compared_with_nothing or returns_to_come or padding"),
    ),
}  # fmt: skip
