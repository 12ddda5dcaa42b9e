"""Sealed folders: whole or not there at all; whatever is altered is named."""

import errno
import os
import re

import pytest

from perlhf.sealed_folder import SealError, put_back, sealed, verify


def write(folder, text, version=1, page="page.txt"):
    with sealed(folder, version, "book") as part:
        (part / "inner").mkdir()
        (part / "inner" / page).write_text(text)


def page(folder):
    verify(folder, 1, "book")
    return (folder / "inner" / "page.txt").read_text()


def test_what_was_sealed_verifies_and_a_newer_one_takes_its_place(tmp_path):
    write(tmp_path / "a", "one")
    assert page(tmp_path / "a") == "one"
    write(tmp_path / "a", "two")
    assert page(tmp_path / "a") == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_everything_is_durable_before_the_folder_has_its_name(tmp_path, monkeypatch):
    """What a disk may lose when power fails is what was not synced: files, then folders, then the rename."""
    done, fsync, rename = [], os.fsync, os.rename

    def noted_fsync(descriptor):
        done.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def noted_rename(old, new):
        done.append(("renamed", str(new)))
        rename(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    write(tmp_path / "a", "one")
    before, after = done[: done.index(("renamed", str(tmp_path / "a")))], done[-1]
    part = tmp_path / ".a.part"
    order = [part / "inner" / "page.txt", part / "inner", part / ".manifest.json.part", part]
    places = [max(i for i, path in enumerate(before) if path == str(each)) for each in order]
    assert places == sorted(places)
    assert after == str(tmp_path)


def test_a_block_that_fails_changes_nothing(tmp_path):
    write(tmp_path / "a", "one")
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "a", "two", page="no/such/page.txt")
    assert page(tmp_path / "a") == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_disk_that_is_full_at_the_end_changes_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    write(tmp_path / "a", "one")
    monkeypatch.setattr("perlhf.sealed_folder.write_json", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "a", "two")
    assert page(tmp_path / "a") == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_replacement_that_was_cut_short_is_put_back(tmp_path):
    write(tmp_path / "a", "one")
    os.rename(tmp_path / "a", tmp_path / ".a.old")  # as between the two renames
    put_back(tmp_path / "a")
    assert page(tmp_path / "a") == "one"


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("keep")
    with pytest.raises(SealError, match=r"exists and is no book; give another path"):
        write(tmp_path, "one")
    assert (tmp_path / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "inner" / "page.txt").write_text("2"),
            "page.txt is missing or altered; take an earlier book.",
        ),
        (
            lambda folder: (folder / "inner" / "page.txt").unlink(),
            "page.txt is missing or altered; take an earlier book.",
        ),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "manifest.json is damaged; take an earlier book."),
        (lambda folder: (folder / "manifest.json").write_text("["), "manifest.json is damaged; take an earlier book."),
        (lambda folder: (folder / "manifest.json").unlink(), "holds no book (no manifest.json)."),
    ],
)
def test_damage_is_named(tmp_path, damage, message):
    write(tmp_path / "a", "one")
    damage(tmp_path / "a")
    with pytest.raises(SealError, match=re.escape(message)):
        verify(tmp_path / "a", 1, "book")


def test_another_format_is_named(tmp_path):
    write(tmp_path / "a", "one", version=3)
    with pytest.raises(SealError, match="is a book of format 3; this version reads format 1"):
        verify(tmp_path / "a", 1, "book")
