"""Options of a command: the fields of one dataclass, read from the command line and from `--config FILE.yaml`.

The parser is transformers' `HfArgumentParser` (argparse made from a dataclass). What is added here: the file
goes through the same parser as the command line, which wins over it, and every mistake is one line with the
nearest valid name.
"""

import argparse
import dataclasses
import math
import numbers
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin

import yaml
from transformers import HfArgumentParser

from perlhf.errors import UserError, did_you_mean

Options = TypeVar("Options")

Bounds = Sequence[tuple[str, float]]  # (sign, bound), as in (">=", 1)

_HOLDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A field of an options dataclass, with its help text and the bounds of its value beside it.

    Args:
        default: the value where none is given; it is not held against the bounds.
        help: what the option is, for `--help`.
        low, high: the least and the greatest number allowed.
        above, below: the same, themselves not allowed.
    """
    bounds = [(s, b) for s, b in ((">=", low), ("<=", high), (">", above), ("<", below)) if b is not None]
    return dataclasses.field(default=default, metadata={"help": help, "bounds": bounds})


def check_bounds(settings: Any) -> None:
    """Holds every field of a dataclass that was made with `option` to its type and bounds, as the command line does.

    What is called, such as a schedule, gives its numbers later and is not checked; nor is None where it is allowed.

    Raises:
        UserError: a value of the wrong type, not finite or out of bounds, or not one of a `Literal`'s choices.
    """
    for field in dataclasses.fields(settings):
        value: Any = getattr(settings, field.name)
        kinds = get_args(field.type) or (field.type,)
        if get_origin(field.type) is Literal:
            if value not in kinds:
                choices = ", ".join(map(str, kinds))
                raise UserError(f"{field.name} must be one of {choices}, got {value!r}.")
            continue
        number = int if int in kinds else float if float in kinds else None
        optional = field.default is None or type(None) in kinds
        if number is None or callable(value) or (value is None and optional):
            continue
        if isinstance(value, bool) or not isinstance(value, numbers.Integral if number is int else numbers.Real):
            raise UserError(f"{field.name} must be {'a whole number' if number is int else 'a number'}, got {value!r}.")
        if value != value or value in (math.inf, -math.inf):
            raise UserError(f"{field.name} must be a finite number, got {value}.")
        bounds = field.metadata.get("bounds", ())
        if not all(_HOLDS[sign](value, bound) for sign, bound in bounds):
            expected = " and ".join(f"{sign} {bound}" for sign, bound in bounds)
            raise UserError(f"{field.name} must be {expected}, got {value}.")


class _Parser(HfArgumentParser):
    def __init__(self, options_class: type, **kwargs: Any) -> None:
        super().__init__(options_class, allow_abbrev=False, usage="%(prog)s [--OPTION VALUE ...]", **kwargs)
        self.add_argument("--config", help="a YAML file of these options; the command line wins over it")

    def error(self, message: str) -> NoReturn:
        raise UserError(message)

    def add_argument(self, *names: Any, bounds: Bounds = (), **settings: Any) -> argparse.Action:
        if settings.get("type") in (int, float):
            settings["type"] = _number(settings["type"], bounds)
        return super().add_argument(*names, **settings)

    def names(self) -> dict[str, str]:
        """Every way to spell an option, with the field it sets."""
        actions = [a for a in self._actions if a.dest != "help"]
        return {s.lstrip("-").replace("-", "_"): a.dest for a in actions for s in a.option_strings}


def _number(kind: type, bounds: Bounds) -> Callable[[str], float]:
    """`kind`, int or float, as argparse calls it: it refuses what is not finite or out of bounds."""

    def read(text: str) -> float:
        value = kind(text)
        if not abs(value) < math.inf:
            raise argparse.ArgumentTypeError(f"must be a finite number, got {value}")
        if not all(_HOLDS[sign](value, bound) for sign, bound in bounds):
            expected = " and ".join(f"{sign} {bound}" for sign, bound in bounds)
            raise argparse.ArgumentTypeError(f"must be {expected}, got {value}")
        return value

    read.__name__ = kind.__name__  # argparse names it where the text is no number at all
    return read


def parse_options(options_class: type[Options], arguments: Sequence[str] | None = None, prog: str = "") -> Options:
    """Reads the options of a command.

    Args:
        options_class: a dataclass whose fields are made with `option`.
        arguments: the command line, `sys.argv[1:]` by default.
        prog: how the command is called, for its help.

    Raises:
        UserError: an unknown option or key, a value of the wrong type or out of bounds, a file that is not a YAML
            mapping.
    """
    parser = _Parser(options_class, prog=prog or None, description=options_class.__doc__)
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        flag = unknown[0].split("=")[0]
        known = ["--help", *("--" + name.replace("_", "-") for name in parser.names())]
        hint = did_you_mean(flag.replace("_", "-"), known)
        raise UserError(f"unknown option {flag}.{hint}")
    if given.config:
        from_file = read_config(Path(given.config), parser)
        given = parser.parse_args([*from_file, *(arguments if arguments is not None else _command_line())])
    values = vars(given)
    values.pop("config")
    return options_class(**values)


def read_config(path: Path, parser: _Parser) -> list[str]:
    """The keys of a YAML file as command-line words, each checked on its own so that errors name FILE:LINE."""
    known = parser.names()
    words: list[str] = []
    seen: set[str] = set()
    for key, value in _mapping(path):
        where = f"{path}:{key.start_mark.line + 1}"
        name = str(key.value).replace("-", "_")
        if name not in known or name == "config":
            raise UserError(f"{where}: unknown key {key.value!r}.{did_you_mean(name, set(known) - {'config'})}")
        if name in seen:
            raise UserError(f"{where}: key {key.value!r} is given twice; keep one of them.")
        seen.add(name)
        if not isinstance(value, yaml.ScalarNode):
            raise UserError(f"{where}: {key.value!r} takes one value, not a {value.tag.rsplit(':', 1)[-1]}.")
        if value.tag.endswith(":null"):
            continue
        word = f"--{name}={value.value}"
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


def _command_line() -> list[str]:
    import sys

    return sys.argv[1:]


def to_yaml(options: Any) -> str:
    """The options as a YAML file that `--config` reads back to the same values."""
    return yaml.safe_dump(dataclasses.asdict(options), sort_keys=False)
