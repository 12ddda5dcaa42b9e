"""perlhf lab: cells are kept and made anew where they must be, and a whole lab comes out the same again."""

import shutil

import pytest
from command_modules import command_module

from evaluation.labs import LABS
from evaluation.labs.cells import Cell, cost_of, finish, table
from perlhf.errors import UserError


def test_a_cell_is_made_once_and_anew_where_something_else_is_asked(tmp_path):
    made = []

    def make():
        made.append(len(made))
        return {"figure": made[-1]}

    cell = Cell("one", {"seed": 0}, make)
    assert finish(tmp_path, cell) == finish(tmp_path, cell) == {"figure": 0}
    assert finish(tmp_path, cell._replace(asked={"seed": 1})) == {"figure": 1}
    kept = tmp_path / "kept"
    with_folder = cell._replace(asked={"seed": 1}, keeps=[kept])
    assert finish(tmp_path, with_folder) == {"figure": 2}  # what it leaves beside its figures was not there
    kept.mkdir()
    assert finish(tmp_path, with_folder) == {"figure": 2}
    assert cost_of(tmp_path) >= 0


def test_a_table_in_markdown():
    assert table(["a", "b"], [["x", "1"]]) == ["| a | b |", "| --- | ---: |", "| x | 1 |"]


@pytest.mark.parametrize("name", ["", "credits"])
def test_the_command_names_the_labs(name, monkeypatch):
    monkeypatch.setattr("sys.argv", ["lab", *([name] if name else [])])
    with pytest.raises(UserError, match=r"Labs: .*kl \(k1, k2 and k3") as found:
        command_module("evaluation.lab").main()
    assert ("Did you mean" in str(found.value)) == bool(name)


@pytest.mark.long
@pytest.mark.parametrize("name", LABS)
def test_a_lab_comes_out_the_same_and_goes_on_where_it_was(name, tmp_path):
    pytest.importorskip("matplotlib")
    lab = LABS[name]
    first, again = tmp_path / "first", tmp_path / "again"
    lines = lab.run(first, 0, True)
    shutil.copytree(first, again)
    for path in again.glob("*.json"):
        if path.stem.startswith(("values-", "start-", "run-1-", "scores-", "ppo-min-")):
            path.unlink()
    assert lab.run(again, 0, True)[:-1] == lines[:-1]
    for path in first.glob("*.*"):
        if path.name != "costs.json":
            assert path.read_bytes() == (again / path.name).read_bytes(), path.name
