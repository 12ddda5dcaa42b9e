"""Finds the rows that a user names as `data`: a file, a folder, a glob, or a data set of the Hugging Face hub."""

import glob
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from envs.corpora.disk import cache_folder, code_hash, made_by_one
from envs.corpora.hub import is_hub, kept_folder, name_on_hub, numbered_rows, place_of, streams_of
from envs.corpora.rows import READERS, iter_rows, kind_of
from envs.corpora.splits import SPLITS, Hub
from envs.preferences import store
from envs.preferences.rows import RowParser
from envs.preferences.splits import side_of_file, side_of_name
from envs.preferences.store import Kept, Part, kept_records
from perlhf.errors import DataError

Columns = tuple[tuple[str, str], ...]

_NO_DATA = {"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json"}  # of the library datasets


def read_all(data: str, columns: Columns) -> Kept:
    """Returns the records of all splits, read anew where a file has changed.

    Args:
        data: a file, a folder, a glob, or "hub:ORG/NAME[/FOLDER]".
        columns: (known name, column) of those that are called otherwise.

    Raises:
        UserError: no such data set on the hub, or a library is missing.
        DataError: nothing there, or a row that is of no known form, with its place.
    """
    if is_hub(data):
        return _read_hub(data, columns)
    stats = [(path, path.stat()) for path in files_of(data)]
    return _read_files(data, columns, tuple((str(p.absolute()), s.st_size, s.st_mtime_ns) for p, s in stats))


def files_of(data: str) -> list[Path]:
    """Returns the files that a path or a glob names, in the order of their names.

    Raises:
        DataError: there are none, one of them is of no known kind, or one is there twice.
    """
    path = Path(data)
    if path.is_file():
        return [path]
    if path.is_dir():
        inside = (file for file in path.rglob("*") if file.is_file() and kind_of(file) and file.name not in _NO_DATA)
        files = sorted(f for f in inside if not any(part.startswith(".") for part in f.relative_to(path).parts))
        if not files:
            raise DataError(f"{data}: no file in this folder is one of {', '.join(READERS)}.")
    else:
        found = (Path(name) for name in glob.glob(data, recursive=True))
        files = sorted(file for file in found if file.is_file() and file.name not in _NO_DATA)
        if not files:
            kinds = f"a file ({', '.join(READERS)}), a folder of them, a glob in quotes, or hub:ORG/NAME"
            raise DataError(f"{data}: no such file or folder; expected {kinds}.")
    names: dict[Path, Path] = {}
    for file in files:
        kind = kind_of(file)
        stem = file if kind is None else file.with_name(file.name[: file.name.lower().rindex(kind)])
        if stem in names:
            raise DataError(f"{file}: is there twice, see {names[stem]}; leave one of the two, or give a glob.")
        names[stem] = file
    return files


@lru_cache(maxsize=4)
def _read_files(data: str, columns: Columns, files: tuple[tuple[str, int, int], ...]) -> Kept:
    key = hashlib.sha256(repr((data, columns, files, _code())).encode()).hexdigest()[:16]
    folder = cache_folder() / "files" / key
    return kept_records(_parts_of_files(data), RowParser(columns), folder, data, store.IN_MEMORY)


@lru_cache(maxsize=1)
def _code() -> str:
    """Returns a hash of the readers, since others make other records."""
    return code_hash(*sorted(Path(__file__).parent.glob("*.py")))


def _parts_of_files(data: str) -> Iterator[Part]:
    """Yields the files; those called train and test say the split of their rows, a lone one, or a lone name, does not.

    Raises:
        DataError: some files are named after splits and others are not: a stray one could bring test rows into
            training.
    """
    files = files_of(data)
    root = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), Path(data).parts))  # of a glob
    sides = {file: side_of_file(file, root) for file in files}
    named = set(sides.values())
    for file in files:
        if None in named and len(named) > 2 and sides[file] is None:
            raise DataError(f"{file}: is neither {', '.join(SPLITS)}, as other files of {data} are; move it elsewhere.")
        side = sides[file] if len(named - {None}) > 1 else None
        yield Part(str(file), side, iter_rows(file), all_text=kind_of(file) == ".csv")


@lru_cache(maxsize=4)
def _read_hub(data: str, columns: Columns) -> Kept:
    repository, inside = name_on_hub(data)
    hub = Hub(RowParser, repository, inside, options=repr((columns, _code())))
    folder = kept_folder(hub, data)
    with made_by_one(folder):
        return kept_records(_parts_of_hub(hub, folder.parent.name), RowParser(columns), folder, place_of(hub), 0)


def _parts_of_hub(hub: Hub, commit: str) -> Iterator[Part]:
    """Yields the splits of a data set; a lone one says nothing of the split of its rows."""
    streams = streams_of(hub, commit)
    sides = _sides_of(list(streams), hub)
    for name, side in sides.items():
        place = f"{place_of(hub)}/{name}"
        rows = ((where, row) for row, where in numbered_rows(streams[name], place))
        yield Part(place, side if len(sides) > 1 else None, rows)


def _sides_of(names: list[str], hub: Hub) -> Mapping[str, str | None]:
    """Returns which splits of a data set are read, and as what.

    Raises:
        DataError: several have no name that says it, or several are for one split.
    """
    if len(names) == 1:
        return {names[0]: None}
    sides: dict[str, str | None] = {name: side for name in names if (side := side_of_name(name))}
    if len(set(sides.values())) == len(sides) > 0:
        return sides
    download = f"hf download {hub.repository} --repo-type dataset --local-dir DIR"
    raise DataError(
        f"{place_of(hub)}: has the splits {', '.join(names)}, of which it is not clear which are {', '.join(SPLITS)}; "
        f"`{download}`, and give those that are meant, as in --data 'DIR/data/*_prefs-*.parquet'."
    )
