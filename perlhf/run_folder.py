"""The folder of one run: config.yaml, metrics.jsonl, summary.json and what the command adds to them.

Files are written beside their place and renamed, so that a reader never sees half of one.
"""

import errno
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from perlhf import run_lock
from perlhf.errors import UserError, one_line
from perlhf.options import to_yaml
from perlhf.plain_yaml import load_yaml

_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)  # of a disk, which may name no file


def write_text(path: Path, text: str) -> None:
    """Writes a whole file durably: temporary name, fsync, rename, fsync of the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk does not say which file it was
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    sync(path.parent)


@contextmanager
def naming_the_file(path: Path, advice: str = "") -> Iterator[None]:
    """Says of a fault of the disk inside, where that does not say it itself, which file or folder it was.

    A full disk does not say it. What safetensors raises, which is written in Rust, becomes the OSError that it is of.

    Args:
        path: the file or folder.
        advice: what to do then.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FAULTS:
            raise _fault(error.errno, error.filename or path, advice) from None
        raise
    except Exception as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise _fault(int(number[1]), path, advice) from None


def _fault(number: int, path: Any, advice: str) -> OSError:
    return OSError(number, "; ".join(filter(None, [os.strerror(number), advice])), str(path))


def require_config(folder: Path) -> None:
    """Makes sure that nobody has deleted a run folder, or the config.yaml in it, while the run is under way.

    Raises:
        OSError: somebody has.
    """
    if not (folder / "config.yaml").exists():
        raise OSError(errno.ENOENT, "deleted while the run was under way", str(folder / "config.yaml"))


def sync(path: Path) -> None:
    """Makes a file durable, or the renames within a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # it does not say which file it was
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON object; NaN and infinity are refused, since JSON has no word for them."""
    write_text(path, json_text(value))


def json_text(value: Mapping[str, Any]) -> str:
    """Returns a JSON object as `write_json` writes it."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def new_run_folder(output_dir: str | None, name: str, options: Any, resumable: bool = False) -> Path:
    """Makes the folder of a new run, takes its lock (`perlhf.run_lock`) and writes its config.yaml.

    Args:
        output_dir: the folder itself; None takes `runs/NAME`, with a number behind it where that is taken.
        name: what to call a run that was given no folder.
        options: the options dataclass of the command.
        resumable: whether the command has an option --resume.

    Raises:
        UserError: the given folder already holds a run, is one that another process writes to, or is a file.
    """
    if output_dir is None:
        folder = _first_free(Path("runs") / re.sub("[/:]", "-", name))  # of an id such as "my_file:me/Toy-v0"
    else:
        folder = Path(output_dir)
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file; give a folder as --output-dir.")
        folder.mkdir(parents=True, exist_ok=True)
    is_new = run_lock.take(folder)
    if _holds_a_run(folder):
        if is_new:
            run_lock.release(folder)
        hint = f"--resume {folder}" if resumable else "remove that folder"
        raise UserError(f"{folder} already holds a run; give another --output-dir, or {hint}.")
    write_text(folder / "config.yaml", to_yaml(options))
    return folder


def _holds_a_run(folder: Path) -> bool:
    """Returns whether there is more than the config.yaml and empty files that a run leaves which fails at its start."""
    if not (folder / "config.yaml").exists():
        return False
    others = (path for path in folder.iterdir() if path.name not in ("config.yaml", run_lock.LOCK))
    return any(path.is_dir() or path.stat().st_size > 0 for path in others)


def _first_free(folder: Path) -> Path:
    """Makes a folder, with a number behind its name where that is taken; two processes never make the same one."""
    candidate, number = folder, 1
    while True:
        with suppress(FileExistsError):
            candidate.mkdir(parents=True)
            return candidate
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")


def refuse_links(folder: Path) -> None:
    """Refuses a folder in which a link leads out of it: going on in it would write there.

    Raises:
        UserError: there is such a link; it is named.
    """
    home = Path(os.path.realpath(folder))  # it takes links that lead in a circle
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
                raise UserError(f"{path} is a link that leads out of the run folder; put the thing itself there.")


def read_run_config(folder: Path) -> dict[str, Any]:
    """Returns the config.yaml of a run folder.

    Raises:
        UserError: the folder does not exist or holds no run, or its config.yaml is not one.
    """
    path = Path(folder) / "config.yaml"
    if not path.is_file():
        raise UserError(f"{folder} holds no run (no config.yaml); give the --output-dir of an earlier command.")
    refuse_links(Path(folder))
    try:
        config = load_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not valid YAML: {one_line(error)}.") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: expected the `option: value` lines of a run.")
    return config


def read_json(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file; nothing where there is no such file yet.

    Raises:
        UserError: there is something else in it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON: {one_line(error)}; remove it to go on without.") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected a JSON object; remove it to go on without.")
    return found


def read_summary(folder: Path) -> dict[str, Any]:
    """Returns what summary.json says; nothing where there is none yet."""
    return read_json(folder / "summary.json")


def turns_of(summary: Mapping[str, Any]) -> int | None:
    """Returns how many turns a run of agents.train_ppo has trained on; old summaries called them episodes."""
    return summary.get("turns", summary.get("episodes"))


def update_summary(folder: Path, dropped: Collection[str] = (), /, **values: Any) -> None:
    """Sets values in summary.json, takes out those named in `dropped` and keeps the others."""
    kept = {key: value for key, value in read_summary(folder).items() if key not in dropped}
    write_json(folder / "summary.json", {**kept, **values})
