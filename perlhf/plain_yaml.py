"""Reads YAML that need not be trusted: plain values, and one error for whatever may be wrong with them."""

from typing import Any

import yaml

from perlhf.errors import one_line

_MOST = 100_000  # values in a text; an alias counts each time, so that a few lines cannot stand for billions


def load_yaml(text: str) -> Any:
    """Returns the value in a text of YAML: mappings, lists, texts, numbers, dates, truths and None.

    Raises:
        ValueError: it is none, or of more values than any of our files; one line says what is wrong.
    """
    try:
        value = yaml.safe_load(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except Exception as error:  # of plain values that are none, such as a 13th month, PyYAML raises a dozen types
        raise ValueError(one_line(error)) from None
    seen = [value]
    for each in seen:  # it grows
        if isinstance(each, (dict, list, tuple, set)):
            seen += [*each, *each.values()] if isinstance(each, dict) else each
        if len(seen) > _MOST:
            raise ValueError(f"more than {_MOST} values, or one that is part of itself")
    return value
