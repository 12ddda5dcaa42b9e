"""The mutants of a module: its source with one small fault each.

Which faults is for mutmut's table to say (numbers, operators, arguments that are dropped or None, assignments, ...),
and for four operators more that it lacks: a statement that does nothing, an error that is not raised, None that is
returned, a condition that is turned round. Annotations, docstrings, decorators, asserts, `strict=True`, and the texts
of errors and of what is printed are left alone.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper
from mutmut.mutation.file_mutation import NEVER_MUTATE_FUNCTION_CALLS
from mutmut.mutation.mutators import mutation_operators

_LEFT_ALONE = (cst.Annotation, cst.Decorator, cst.Assert, cst.Import, cst.ImportFrom)
_TOLD = ("print", "warn")  # functions whose texts are for people


class Mutant(NamedTuple):
    """Holds one mutant of a module.

    Attributes:
        function: the qualified name of the function that differs; "" for what runs when the module is imported.
        occurrence: which one of that name, from 0: a property and its setter share theirs.
        line: where it differs, from 1.
        change: the lines that differ, before and after.
        source: of the whole module.
    """

    function: str
    occurrence: int
    line: int
    change: str
    source: str


def mutants_of(source: str) -> list[Mutant]:
    """Returns all mutants of a module, in the order of its lines."""
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    spans, content = wrapper.resolve(ByteSpanPositionProvider), source.encode()
    found: list[Mutant] = []
    counts: Counter[str] = Counter()

    def walk(node: cst.CSTNode, classes: Sequence[str], function: str, silent: bool) -> None:
        if isinstance(node, _LEFT_ALONE) or _is_check(node) or _is_guard(node):
            return
        silent = silent or isinstance(node, cst.Raise) or _name_of(node) in _TOLD
        for place, mutated in _mutated(node, silent):
            start, end = spans[place].start, spans[place].start + spans[place].length
            code = wrapper.module.code_for_node(mutated).encode()
            if code != content[start:end]:
                found.append(_mutant(content, start, end, code, function, max(0, counts[function] - 1)))
        if isinstance(node, cst.ClassDef):
            classes = [*classes, node.name.value]
        if isinstance(node, cst.FunctionDef) and not function:
            walk(node.params, classes, "", silent)  # defaults are made at import
            function = ".".join([*classes, node.name.value])
            counts[function] += 1
            walk(node.body, classes, function, silent)
            return
        for child in node.children:
            walk(child, classes, function, silent)

    walk(wrapper.module, [], "", False)
    return sorted(found, key=lambda mutant: mutant.line)


def _mutant(content: bytes, start: int, end: int, code: bytes, function: str, occurrence: int) -> Mutant:
    whole = content[:start] + code + content[end:]
    first = content.rfind(b"\n", 0, start) + 1
    before = content[first : content.find(b"\n", end)]
    after = whole[first : whole.find(b"\n", start + len(code))]
    change = " -> ".join(" ".join(lines.decode().split()) for lines in (before, after))
    return Mutant(function, occurrence, content.count(b"\n", 0, start) + 1, change, whole.decode())


def _mutated(node: cst.CSTNode, silent: bool) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
    """Yields what is replaced, which is the node or a part of it, and by what."""
    for kind, operator in mutation_operators:
        if isinstance(node, kind) and not (silent and isinstance(node, cst.BaseString)):
            yield from ((node, mutated) for mutated in operator(node) if _guards(mutated) == _guards(node))
    if isinstance(node, cst.Raise) or (isinstance(node, cst.Expr) and isinstance(node.value, cst.Call)):
        yield node, cst.Pass()
    if isinstance(node, cst.Return) and node.value is not None and not _is_named(node.value, "None"):
        yield node, node.with_changes(value=cst.Name("None"))
    if isinstance(node, (cst.If, cst.While)) and not isinstance(node.test, cst.UnaryOperation):
        yield node.test, cst.UnaryOperation(cst.Not(), node.test.with_changes(lpar=_OPEN, rpar=_CLOSE))


_OPEN, _CLOSE = [cst.LeftParen()], [cst.RightParen()]


def _is_check(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Call) and _name_of(node) in NEVER_MUTATE_FUNCTION_CALLS


def _is_guard(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value == "strict"


def _guards(node: cst.CSTNode) -> list[bool]:
    """Returns which arguments of a call are `strict=True`; nothing of what is no call."""
    args = node.args if isinstance(node, cst.Call) else ()
    return [_is_named(arg.value, "True") for arg in args if _is_guard(arg)]


def _name_of(node: cst.CSTNode) -> str:
    """Returns the name of what is called; "" of what is no call."""
    if not isinstance(node, cst.Call):
        return ""
    called = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
    return called.value if isinstance(called, cst.Name) else ""


def _is_named(node: cst.CSTNode, name: str) -> bool:
    return isinstance(node, cst.Name) and node.value == name
