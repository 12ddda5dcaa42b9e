"""Plants mutants into one module, one at a time, and runs the tests of it: in a process of its own for each.

Tests are imported and collected once; each mutant is a fork of that process, in which the code of one function is
another, or a constant, or a default. Of the latter a mutant that no test notices is tried again by an import of its
own. Which functions each test runs is noted before, so that a mutant meets the tests that reach it alone, the fast
ones and those that noticed others first, until one fails.
"""

import ast
import builtins
import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import pytest

from benchmarks.mutants.mutations import Mutant

KILLED, SLOW, SURVIVED, UNREACHED = "killed", "killed by time", "survived", "not reached"
_LIMIT, _SLACK = 10, 5.0  # a test may take so many times as long as without a mutant, and so many CPU seconds more
_WHOLE = 300  # CPU seconds for all tests, where a mutant is imported
_WAITING = 200  # seconds by the clock for a test
_MEMORY = 8 << 30  # bytes more than now
_OF_OTHERS = ("torch", "transformers", "peft", "stable_baselines3", "gymnasium", "safetensors.torch", "hypothesis")


Function = tuple[str, int]  # its qualified name, and which one of that name
_REACHED = "__perlhf_mutants_reached__"


class Reach(NamedTuple):
    """Holds what a test does without a mutant: CPU seconds, and the functions of the module that it runs."""

    seconds: float
    functions: frozenset[Function]


class Tested(NamedTuple):
    """Holds what became of a mutant: one of the outcomes above, and the test that failed, if one did."""

    outcome: str
    test: str


def try_all(path: Path, mutants: Sequence[Mutant], arguments: Sequence[str], results: Path) -> None:
    """Runs in a process of its own: tries mutants and appends (number, outcome, test) to a file, a JSON line each.

    Args:
        path: of the module, from the root of the repository.
        mutants: of it.
        arguments: of pytest, which name the tests.
        results: the file.
    """
    flags = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no"]
    command = [*flags, *arguments, f"--basetemp={results.with_suffix('.tmp')}"]
    if not all(mutant.function for mutant in mutants):
        for name in _OF_OTHERS:  # once, and not in each fork
            importlib.import_module(name)
    child = os.fork()
    if child == 0:
        importlib.import_module(_name_of(path))
        plugin = _Trials(path, mutants, results)
        code = int(pytest.main(command, plugins=[plugin]))
        os._exit(0 if plugin.forked else code)
    if os.waitpid(child, 0)[1]:
        os._exit(1)
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    for number, outcome, _ in rows:  # what was put in place may have left something of the module as it was
        if outcome == UNREACHED or (not mutants[number].function and outcome == SURVIVED):
            _note(results, number, _imported(path, mutants[number], command))
    os._exit(0)


def _name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def _note(results: Path, number: int, tested: Tested) -> None:
    with open(results, "a") as file:
        file.write(json.dumps([number, *tested]) + "\n")


# What differs at import.


class _Mutated(MetaPathFinder, SourceFileLoader):
    """Finds one module, with other source than its file has."""

    def __init__(self, path: Path, source: str) -> None:
        SourceFileLoader.__init__(self, _name_of(path), str(path.resolve()))
        self.mutated = source

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return spec_from_file_location(fullname, self.path, loader=self) if fullname == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.mutated, self.path, "exec", dont_inherit=True)


def _imported(path: Path, mutant: Mutant, command: Sequence[str]) -> Tested:
    child = os.fork()
    if child == 0:
        _limit_memory()
        signal.setitimer(signal.ITIMER_PROF, _WHOLE)
        sys.meta_path.insert(0, _Mutated(path, mutant.source))
        os._exit(int(pytest.main([*command, "-x"], plugins=[_FastExit()])))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Tested(_outcome(code, of_pytest=True), "")


def _outcome(code: int, of_pytest: bool = False) -> str:
    """Returns what the end of a process says; a test that fails ends it with 1, a crash with a signal."""
    if code > 1 and not of_pytest:
        raise RuntimeError(f"a mutant could not be planted (exit status {code})")
    return SLOW if code in (-signal.SIGPROF, -signal.SIGALRM) else KILLED if code else SURVIVED


class _FastExit:
    """Leaves at once where a test fails: no report is read."""

    def pytest_configure(self, config: pytest.Config) -> None:
        _without_shrinking()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os._exit(1)


def _without_shrinking() -> None:
    from hypothesis import Phase, settings

    settings.register_profile("mutants", settings(phases=(Phase.explicit, Phase.generate)))  # a failure is enough
    settings.load_profile("mutants")


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


# What differs in a function.


class _Trials:
    """A plugin of pytest that runs the collected tests not once, but for each mutant."""

    def __init__(self, path: Path, mutants: Sequence[Mutant], results: Path) -> None:
        self.path, self.name, self.mutants, self.results = path.resolve(), _name_of(path), mutants, results
        self.forked = False
        self._limits: dict[str, float] = {}
        self._reached: dict[str, Reach] = {}
        self._kills: Counter[str] = Counter()
        self._pipe = -1

    def pytest_configure(self, config: pytest.Config) -> None:
        _without_shrinking()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed:
            raise session.Failed("tests cannot be collected")
        self._reached = self._reach_of(session.items)
        self._limits = {name: _LIMIT * reach.seconds + _SLACK for name, reach in self._reached.items()}
        originals = _functions_of(self.path)
        for number, mutant in enumerate(self.mutants):
            chosen = self._tests_for(mutant, session.items)
            if not chosen:
                _note(self.results, number, Tested(UNREACHED, ""))
                continue
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                self.forked, self._pipe = True, writing
                _limit_memory()
                if mutant.function:
                    _plant(mutant, str(self.path), originals)
                else:
                    _plant_values(mutant, str(self.path), self.name)
                session.items[:] = chosen
                return None  # pytest's own loop goes on, with these
            os.close(writing)
            with os.fdopen(reading) as file:
                failed = file.read()
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            self._kills[failed] += 1
            _note(self.results, number, Tested(_outcome(code), failed))
        return True

    def _tests_for(self, mutant: Mutant, items: Sequence[pytest.Item]) -> list[pytest.Item]:
        """Returns the tests that run the function, the likeliest to fail first; of what is none all."""
        key = (mutant.function, mutant.occurrence)
        reaching = [item for item in items if not mutant.function or key in self._reached[item.nodeid].functions]
        return sorted(reaching, key=lambda item: self._reached[item.nodeid].seconds / (1 + self._kills[item.nodeid]))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        if self.forked:
            signal.setitimer(
                signal.ITIMER_PROF, self._limits[item.nodeid]
            )  # other work on the machine counts for nothing
            signal.alarm(_WAITING)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.forked and report.failed:
            os.write(self._pipe, report.nodeid.encode())
            os._exit(1)

    def _reach_of(self, items: Sequence[pytest.Item]) -> dict[str, Reach]:
        """Runs all tests in a process of its own, with every function noting that it runs."""
        path = self.results.with_suffix(".reach")
        child = os.fork()
        if child == 0:
            path.write_text(json.dumps(_watched(self.path, items)))
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise pytest.UsageError("a test fails without a mutant")
        rows = json.loads(path.read_text()).items()
        return {name: Reach(seconds, frozenset(map(tuple, functions))) for name, (seconds, functions) in rows}


def _watched(path: Path, items: Sequence[pytest.Item]) -> dict[str, tuple[float, list[Function]]]:
    """Runs tests; returns the seconds of each and the functions it runs. A setup counts for all tests of its file."""
    from _pytest.runner import call_and_report

    reached: set[Function] = set()
    setattr(builtins, _REACHED, reached)
    _note_what_runs(str(path))
    found, shared = {}, {item.path: set[Function]() for item in items}
    for item, following in zip(items, [*items[1:], None], strict=True):
        reached.clear()
        before = time.process_time()
        reports = [call_and_report(item, "setup", log=False)]
        shared[item.path] |= reached
        if reports[0].passed:
            reports.append(call_and_report(item, "call", log=False))
        reports.append(call_and_report(item, "teardown", log=False, nextitem=following))
        if any(report.failed for report in reports):
            print(f"fails without a mutant: {item.nodeid}", flush=True)
            os._exit(1)
        found[item.nodeid] = time.process_time() - before, sorted(reached | shared[item.path])
    return found


def _note_what_runs(path: str) -> None:
    """Has each function of a module add its name to a set when it begins."""
    source = Path(path).read_text(encoding="utf-8")
    tree, originals = ast.parse(source), _functions_of(path)
    names = _outermost(tree.body, "")
    keys = [(name, [other for other, _ in names[:i]].count(name)) for i, (name, _) in enumerate(names)]
    for (_, function), key in zip(names, keys, strict=True):
        noting = ast.parse(f"__import__('builtins').{_REACHED}.add({key!r})").body
        function.body[:0] = [ast.copy_location(node, function) for node in map(ast.fix_missing_locations, noting)]
    watching = compile(ast.unparse(tree), path, "exec", dont_inherit=True)
    for name, occurrence in keys:
        _put(_codes_of(source, path, name)[occurrence], _within(watching, name)[occurrence], originals)


def _outermost(body: Sequence[ast.stmt], place: str) -> list[tuple[str, ast.FunctionDef]]:
    """Returns the functions of a module and of its classes with their qualified names, in the order of its lines."""
    found = []
    for node in body:
        if isinstance(node, ast.FunctionDef):
            found.append((f"{place}{node.name}", node))
        elif isinstance(node, ast.ClassDef):
            found += _outermost(node.body, f"{place}{node.name}.")
    return found


def _functions_of(path: str | Path) -> dict[Function, list[FunctionType]]:
    """Returns the functions of a module that there are, by name and first line."""
    found: dict[Function, list[FunctionType]] = {}
    for thing in gc.get_objects():
        if type(thing) is FunctionType and thing.__code__.co_filename == str(path):
            found.setdefault((thing.__code__.co_qualname, thing.__code__.co_firstlineno), []).append(thing)
    return found


def _codes_of(source: str, path: str, name: str) -> list[CodeType]:
    return _within(compile(source, path, "exec", dont_inherit=True), name)


def _within(code: CodeType, name: str) -> list[CodeType]:
    """Returns the code of the functions of a name, in the order of a module's lines."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return [found for one in inner for found in ([one] if one.co_qualname == name else _within(one, name))]


def _plant(mutant: Mutant, path: str, originals: dict[Function, list[FunctionType]]) -> None:
    """Puts the code of a mutant into the functions that have it."""
    before = _codes_of(Path(path).read_text(encoding="utf-8"), path, mutant.function)[mutant.occurrence]
    _put(before, _codes_of(mutant.source, path, mutant.function)[mutant.occurrence], originals)


def _put(before: CodeType, after: CodeType, originals: dict[Function, list[FunctionType]]) -> None:
    for function in originals.get((before.co_qualname, before.co_firstlineno), []):
        function.__code__ = after


def _plant_values(mutant: Mutant, path: str, name: str) -> None:
    """Puts what a mutant makes at import in place of what the module made: constants, defaults, class attributes."""
    module = sys.modules[name]
    made: dict[str, Any] = {"__name__": name, "__file__": path}
    try:
        exec(compile(mutant.source, path, "exec", dont_inherit=True), made)  # noqa: S102 - a module of ours
    except Exception:
        os._exit(1)  # nobody can import it
    for key, value in made.items():
        old = vars(module).get(key)
        if value is old:  # what it imports
            continue
        if isinstance(value, type) and value.__module__ == name and isinstance(old, type):
            for inner, one in list(vars(value).items()):
                if isinstance(one, (FunctionType, staticmethod)):  # of a named tuple, `__new__` is the latter
                    _put_defaults(getattr(one, "__func__", one), getattr(old, inner, None))
                elif not inner.startswith("__") and not hasattr(type(one), "__get__"):
                    setattr(old, inner, one)
        elif isinstance(value, FunctionType) and value.__module__ == name:
            _put_defaults(value, old)
        elif not key.startswith("__"):
            for other in list(sys.modules.values()):  # whoever imported the value itself
                if type(other) is ModuleType and vars(other).get(key) is old:
                    setattr(other, key, value)


def _put_defaults(made: FunctionType, old: Any) -> None:
    if isinstance(old, FunctionType):
        old.__defaults__, old.__kwdefaults__ = made.__defaults__, made.__kwdefaults__
