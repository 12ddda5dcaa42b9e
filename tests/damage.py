"""Damaged copies of files, and whether a reader takes each of them well."""

import copy
import json
import random
import re
from collections import Counter

from perlhf.errors import DataError

OTHER = (None, 0, -1, True, 1.5, 10**25, "", "x", "\ud800", [], [1], {}, {"a": None})


def damage_bytes(content, rng):
    """Flips, deletes or inserts a few bytes at one place, or cuts the file short."""
    content, at, size = bytearray(content), rng.randrange(len(content)), rng.randint(1, 6)
    kind = rng.choice(("flip", "delete", "insert", "cut"))
    if kind == "flip":
        content[at] ^= 1 << rng.randrange(8)
    elif kind == "delete":
        del content[at : at + size]
    elif kind == "insert":
        content[at:at] = rng.randbytes(size)
    else:
        del content[at:]
    return bytes(content)


def damage_fields(value, rng):
    """Drops, renames, retypes or repeats one field, at any depth."""
    value = copy.deepcopy(value)
    places = [value]
    for place in places:
        children = place.values() if isinstance(place, dict) else place
        places += [child for child in children if isinstance(child, (dict, list)) and child]
    place = rng.choice(places)
    key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
    kind = rng.choice(("drop", "rename", "retype") if isinstance(place, dict) else ("drop", "retype", "repeat"))
    if kind == "retype":
        place[key] = rng.choice(OTHER)
    elif kind == "repeat":
        place.append(place[key])
    else:
        old = place.pop(key)
        if kind == "rename":
            place[f"{key}_"] = old
    return value


def json_damage(value):
    """A damaged copy of a JSON file for each seed: its bytes, or a field of it."""

    def damaged(rng):
        if rng.random() < 0.5:
            return damage_bytes(json.dumps(value, ensure_ascii=False, indent=1).encode(), rng)
        return json.dumps(damage_fields(value, rng)).encode()

    return damaged


def line_damage(value):
    """The same for a file of one JSON object a line."""

    def damaged(rng):
        rows = [json.dumps(damage_fields(row, rng) if rng.random() < 0.4 else row) for row in value]
        content = "".join(f"{row}\n" for row in rows).encode()
        return content if rng.random() < 0.5 else damage_bytes(content, rng)

    return damaged


def byte_damage(content):
    def damaged(rng):
        return damage_bytes(damage_bytes(content[:700], rng) + content[700:], rng)

    return damaged


def number_of(path, key=None):
    """How many entries a JSON file has, by Python's own reader."""
    value = json.loads(path.read_text(encoding="utf-8"))
    return len(value if key is None else value[key])


def outcomes(path, damaged, read, rows, names):
    """(read, refused) of 200 damaged files; every row is accounted for, every error is a line that names a file."""
    counts = Counter()
    for seed in range(200):
        path.write_bytes(damaged(random.Random(seed)))
        content, problem = None, ""
        try:
            content = read()
        except DataError as error:
            problem = str(error)
        counts["refused" if content is None else "read"] += 1
        if content is None:
            assert re.match(rf"({'|'.join(re.escape(str(name)) for name in names)}):[ \d]", problem), (seed, problem)
            assert problem.isprintable(), (seed, problem)
        else:
            assert len(content.records) + len(content.skipped) == rows(content), seed
    return counts["read"], counts["refused"]
