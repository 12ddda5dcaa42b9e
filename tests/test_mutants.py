"""Mutants of a small module, and what is said of those that no test notices."""

import pytest

pytest.importorskip("mutmut")

from benchmarks.mutants.__main__ import drawn, key_of, summary
from benchmarks.mutants.mutations import mutants_of
from benchmarks.mutants.targets import Target
from benchmarks.mutants.trial import KILLED, SURVIVED, try_all

SOURCE = '''"""A module."""

LIMIT: int = 3


class Box:
    @property
    def size(self) -> int:
        """How much is in it."""
        return self.n + 1

    @size.setter
    def size(self, n: int) -> None:
        self.n = n


def check(n: int) -> None:
    if n > LIMIT:
        raise ValueError("too many")
'''


def test_the_mutants_of_a_small_module():
    found = [(mutant.function, mutant.occurrence, mutant.line, mutant.change) for mutant in mutants_of(SOURCE)]
    assert found == [
        ("", 0, 3, "LIMIT: int = 3 -> LIMIT: int = None"),
        ("", 0, 3, "LIMIT: int = 3 -> LIMIT: int = 4"),
        ("Box.size", 0, 10, "return self.n + 1 -> return None"),
        ("Box.size", 0, 10, "return self.n + 1 -> return self.n - 1"),
        ("Box.size", 0, 10, "return self.n + 1 -> return self.n + 2"),
        ("Box.size", 1, 14, "self.n = n -> self.n = None"),
        ("check", 0, 18, "if n > LIMIT: -> if not (n > LIMIT):"),
        ("check", 0, 18, "if n > LIMIT: -> if n >= LIMIT:"),
        ("check", 0, 19, 'raise ValueError("too many") -> pass'),
        ("check", 0, 19, 'raise ValueError("too many") -> raise ValueError(None)'),
    ]
    for mutant in mutants_of(SOURCE):
        compile(mutant.source, "module", "exec")


def test_some_are_drawn_from_the_seed_and_each_is_counted(tmp_path):
    (tmp_path / "module.py").write_text(SOURCE)
    target = Target(tmp_path / "module.py", ())
    some, everything = drawn(target, 4, seed=0)
    assert (len(some), everything) == (4, 10)
    assert some == drawn(target, 4, seed=0)[0] != drawn(target, 4, seed=1)[0]
    assert len(drawn(target._replace(functions=("Box",)), 100, seed=0)[0]) == 4
    outcomes = {key_of(mutant): KILLED for mutant in some}
    outcomes[key_of(some[0])] = SURVIVED
    said = summary(target, outcomes, everything).splitlines()
    assert said[0].endswith("4 of 10 mutants tried, 3 killed (0 by time), 0 equivalent, 1 left: 75.0%")
    assert said[1:] == [f"  survived: {key_of(some[0])}"]


TESTS = """
from planted import Box, check
import pytest

def test_size():
    box = Box()
    box.size = 4
    assert box.size == 5

def test_check():
    with pytest.raises(ValueError):
        check(4)
"""


def test_what_a_test_notices_is_killed(tmp_path, monkeypatch):
    import json
    import os

    (tmp_path / "planted.py").write_text(SOURCE)
    (tmp_path / "test_planted.py").write_text(TESTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    target = Target((tmp_path / "planted.py").relative_to(tmp_path), ())
    mutants, _ = drawn(target, 100, seed=0)
    child = os.fork()
    if child == 0:
        try:
            try_all(target.path, mutants, ["test_planted.py"], tmp_path / "results")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    rows = [json.loads(line) for line in (tmp_path / "results").read_text().splitlines()]
    last = {number: outcome for number, outcome, _ in rows}
    left = {mutants[number].change for number, outcome in last.items() if outcome == SURVIVED}
    assert len(last) == 10
    assert left == {"if n > LIMIT: -> if n >= LIMIT:", 'raise ValueError("too many") -> raise ValueError(None)'}
