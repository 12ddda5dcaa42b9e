"""Options of a command: the fields of one dataclass, read from the command line and from YAML files.

The parser is argparse, made from `dataclasses.fields`. A file goes through the same parser as the command line, so
every mistake is one line with the nearest valid name, and FILE:LINE where it stands in a file. What is said twice is
taken from the command line first, then from `--config FILE.yaml`, then from the file that a command has by itself (a
recipe, or the run that is resumed), then from the dataclass.
"""

import argparse
import dataclasses
import math
import numbers
import operator
import os
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import yaml

from perlhf.allowed_code import allow_code, check_code
from perlhf.errors import UserError, did_you_mean

Options = TypeVar("Options")

Bounds = Sequence[tuple[str, float]]  # (sign, bound), as in (">=", 1)

_HOLDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_TRUTHS = {**dict.fromkeys("true yes t y 1".split(), True), **dict.fromkeys("false no f n 0".split(), False)}
_METAVARS = {int: "N", float: "X"}
called_as = ""  # how the script `perlhf` was called, "perlhf train-ppo"; its usage line says so


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    group: str | None = None,
    positional: bool = False,
    also: Sequence[str] = (),
    code: Callable[[Any], Collection[str]] | None = None,
) -> Any:
    """Makes a field of an options dataclass, with its help text and the bounds of its value beside it.

    Args:
        default: the value where none is given; it is not held against the bounds.
        help: what the option is, for `--help`.
        low, high: the least and the greatest number allowed.
        above, below: the same, themselves not allowed.
        group: the heading in `--help`; by default the attribute `group` of the dataclass that the field stands in.
        positional: whether a word without an option's name is this one's value; of one field at most. One that holds a
            `tuple[str, ...]` takes all such words.
        also: other names of it, on the command line and in a YAML file.
        code: of a value that may name code, such as "module:name": from the options to the modules that this one
            names. A file's are held against what is allowed, see `perlhf.allowed_code`.
    """
    bounds = [(s, b) for s, b in ((">=", low), ("<=", high), (">", above), ("<", below)) if b is not None]
    metadata = {"help": help, "bounds": bounds, "group": group, "positional": positional, "also": also, "code": code}
    return dataclasses.field(default=default, metadata=metadata)


def check_bounds(settings: Any, schedules: Collection[str] = ()) -> None:
    """Holds every field of a dataclass that was made with `option` to its type and bounds, as the command line does.

    Numbers of numpy become Python's, which JSON and Stable-Baselines3 take.

    Args:
        settings: an object of the dataclass.
        schedules: the fields that may be called too; their numbers come later and are not checked.

    Raises:
        UserError: a value of the wrong type, not finite or out of bounds, or not one of a `Literal`'s choices.
    """
    for field in dataclasses.fields(settings):
        value: Any = getattr(settings, field.name)
        kinds = get_args(field.type) or (field.type,)
        if (value is None and type(None) in kinds) or (callable(value) and field.name in schedules):
            continue
        literal = next((kind for kind in (field.type, *kinds) if get_origin(kind) is Literal), None)
        if literal is not None:
            if value not in get_args(literal):
                choices = ", ".join(map(str, get_args(literal)))
                raise UserError(f"{field.name} must be one of {choices}, got {value!r}.")
            continue
        if bool in kinds:
            if value not in (True, False):
                raise UserError(f"{field.name} must be True or False, got {value!r}.")
            continue
        if str in kinds:
            if not isinstance(value, (str, os.PathLike)):
                raise UserError(f"{field.name} must be text, got {value!r}.")
            continue
        number: Callable[[Any], float] = int if int in kinds else float
        if isinstance(value, bool) or not isinstance(value, numbers.Integral if number is int else numbers.Real):
            raise UserError(f"{field.name} must be {'a whole number' if number is int else 'a number'}, got {value!r}.")
        if fault := _fault(value, field.metadata.get("bounds", ())):
            raise UserError(f"{field.name} {fault}.")
        if not isinstance(value, (int, float)):
            setattr(settings, field.name, number(value))


def _fault(value: Any, bounds: Bounds) -> str | None:
    """Returns what is wrong with a number, or None."""
    if not abs(value) < math.inf:
        return f"must be a finite number, got {value}"
    if not all(_HOLDS[sign](value, bound) for sign, bound in bounds):
        return f"must be {' and '.join(f'{sign} {bound}' for sign, bound in bounds)}, got {value}"
    return None


class _Parser(argparse.ArgumentParser):
    def __init__(self, options_class: Any, prog: str | None) -> None:
        self.fields = {field.name: field for field in dataclasses.fields(options_class)}
        self.named = {also: name for name, f in self.fields.items() for also in (name, *f.metadata.get("also", ()))}
        self.places: dict[str, str] = {}  # where the value of an option stands in a file, FILE:LINE
        self.positional = next((f.name for f in self.fields.values() if f.metadata.get("positional")), None)
        types, groups = get_type_hints(options_class), _groups(options_class)
        self.takes_many = {name for name, kind in types.items() if get_origin(kind) is tuple}
        more = " ..." if self.positional in self.takes_many else ""
        word = f"[{self.positional.upper()}{more}] " if self.positional else ""
        super().__init__(
            prog=prog, usage=f"%(prog)s {word}[--OPTION VALUE ...]", description=_escaped(options_class.__doc__ or ""),
            allow_abbrev=False, add_help=False, formatter_class=_Help,
        )  # fmt: skip
        self.taken_back = {n for n, kind in types.items() if NoneType in get_args(kind) and str not in get_args(kind)}
        for title in dict.fromkeys(groups.values()):
            group = self.add_argument_group(title)
            for field in (f for f in self.fields.values() if groups[f.name] == title):
                _add(group, field, types[field.name])
        group = self.add_argument_group("help and settings from a file")
        group.add_argument(
            "--config", metavar="FILE", help="a YAML file of these options; the command line wins over it"
        )
        group.add_argument(
            "--allow-code", metavar="MODULE", action="append", default=[],
            help="a module that files may name code of: SECURITY.md",
        )  # fmt: skip
        group.add_argument("-h", "--help", action="help", help="show this text")

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


class _Help(argparse.HelpFormatter):
    """Shows a switch without the value that it may be given, and leaves long names a line with their text."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        return action.option_strings[0] if action.type is _truth else super()._format_action_invocation(action)


def _groups(options_class: Any) -> dict[str, str]:
    """Returns the heading of each field: its own, or that of the dataclass that it stands in."""
    found = {}
    for field in dataclasses.fields(options_class):
        home = next(c for c in options_class.__mro__ if field.name in vars(c).get("__annotations__", {}))
        found[field.name] = field.metadata.get("group") or vars(home).get("group", "options")
    return found


def _add(group: argparse._ArgumentGroup, field: dataclasses.Field[Any], kind: Any) -> None:
    """Adds the argument of one field; a switch is also taken with a value, and as `--no-NAME`."""
    flag, *others = (f"--{name.replace('_', '-')}" for name in (field.name, *field.metadata.get("also", ())))
    said = _escaped(field.metadata.get("help", ""))
    if not (field.default is None or field.default is False or field.default in ("", ())):
        said += f" (default: {_escaped(str(field.default))})"
    settings: dict[str, Any] = {"dest": field.name, "default": field.default, "help": said}
    (of_value,) = [k for k in get_args(kind) if k is not NoneType] if NoneType in get_args(kind) else [kind]
    if of_value is bool:
        group.add_argument(flag, *others, nargs="?", const=True, type=_truth, **settings)
        group.add_argument(f"--no-{flag[2:]}", dest=field.name, action="store_false", default=field.default,
                           help=argparse.SUPPRESS)  # fmt: skip
    elif get_origin(of_value) is Literal:
        choices = get_args(of_value) if of_value is kind else (*get_args(of_value), None)
        read_choice = str if of_value is kind else _choice_or_none
        shown = f"{{{','.join(get_args(of_value))}}}"
        group.add_argument(flag, *others, type=read_choice, choices=choices, metavar=shown, **settings)
    elif of_value is str:
        group.add_argument(flag, *others, metavar="TEXT", **settings)
    elif get_origin(of_value) is tuple:
        group.add_argument(flag, *others, metavar="TEXT", nargs="+", **settings)
    else:
        read = _number(of_value, field.metadata.get("bounds", ()), may_be_none=of_value is not kind)
        group.add_argument(flag, *others, type=read, metavar=_METAVARS[of_value], **settings)


def _escaped(text: str) -> str:
    return text.replace("%", "%%")  # argparse formats help texts with %


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return _TRUTHS[text.lower()]


def _choice_or_none(text: str) -> str | None:
    return None if text.lower() == "none" else text  # takes back what a recipe sets


def _number(kind: type, bounds: Bounds, may_be_none: bool) -> Callable[[str], float | None]:
    """`kind`, int or float, as argparse calls it: it refuses what is not finite or out of bounds."""

    def read(text: str) -> float | None:
        if may_be_none and text.lower() == "none":  # takes back what a recipe sets
            return None
        value = kind(text)
        if fault := _fault(value, bounds):
            raise argparse.ArgumentTypeError(fault)
        return value

    read.__name__ = kind.__name__  # argparse names it where the text is no number at all
    return read


def parse_options(
    options_class: type[Options],
    arguments: Sequence[str] | None = None,
    prog: str = "",
    defaults: Callable[[Options], Path | None] | None = None,
) -> Options:
    """Reads the options of a command.

    Args:
        options_class: a dataclass whose fields are made with `option`.
        arguments: the command line, `sys.argv[1:]` by default.
        prog: how the command is called without the script `perlhf`, for its help.
        defaults: from the options as they were given to the YAML file of what was not given; None for no file.

    Raises:
        UserError: an unknown option or key, a value of the wrong type or out of bounds, a file that is not a YAML
            mapping, or that names code which is not allowed.
    """
    parser = _Parser(options_class, called_as or prog or None)
    given = _words(parser, sys.argv[1:] if arguments is None else arguments)
    found = parser.parse_args(given)
    for modules in found.allow_code:
        allow_code(modules)
    typed = _typed(parser, given)
    options = _made(options_class, found)
    _check_code(parser, options, typed)
    if found.config:
        given = [*read_config(config_file(found.config), parser), *given]
        options = _made(options_class, parser.parse_args(given))
        _check_code(parser, options, typed)
    path = None if defaults is None else defaults(options)
    if path is not None:
        options = _made(options_class, parser.parse_args([*read_config(path, parser), *given]))
        _check_code(parser, options, typed)
    return options


def _typed(parser: _Parser, words: list[str]) -> set[str]:
    """Returns the names of the options that the command line gives."""
    nothing = object()
    found = parser.parse_args(words, argparse.Namespace(**dict.fromkeys(parser.fields, nothing)))
    return {name for name in parser.fields if getattr(found, name) is not nothing}


def _check_code(parser: _Parser, options: Any, typed: set[str]) -> None:
    """Allows the modules that the command line names, and refuses those of files that are not allowed."""
    named = {name: field.metadata["code"] for name, field in parser.fields.items() if field.metadata.get("code")}
    for name in named.keys() & typed:
        allow_code(named[name](options))
    for name in [name for name in named if name not in typed and name in parser.places]:
        value = getattr(options, name)
        check_code(named[name](options), f"{parser.places[name]}: {name.replace('_', '-')} {value!r}")


def config_file(name: str) -> Path:
    """Returns the file that `--config` means: "recipes/..." is also found where perlhf is installed."""
    installed = Path(__file__).parents[1] / name
    return installed if name.startswith("recipes/") and installed.is_file() and not Path(name).exists() else Path(name)


def _made(options_class: type[Options], found: argparse.Namespace) -> Options:
    given = {name: value for name, value in vars(found).items() if name not in ("config", "allow_code")}
    return options_class(**{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()})


def _words(parser: _Parser, arguments: Sequence[str]) -> list[str]:
    """Returns the command line with hyphens in option names, and lone words behind their option's name.

    Raises:
        UserError: an unknown option, a word that belongs to none, or one that is given by name too.
    """
    words = [_hyphens(word) for word in arguments]
    found, unknown = parser.parse_known_args(words)
    for word in unknown:
        if word.startswith("-"):
            flag = word.split("=")[0]
            known = ["--help", "--config", "--allow-code", *(f"--{name.replace('_', '-')}" for name in parser.named)]
            raise UserError(f"unknown option {flag}.{did_you_mean(flag, known)}")
    if not unknown:
        return words
    name = parser.positional
    many = name in parser.takes_many
    if name is None or (len(unknown) > 1 and not many):
        expected = (
            "every value stands behind its option, as in --OPTION VALUE" if name is None else f"one {name} at most"
        )
        raise UserError(f"unexpected word {unknown[-1]!r}: {expected}; see --help.")
    flag = f"--{name.replace('_', '-')}"
    if any(word == flag or word.startswith(f"{flag}=") for word in words):
        given = " ".join(getattr(found, name)) if many else repr(getattr(found, name))
        raise UserError(f"{unknown[0]!r} and {flag} {given} are both given; keep one of them.")
    rest = words
    for word in unknown:
        rest = _without(parser, rest, word)
    return [flag, *unknown, *rest] if many else [f"{flag}={unknown[0]}", *rest]


def _without(parser: _Parser, words: list[str], word: str) -> list[str]:
    """Returns the words without one that belongs to no option; the same word may be an option's value as well."""
    others = ([*words[:i], *words[i + 1 :]] for i, each in enumerate(words) if each == word)
    left = len(parser.parse_known_args(words)[1]) - 1
    return next(rest for rest in others if _unknown(parser, rest) == left)


def _unknown(parser: _Parser, words: list[str]) -> int | None:
    """Returns how many words belong to no option; None where an option lacks its value."""
    try:
        return len(parser.parse_known_args(words)[1])
    except UserError:
        return None


def _hyphens(word: str) -> str:
    """`--kl_coef=x_y` as `--kl-coef=x_y`."""
    name, sign, value = word.partition("=")
    return name.replace("_", "-") + sign + value if word.startswith("--") else word


def read_config(path: Path, parser: _Parser) -> list[str]:
    """Returns the keys of a YAML file as command-line words, each checked on its own so that errors name FILE:LINE."""
    known = set(parser.named)
    words: list[str] = []
    seen: set[str] = set()
    for key, value in _mapping(path):
        where = f"{path}:{key.start_mark.line + 1}"
        name = str(key.value).replace("-", "_")
        if name not in known:
            raise UserError(f"{where}: unknown key {key.value!r}.{did_you_mean(name, known)}")
        name = parser.named[name]
        if name in seen:
            raise UserError(f"{where}: key {key.value!r} is given twice; keep one of them.")
        seen.add(name)
        if not isinstance(value, yaml.ScalarNode):
            raise UserError(f"{where}: {key.value!r} takes one value, not a {value.tag.rsplit(':', 1)[-1]}.")
        if value.tag.endswith(":null"):
            if name in parser.taken_back:
                words.append(f"--{name.replace('_', '-')}=none")  # takes back what a recipe sets
            continue
        word = f"--{name.replace('_', '-')}={value.value}"
        parser.places.setdefault(name, where)  # what is read first wins
        try:
            parser.parse_args([word])
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        words.append(word)
    return words


def _mapping(path: Path) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot read the config file: {error}") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{path}:{line}: not valid YAML: {str(error).splitlines()[0]}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except RecursionError:
        raise UserError(f"{path}:1: nested too deeply; expected `option: value` lines.") from None
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{path}:1: expected `option: value` lines.")
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise UserError(f"{path}:{key.start_mark.line + 1}: expected `option: value` lines.")
    return node.value


def to_yaml(options: Any) -> str:
    """Returns the options as a YAML file that `--config` reads back to the same values."""
    return yaml.safe_dump(dataclasses.asdict(options), sort_keys=False)
