"""Which package may import which, what none of them may call, and which are packaged."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "perlhf": set(),
    "recipes": set(),  # data; nothing imports it
    "envs": {"perlhf"},
    "backbones": {"perlhf"},
    "rewards": {"perlhf", "envs", "backbones"},
    "agents": {"perlhf", "envs", "backbones", "rewards"},
    "evaluation": {"perlhf", "envs", "backbones", "rewards", "agents"},
    "integrations": {"perlhf", "envs", "backbones", "rewards", "agents", "evaluation"},
}
FRONT_DOOR = ROOT / "perlhf" / "__init__.py"  # registers the envs: the one file that imports from a floor above it
FILES = sorted(path for package in ALLOWED for path in (ROOT / package).rglob("*.py"))

# What can run code out of data, or a shell.
FORBIDDEN_MODULES = {
    "_pickle", "cPickle", "cloudpickle", "code", "codeop", "commands", "dill", "imp", "joblib", "jsonpickle",
    "marshal", "pickle", "pty", "shelve", "subprocess", "runpy",
}  # fmt: skip
FORBIDDEN_CALLS = {
    "__import__", "compile", "eval", "exec", "importlib.import_module", "importlib.util.spec_from_file_location",
    "numpy.load", "os.popen", "os.startfile", "os.system", "pandas.read_pickle", "shutil.unpack_archive",
    "torch.hub.load", "torch.jit.load", "torch.load", "torch.save", "asyncio.create_subprocess_shell",
}  # fmt: skip
FORBIDDEN_METHODS = {"extractall", "extract"}  # of archives: their names may lead anywhere
SAFE_OF_YAML = {"yaml.safe_load", "yaml.safe_dump", "yaml.compose"}  # the last with yaml.SafeLoader, and it makes nodes
# Who may nonetheless, and why.
EXCEPTIONS = {
    "perlhf/reproducible.py": {"os.execve"},  # the very command that is running, with other variables
    "perlhf/cli.py": {"runpy"},  # the command of `perlhf COMMAND`, out of a table in that file
    "perlhf/lazy.py": {"importlib.import_module"},  # our own modules, out of a table of each package
    "envs/entry_points.py": {"importlib.import_module"},  # what was asked for: perlhf.allowed_code
    "evaluation/reproduce/cached_runs.py": {"subprocess"},  # our own commands, as lists of words without a shell
}


def nodes(tree):
    """All nodes but those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and dotted(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in node.orelse:
                yield other
                yield from nodes(other)
            continue
        yield node
        yield from nodes(node)


def dotted(node):
    """ "a.b.c" of a name or an attribute, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def imports(tree, package=""):
    """Full names of all that is imported: modules, and the names taken from them."""
    found = set()
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            found |= {source} | {f"{source}.{alias.name}" for alias in node.names}
    return found


def calls(tree):
    """What is called by name, with `from torch import load` and `import torch as t` undone."""
    real = {}
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            real |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            real |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in nodes(tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            first, dot, rest = name.partition(".")
            yield real.get(first, first) + dot + rest


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_name(path):
    return ".".join(path.relative_to(ROOT).parent.parts)


def is_command(tree):
    """Whether a module has an `if __name__ == "__main__":`."""
    return any(isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'" for node in tree.body)


COMMANDS = {module_name(path) for path in FILES if is_command(parse(path))}


def relative(path):
    return str(path.relative_to(ROOT))


every_file = pytest.mark.parametrize("path", FILES, ids=relative)
every_library_file = pytest.mark.parametrize("path", [p for p in FILES if module_name(p) not in COMMANDS], ids=relative)


def ours(tree, package):
    return {name for name in imports(tree, package) if name.split(".")[0] in ALLOWED}


@every_library_file
def test_a_module_imports_only_the_floors_below_it(path):
    floor = path.relative_to(ROOT).parts[0]
    above = {"envs"} if path == FRONT_DOOR else set()
    imported = {name.split(".")[0] for name in ours(parse(path), package_name(path))}
    assert not imported - ALLOWED[floor] - {floor} - above


@every_file
def test_no_module_imports_a_command(path):
    assert not ours(parse(path), package_name(path)) & COMMANDS


def test_the_commands_are_known():
    assert {"agents.train_ppo", "rewards.train_reward_model", "evaluation.evaluate"} <= COMMANDS
    assert {name for name in COMMANDS if name.split(".")[0] in ("perlhf", "envs", "backbones")} == {
        "envs.uinav.play",
        "envs.uinav.tell",
        "perlhf.__main__",
    }


def folders_below(folder):
    """The other folders that the files of a folder import from; commands stand on the roof and count for none."""
    modules = {module_name(path) for path in FILES}
    found = set()
    for path in FILES:
        if package_name(path) != folder or module_name(path) in COMMANDS or path == FRONT_DOOR:
            continue
        for name in ours(parse(path), package_name(path)):
            while name not in modules:
                name = name.rpartition(".")[0]
            found.add(name if (ROOT / Path(*name.split("."))).is_dir() else name.rpartition(".")[0])
    return found - {folder}


def test_folders_import_each_other_in_no_circle():
    left = {folder: folders_below(folder) for folder in {package_name(path) for path in FILES}}
    assert left["backbones.shortcuts"] == {"backbones.model", "perlhf"}  # so that the rule sees what there is
    while left:
        ground = [folder for folder, below in left.items() if not below & set(left)]
        assert ground, f"a circle among {sorted(left)}"
        for folder in ground:
            del left[folder]


def dangers(tree, package=""):
    """The names of what can run code out of data or a shell, as far as the source shows it."""
    modules = {name.split(".")[0] for name in imports(tree, package)} & FORBIDDEN_MODULES
    called = set(calls(tree))
    called |= {name.replace("np.", "numpy.", 1) for name in called if name.startswith("np.")}
    spawned = {name for name in called if re.match(r"os\.(exec|spawn|posix_spawn)", name)}
    of_yaml = {name for name in called if name.startswith("yaml.") and name.split(".")[1].islower()} - SAFE_OF_YAML
    keywords = {f"{k.arg}=" for k in ast.walk(tree) if isinstance(k, ast.keyword) and is_danger(k)}
    methods = {node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and is_method(node)}
    return modules | called & FORBIDDEN_CALLS | spawned | of_yaml | keywords | methods & FORBIDDEN_METHODS


def is_danger(keyword):
    """`shell=` of anything, `allow_pickle=` unless it is False, and a loader of YAML's that is not the safe one."""
    if keyword.arg == "allow_pickle":
        return not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
    return keyword.arg == "shell" or (keyword.arg == "Loader" and dotted(keyword.value) != "yaml.SafeLoader")


def is_method(call):
    return isinstance(call.func, ast.Attribute)


@every_file
def test_nothing_can_run_code_out_of_a_file(path):
    assert dangers(parse(path), package_name(path)) == EXCEPTIONS.get(relative(path), set())


# The arguments with which transformers runs nothing that lies beside a model.
SAFE_LOADING = {"safe_config", "_safe_loading"}


@every_file
def test_whatever_is_loaded_by_transformers_trusts_no_code(path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call) and is_method(node) and node.func.attr == "from_pretrained":
            given = {dotted(k.value.func) for k in node.keywords if k.arg is None and isinstance(k.value, ast.Call)}
            assert given & SAFE_LOADING or dotted(node.func) == "PeftModel.from_pretrained"  # which has no such option


@every_file
def test_remote_code_is_never_trusted(path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False


def test_the_rules_above_see_what_they_forbid():
    def tree(*lines):
        return ast.parse("\n".join(lines))

    inside = tree("def f():", "    from agents import ppo", "    import pickle")
    assert imports(inside) == {"agents", "agents.ppo", "pickle"}
    assert imports(tree("from . import core", "from ..hh.reader import read_hh"), "envs.corpora") == {
        "envs.corpora",
        "envs.corpora.core",
        "envs.hh.reader",
        "envs.hh.reader.read_hh",
    }
    checked = tree(
        "from typing import TYPE_CHECKING", "if TYPE_CHECKING:", "    import agents", "else:", "    import envs"
    )
    assert imports(checked) == {"typing", "typing.TYPE_CHECKING", "envs"}
    lines = (
        "import os, subprocess as s", "from importlib import import_module as i", "s.run('x', shell=True)", "i('x')",
        "os.system('x')", "os.execv('x')", "archive.extractall()", "np.load(x, allow_pickle=True)", "yaml.load(x)",
        "yaml.compose(x, Loader=yaml.Loader)", "yaml.safe_load(x)", "re.compile(x)", "npy.read(x, allow_pickle=False)",
    )  # fmt: skip
    assert dangers(tree(*lines)) == {
        "subprocess", "shell=", "importlib.import_module", "os.system", "os.execv", "extractall", "numpy.load",
        "allow_pickle=", "yaml.load", "Loader=",
    }  # fmt: skip
    hidden = tree("import torch as t", "from yaml import load as l", "t.load(1)", "l(2)", "x.eval()", "eval('3')")
    assert set(calls(hidden)) == {"torch.load", "yaml.load", "x.eval", "eval"}
    assert is_command(tree("if __name__ == '__main__':", "    pass"))
    assert not is_command(tree("x = 1"))


def test_every_package_is_listed_for_setuptools():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = project["tool"]["setuptools"]["packages"]
    assert len(listed) == len(set(listed))
    present = {package_name(path) for path in FILES if path.name == "__init__.py"}
    assert set(listed) == present
    assert not {package_name(path) for path in FILES} - present, "a folder of modules without __init__.py"
    assert "tests" not in listed


def test_the_tests_are_flat_and_no_package():
    tests = ROOT / "tests"
    assert not (tests / "__init__.py").exists()
    assert {path.parent for path in tests.rglob("test_*.py")} <= {tests, tests / "extras"}
    names = [path.name for path in tests.rglob("*.py")]
    assert len(names) == len(set(names))  # with no packages a name is a module's, wherever the file lies


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "extras").glob("test_*.py")), ids=relative)
def test_what_needs_packages_of_others_is_marked_and_skipped_without_them(path):
    text = path.read_text(encoding="utf-8")
    assert "\npytestmark = pytest.mark.extras\n" in text
    assert "pytest.importorskip(" in text


# The algorithm is short enough to be read in one sitting.

# A turn's way from the prompt to PPO's gradient: whole files, and of others the definitions on that way.
PATH_OF_A_TURN = {
    "agents/rollout.py": None,
    "agents/algorithms/ppo.py": {"advantages", "policy_loss", "value_loss"},
    "agents/algorithms/functional.py": {
        "masked_mean", "kl_k1", "token_rewards", "gae", "chain_gae", "normalize", "policy_loss", "value_loss",
        "approx_kl",
    },
    "agents/ppo.py": {"score_settings", "collect_rollouts", "train", "learned_from", "backward"},
    "agents/policy.py": {
        "encode", "sample", "batch", "shares_states", "log_probs_and_entropy", "values", "log_probs_and_values",
        "trained_roles", "outputs", "_read_values", "predict_values",
    },
}  # fmt: skip


def test_the_path_from_collecting_to_the_loss_is_read_in_one_sitting():
    lines = 0
    for name, wanted in PATH_OF_A_TURN.items():
        if wanted is None:
            lines += len((ROOT / name).read_text(encoding="utf-8").splitlines())
            continue
        found = [n for n in ast.walk(parse(ROOT / name)) if isinstance(n, ast.FunctionDef) and n.name in wanted]
        assert {node.name for node in found} == wanted
        lines += sum(node.end_lineno - node.lineno + 1 for node in found)
    assert len(PATH_OF_A_TURN) <= 5
    assert lines < 500


# Tests use public names, so that what is inside can be rewritten without them.

# Private to look at, public by what their owners document.
NOT_OURS = {
    "_replace", "_asdict", "_fields", "_make",  # of every NamedTuple
    "_exit",  # os._exit, a kill without goodbye
    "_cdata",  # of a storage of torch: the only name of one piece of memory
    "_add_info",  # of Gymnasium's vector envs, which ours stands for
    "_forward_hooks", "_forward_pre_hooks",  # of a torch module: what was left hanging on it
}  # fmt: skip


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name != "_" and name not in NOT_OURS


def private_names(tree):
    """Private names that are imported, read off anything but `self`, or given as a word to setattr and its like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and dotted(node.value) not in ("self", "cls") and is_private(node.attr):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from filter(is_private, [*(node.module or "").split("."), *(alias.name for alias in node.names)])
        elif isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in ("setattr", "delattr", "getattr"):
            words = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            yield from filter(is_private, [part for word in words[:1] for part in word.split(".")])


# The pretend device stands where torch's own devices do, below its public names.
OF_TORCH = {ROOT / "tests" / "pretend_device.py"}


@pytest.mark.parametrize("path", sorted({*(ROOT / "tests").rglob("*.py")} - OF_TORCH), ids=relative)
def test_no_test_uses_a_private_name(path):
    found = set(private_names(parse(path)))
    assert not found


def test_private_names_are_seen():
    def found(line):
        return list(private_names(ast.parse(line)))

    assert found("from agents.ppo import PPO, _vectorized") == ["_vectorized"]
    assert found("model._update(1)") == ["_update"]
    assert found("monkeypatch.setattr(model, '_update', None)") == ["_update"]
    assert found("monkeypatch.setattr('agents.ppo._vectorized', None)") == ["_vectorized"]
    assert found("for _, x in pairs: self._x = x.__class__; row._replace(a='_b')") == []


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_what_answers_yes_or_no_says_that_it_returns_whether(path):
    functions = [node for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef) and node.returns]
    said = {f.name: ast.get_docstring(f) or "" for f in functions if ast.unparse(f.returns) == "bool"}
    assert not [name for name, text in said.items() if text.startswith("Returns ") and text.split()[1] != "whether"]
