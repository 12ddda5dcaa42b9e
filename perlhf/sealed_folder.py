"""Sealed folders: whole or not there at all, and known to be what was written.

A sealed folder is written under another name beside its place: every file with fsync, last a manifest with the sha256
of each file, then the folder is renamed. So a folder with its final name is complete, and a kill at any moment leaves
the one before. Reading verifies every hash.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from perlhf.errors import UserError
from perlhf.run_folder import json_text, sync, write_json

MANIFEST = "manifest.json"


class SealError(UserError):
    """A folder that is not sealed, or not what was sealed."""


@contextmanager
def sealed(folder: Path, version: int, what: str) -> Iterator[Path]:
    """Inside, the folder to write to; after the block it is sealed and stands at `folder`, in place of an older one.

    Where the block or the sealing fails, nothing has changed.

    Args:
        folder: where it shall be.
        version: of the format of what is written, which `verify` asks for.
        what: the files together, as "checkpoint"; for messages.

    Raises:
        SealError: `folder` is there and was never sealed; it is left alone.
    """
    put_back(folder)
    if folder.exists() and not (folder / MANIFEST).exists():
        raise SealError(f"{folder} exists and is no {what}; give another path.")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        _seal(part, version)
        _replace(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)  # somebody may have deleted it
        put_back(folder)
        raise


def _seal(folder: Path, version: int) -> None:
    """Makes every file durable and writes the manifest last."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    for path in files:
        sync(path)
    for inner in {p.parent for p in files}:
        sync(inner)
    hashes = {str(p.relative_to(folder)): _sha256(p) for p in files}
    write_json(folder / MANIFEST, {"format": version, "files": hashes})


def _replace(part: Path, folder: Path) -> None:
    """Gives a finished folder its name; the one that had it stays beside it until then."""
    old = _old(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    os.rename(part, folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def put_back(folder: Path) -> None:
    """Gives its name back to a sealed folder whose replacement was cut short."""
    if not folder.exists() and _old(folder).exists():
        os.rename(_old(folder), folder)


def put_all_back(parent: Path) -> None:
    """Does so for all sealed folders that stand in a folder; nobody may be writing one.

    What is left over beside a folder that has its name is removed, so that it never comes back later.
    """
    for old in parent.glob(".*.old"):
        put_back(parent / old.name[1:].removesuffix(".old"))
        shutil.rmtree(old, ignore_errors=True)


def verify(folder: Path, version: int, what: str, needed: Collection[str] = ()) -> None:
    """Checks every file of a sealed folder against its manifest.

    Args:
        folder: the sealed folder.
        version: of the format, as for `sealed`.
        what: the files together, for messages.
        needed: files that are always in it.

    Raises:
        SealError: no manifest, another format, or a file that is missing, altered or not in the manifest; it is named.
    """
    path = folder / MANIFEST
    try:
        if path.exists() and not path.is_file():  # of a pipe one would wait for the end
            raise OSError
        text = path.read_bytes().decode()  # as it stands, each \r too
        manifest = json.loads(text)
        files, found = dict(manifest["files"]), manifest["format"]
        # A name may stand in it twice, there may be bytes behind its end, and to Python true is 1.
        if json_text(manifest) != text or type(found) is not int:
            raise ValueError
    except (FileNotFoundError, NotADirectoryError):
        raise SealError(f"{folder} holds no {what} (no {MANIFEST}).") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise SealError(f"{path} is damaged; take an earlier {what}.") from None
    if found != version:
        raise SealError(f"{folder} is a {what} of format {found}; this version reads format {version}.")
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")}
    for name in sorted((there | set(needed)) - {MANIFEST} - set(files)):
        raise SealError(f"{folder / name} is not in the manifest beside it; take an earlier {what}.")
    for name, digest in files.items():
        if name not in there or _sha256(folder / name) != digest:
            raise SealError(f"{folder / name} is missing or altered; take an earlier {what}.")


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
