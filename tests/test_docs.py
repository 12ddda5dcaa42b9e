"""README and docs: their code runs, their links and figures are right, and the map is the tree."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
PACKAGES = ("perlhf", "envs", "backbones", "rewards", "agents", "evaluation", "integrations")


def python_blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S)


def shown(page):
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=shown)
WITH_CODE = (README, DOCS / "usage.md", DOCS / "environments_of_others.md")
CODE = [(page, number) for page in WITH_CODE for number in range(len(python_blocks(page)))]


@pytest.mark.parametrize(("page", "number"), CODE, ids=[f"{shown(page)}-{number}" for page, number in CODE])
def test_the_code_runs(page, number, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", python_blocks(page)[number]], capture_output=True, text=True, timeout=300, cwd=tmp_path,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_readme_is_short_and_its_code_fits_the_eye():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120
    (block,) = python_blocks(README)
    assert sum(bool(line.strip()) for line in block.splitlines()) <= 8


def test_the_figures_in_readme_are_those_of_the_results():
    readme, results = README.read_text(encoding="utf-8"), (DOCS / "results.md").read_text(encoding="utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("| [")]
    assert len(rows) == 7
    for row in rows:
        sampled, greedy, beyond, minutes = (cell.strip() for cell in row.strip("| ").split("|")[-4:])
        measured = next(
            line for line in results.splitlines() if f"| {sampled} |" in line
        )  # later tables repeat HH-v0's
        assert f"| {beyond} |" in measured or beyond in ("sharpens", "not measured yet")
        before, after = greedy.split(" -> ")
        without_intervals = re.sub(r" \[[^]]*\]", "", measured)
        assert f"| {before} -> {after} |" in without_intervals
        seconds = int(measured.strip("| ").split("|")[-1])
        assert int(minutes) == round(seconds / 60)


def test_the_speed_in_readme_is_that_of_the_speedrun():
    readme, page = (" ".join(path.read_text(encoding="utf-8").split()) for path in (README, DOCS / "speedrun.md"))
    default, rloo = re.search(
        r"gold of 0\.75 in (\S+ \(\S+ to \S+), three seeds\).*`--algorithm rloo` is there in (\S+ \(\S+ to \S+)\)",
        readme,
    ).groups()
    to_there = page[page.index("To gold 0.75, beside the fastest setting of TRL") :]
    assert f"the default takes {default}, 3 seeds) and perlhf, RLOO takes {rloo}, 3 seeds)" in to_there


def test_the_map_is_the_tree():
    spec = importlib.util.spec_from_file_location("make_map", DOCS / "make_map.py")
    make_map = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_map)
    assert (DOCS / "map.md").read_text(encoding="utf-8") == make_map.page(), "run `make map`"
    named = set(re.findall(r"^- `([^`]+)`: \S", make_map.page(), flags=re.M))
    assert named >= {p.name for package in PACKAGES for p in (ROOT / package).rglob("*.py")} - {"__init__.py"}


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_link_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text):
        path, _, anchor = "".join(target).partition("#")
        if path.startswith("http"):
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), path
        assert not anchor or anchor in anchors(file), f"{path}#{anchor}"


@every_page
def test_lines_of_prose_fit_120_columns(page):
    """Not tables, nor code, which stands indented or between fences."""
    if page.name == "performance.md":
        pytest.skip("written by `make bench`")
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S).splitlines()
    assert not [line for line in prose if len(line) > 120 and not line.startswith(("|", "    "))]


def test_the_index_names_every_page():
    named = set(re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", (DOCS / "index.md").read_text(encoding="utf-8"), flags=re.M))
    assert named == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} - {"index.md"}


def attributes(node):
    """Names of what a class has: methods, fields, and what is assigned to self."""
    for child in ast.walk(node):
        if isinstance(child, ast.FunctionDef):
            yield child.name
        elif isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            yield child.target.id
        elif isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Store):
            yield child.attr


@pytest.fixture(scope="module")
def classes():
    """All classes of the packages, with the names of what they have."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    found = {}
    for node in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        found.setdefault(node.name, set()).update(attributes(node))
    return found


def test_the_glossary_is_short_and_names_what_exists(classes):
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    assert 20 <= len(re.findall(r"^- \*\*(.+?)\*\*", text, flags=re.M)) <= 30
    named = set(re.findall(r"`([A-Z]\w+)`", text))
    assert len(named) > 20
    assert named <= set(classes)


@every_page
def test_files_and_attributes_that_a_page_names_exist(page, classes):
    if page.name in ("map.md", "CHANGELOG.md"):
        pytest.skip("the one is generated, the other says what was")
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:perlhf|envs|backbones|rewards|agents|evaluation|examples|tests)/[\w/]+\.py)`", text):
        assert (ROOT / path).is_file(), path
    for name, attribute in re.findall(r"`([A-Z]\w+)\.([a-z]\w+)", text):
        assert name not in classes or attribute in classes[name], f"{name}.{attribute}"


def test_every_test_that_the_page_on_ppo_names_exists():
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "ppo.md").read_text(encoding="utf-8")))
    written = {n for p in (ROOT / "tests").glob("*.py") for n in re.findall(r"^def (test_\w+)", p.read_text(), re.M)}
    assert len(named) > 30
    assert named <= written
