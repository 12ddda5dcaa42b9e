"""`Record`: one prompt with a preferred and a dispreferred response."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Record(NamedTuple):
    """One preference pair. `meta` holds what else the dataset says, as plain JSON values."""

    prompt: str
    chosen: str
    rejected: str
    meta: Mapping[str, Any]
