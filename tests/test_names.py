"""What `import perlhf` gives, and what it says where another package has one of our names."""

import os
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import perlhf
from perlhf.clash import PACKAGES

ROOT = Path(__file__).parents[1]
FLOORS = ["perlhf", *PACKAGES]


def python(*arguments, path=(ROOT,), cwd=None):
    """Runs Python with folders or zip files to import from, and none else unless in `cwd`; gives stdout and stderr."""
    safe = () if cwd else ("-P",)  # without it the folder that pytest runs in, which has our packages, would come first
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *safe, *arguments], capture_output=True, text=True, timeout=120, cwd=cwd, env=environment
    )
    return done.stdout, done.stderr


def last_line(stderr):
    return stderr.strip().splitlines()[-1]


def install_stand_in(site, module="agents"):
    """A distribution that owns a top-level package with one of our names, as openai-agents does, as pip leaves it."""
    (site / module).mkdir(parents=True, exist_ok=True)
    (site / module / "__init__.py").write_text('"""Agents of another kind."""\n')
    info = site / "openai_agents-0.4.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: openai-agents\nVersion: 0.4.0\n")
    (info / "RECORD").write_text(f"{module}/__init__.py,,\n")
    return site


@pytest.fixture
def copy(tmp_path):
    """perlhf as pip puts it into site-packages: folders of its own, as links, each with an `__init__.py` of its own."""
    site = tmp_path / "site"
    for package in FLOORS:
        (site / package).mkdir(parents=True)
        for entry in (ROOT / package).iterdir():
            if entry.name == "__init__.py" or (package == "perlhf" and entry.suffix == ".py"):
                (site / package / entry.name).write_bytes(entry.read_bytes())
            elif entry.name != "__pycache__":
                (site / package / entry.name).symlink_to(entry)
    return site


def test_importing_perlhf_registers_the_environments_without_torch():
    code = """
import sys, gymnasium, perlhf
assert "torch" not in sys.modules
assert "PPO" in dir(perlhf) and "torch" not in sys.modules
env = gymnasium.make("perlhf/UINav-v0", templates="star_email")
print(env.reset(seed=0)[0]["prompt"].splitlines()[0], "torch" in sys.modules)
"""
    stdout, stderr = python("-c", code)
    assert stdout.startswith("GOAL "), stderr
    assert stdout.endswith("False\n")


def test_gymnasiums_module_prefix_is_enough():
    code = "import gymnasium; print(gymnasium.make('perlhf:perlhf/UINav-v0').unwrapped.spec.id)"
    assert python("-c", code)[0] == "perlhf/UINav-v0\n"


@pytest.mark.parametrize("package", FLOORS)
def test_every_public_name_is_there(package):
    module = import_module(package)
    assert module.__all__
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_the_four_names_are_those_of_their_packages():
    from agents import PPO, make_vec_env
    from backbones import Backbone
    from rewards import RewardModel

    assert (perlhf.PPO, perlhf.make_vec_env) == (PPO, make_vec_env)
    assert (perlhf.Backbone, perlhf.RewardModel) == (Backbone, RewardModel)


def test_the_check_knows_every_top_level_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = {name.split(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    # Nothing imports these two: a folder of somebody's with such a name is in nobody's way.
    assert {*FLOORS, "recipes", "integrations"} == listed


def test_a_distribution_that_comes_first_is_named(tmp_path):
    other = install_stand_in(tmp_path)
    line = (
        f"ImportError: perlhf's package 'agents' is out of reach: Python finds {other}/agents/__init__.py of "
        "openai-agents first. Install perlhf in a virtual environment of its own, or uninstall openai-agents."
    )
    for module in ("perlhf", "envs", "rewards", "evaluation", "backbones"):
        stdout, stderr = python("-c", f"import {module}; print('imported')", path=(other, ROOT))
        assert (stdout, last_line(stderr)) == ("", line)
    assert "torch" not in stderr


def test_a_distribution_that_wrote_over_our_file_is_named(copy):
    install_stand_in(copy)
    line = (
        f"ImportError: perlhf's package 'agents' is damaged: openai-agents wrote over {copy}/agents/__init__.py. "
        "Install perlhf in a virtual environment of its own, or uninstall openai-agents and reinstall perlhf: "
        "pip install --force-reinstall --no-deps perlhf"
    )
    for command in (("-c", "import perlhf"), ("-m", "agents.train_ppo", "--help")):
        stdout, stderr = python(*command, path=(copy,))
        assert (stdout, last_line(stderr)) == ("", line)


def test_a_file_that_an_uninstall_took_along_is_named(copy):
    (copy / "agents" / "__init__.py").unlink()
    line = last_line(python("-c", "import perlhf", path=(copy,))[1])
    assert f"'agents' is damaged: {copy}/agents/__init__.py is missing" in line
    assert "Reinstall perlhf" in line


@pytest.mark.parametrize("file", ["envs/__init__.py", "envs.py"])
def test_a_folder_or_file_beside_the_script_is_named(tmp_path, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    (tmp_path / "script.py").write_text("import perlhf; print('imported')")
    stdout, stderr = python("script.py", cwd=tmp_path)
    package = tmp_path / file.split("/")[0]
    assert (stdout, last_line(stderr)) == (
        "",
        f"ImportError: perlhf's package 'envs' is out of reach: Python finds {tmp_path / file} first. "
        f"Rename {package}, or run Python from another folder.",
    )


def test_a_folder_without_init_hides_an_editable_install_and_no_other(tmp_path):
    """Python takes such a folder before what a finder of a `.pth` file would give, and after any real package."""
    (tmp_path / "envs").mkdir()
    editable = f"""
import sys
from importlib.machinery import PathFinder
from importlib.util import spec_from_file_location

class Editable:
    def find_spec(name, path=None, target=None):
        if name in {FLOORS}:
            folder = f"{ROOT}/{{name}}"
            return spec_from_file_location(name, folder + "/__init__.py", submodule_search_locations=[folder])

sys.meta_path.insert(sys.meta_path.index(PathFinder) + 1, Editable)
import perlhf
print("imported")
"""
    stdout, stderr = python("-c", editable, path=(), cwd=tmp_path)
    assert stdout == ""
    assert last_line(stderr).endswith(f"Python finds {tmp_path}/envs first. Rename {tmp_path}/envs, or run Python from "
                                      "another folder.")  # fmt: skip
    assert python("-c", editable, path=())[0] == "imported\n"
    assert python("-c", "import perlhf; print('imported')", cwd=tmp_path)[0] == "imported\n"

    (tmp_path / "envs").rename(tmp_path / "recipes")  # as a task of one's own may have beside it
    found = editable + "from agents.setup import RECIPES\nprint(RECIPES)\n"
    assert python("-c", found, path=(), cwd=tmp_path)[0] == f"imported\n{ROOT}/recipes\n"


def test_an_import_may_be_tried(tmp_path):
    code = "try:\n    import perlhf\nexcept ImportError as error:\n    print(error.name)"
    assert python("-c", code, path=(install_stand_in(tmp_path), ROOT))[0] == "agents\n"


def test_what_is_no_clash_is_let_pass(tmp_path):
    """A folder of the same name inside of a project; a mock; our own code in a zip file."""
    (tmp_path / "project" / "agents").mkdir(parents=True)
    (tmp_path / "project" / "agents" / "__init__.py").write_text("")
    imported = "import project.agents, perlhf; print('imported')"
    assert python("-c", imported, path=(tmp_path, ROOT))[0] == "imported\n"

    mocked = "import sys, types; sys.modules['agents'] = types.ModuleType('agents'); import perlhf; print('imported')"
    assert python("-c", mocked)[0] == "imported\n"

    archive = tmp_path / "perlhf.zip"
    with zipfile.ZipFile(archive, "w") as written:
        for path in (p for package in FLOORS for p in (ROOT / package).glob("*.py")):
            written.write(path, path.relative_to(ROOT))
    code = "import perlhf; print(perlhf.__file__)"
    assert python("-c", code, path=(archive,))[0] == f"{archive}/perlhf/__init__.py\n"


def test_a_type_checker_reads_our_annotations_and_the_citation_names_this_version():
    for package in FLOORS:
        assert (ROOT / package / "py.typed").is_file()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == perlhf.__version__
    assert len(citation["references"][0]["authors"]) == 19
