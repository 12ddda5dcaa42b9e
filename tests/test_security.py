"""What a file cannot do: lead out of its folder, make a connection, or get hold of a secret. See SECURITY.md."""

import contextlib
import io
import json
import re
import shutil
import socket
import sys
from pathlib import Path

import pytest
from command_modules import command_module
from safetensors.torch import load_file, save_file

from backbones.backbone import Backbone
from backbones.model.loading import SHIPPED
from backbones.roles import LoRASettings, load_role
from perlhf.errors import UserError
from perlhf.run_folder import read_run_config, write_json, write_text
from perlhf.sealed_folder import SealError, sealed, verify

ROOT = Path(__file__).parents[1]
SECRETS = {
    "HF_TOKEN": "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345", "OPENAI_API_KEY": "sk-proj-nobody-reads-this-0001",
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567", "PERLHF_JUDGE_KEY": "judge-nobody-reads-this-0002",
    "PERLHF_AGENT_KEY": "agent-nobody-reads-this-0003", "VLLM_API_KEY": "vllm-nobody-reads-this-0004",
    "MLFLOW_TRACKING_PASSWORD": "mlflow-nobody-reads-this-0005", "AWS_SECRET_ACCESS_KEY": "aws-nobody-reads-this-06",
}  # fmt: skip


def blocked(patch):
    """Lets no socket reach a network; returns the list of what was tried."""
    tried = []

    def refuse(*arguments, **_):
        if not (isinstance(arguments[0], socket.socket) and arguments[0].family == socket.AF_UNIX):
            tried.append(arguments)
            raise OSError("blocked")

    for name in ("connect", "connect_ex", "sendto"):
        patch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname"):
        patch.setattr(socket, name, refuse)
    return tried


def test_the_block_sees_what_it_forbids():
    with pytest.MonkeyPatch.context() as patch:
        tried = blocked(patch)
        with pytest.raises(OSError, match="blocked"):
            socket.create_connection(("localhost", 80))
        with socket.socket() as one, pytest.raises(OSError, match="blocked"):
            one.connect(("127.0.0.1", 80))
    assert len(tried) == 2


def call(patch, module, *words):
    patch.setattr(sys, "argv", [module, *map(str, words)])
    command_module(module).main()


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    """A run, its evaluation and an agent's, on a model's folder, with secrets around and no network.

    Gives the folder of all of it, what was printed, and what the network was asked for.
    """
    place = tmp_path_factory.mktemp("all")
    shutil.copytree(SHIPPED["tiny"], place / "model")
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        tried = blocked(patch)
        small = "--n-envs 4 --batch-size 4 --max-new-tokens 6 --eval-prompts 4 --checkpoint-every 1".split()
        model = ["--backbone", place / "model"]
        call(patch, "agents.train_ppo", "HH-v0", *model, *small, "--total-timesteps", 4, "--output-dir", place / "run")
        call(patch, "agents.train_ppo", "--resume", place / "run", "--total-timesteps", 8)
        few = "--prompts 4 --validation-prompts 4 --samples 0".split()
        call(patch, "evaluation.evaluate", place / "run", *few)
        words = "--agent random --episodes 2 --templates star_email".split()
        call(patch, "evaluation.eval_agent", "UINav-v0", *words, "--output-dir", place / "agent")
    return place, said.getvalue(), tried


def test_what_is_on_the_disk_makes_no_connection(worked):
    place, _, tried = worked
    assert tried == []
    assert (place / "run" / "evaluation.json").is_file()
    assert (place / "agent" / "explorer.html").is_file()


def test_no_secret_is_written_or_printed(worked):
    place, said, _ = worked
    files = [path for path in place.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"config.yaml", "metrics.jsonl", "summary.json", "state.json", "README.md", "results.json"} <= names
    for name, secret in SECRETS.items():
        assert secret not in said
        assert [path for path in files if secret.encode() in path.read_bytes()] == [], name


def test_the_page_names_tests_that_there_are():
    named = set(re.findall(r"`(tests/\w+\.py)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    assert len(named) > 4
    assert {name for name in named if not (ROOT / name).is_file()} == set()


# Paths.


def test_names_of_tensors_are_no_paths(tmp_path):
    backbone = Backbone.load("tiny")
    backbone.add_role("policy", LoRASettings(2)).save(tmp_path / "inside" / "adapter")
    file = tmp_path / "inside" / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    one = next(iter(tensors.values())).clone()
    save_file({**tensors, "../../../escaped": one, str(tmp_path / "absolute"): one.clone()}, file)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UserError) as caught:
        load_role(tmp_path / "inside" / "adapter", "again", False, backbone)
    assert "\n" not in str(caught.value)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", ["dots", "absolute", "link"])
def test_a_manifest_vouches_for_nothing_outside_of_its_folder(tmp_path, kind):
    (tmp_path / "secret").write_text("secret")
    with sealed(tmp_path / "step-1", 1, "checkpoint") as part:
        (part / "state.json").write_text("secret")
    manifest = tmp_path / "step-1" / "manifest.json"
    found = json.loads(manifest.read_text())
    if kind == "link":  # a manifest that tells the truth of what the link leads to, but for one byte
        (tmp_path / "secret").write_text("Secret")
        (tmp_path / "step-1" / "state.json").unlink()
        (tmp_path / "step-1" / "state.json").symlink_to(tmp_path / "secret")
    else:
        name = "../secret" if kind == "dots" else str(tmp_path / "secret")
        found["files"][name] = found["files"]["state.json"]
        write_json(manifest, found)
    with pytest.raises(SealError, match="is missing or altered"):
        verify(tmp_path / "step-1", 1, "checkpoint")


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text("env: HH-v0\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("mine\n")
    return folder


@pytest.mark.parametrize("name", ["metrics.jsonl", "policy", "checkpoints/step-4", "summary.json"])
@pytest.mark.parametrize("relative", [True, False])
def test_a_run_folder_with_a_link_that_leads_out_is_refused(run, name, relative):
    target = "outside" if name in ("policy", "checkpoints/step-4") else "outside/file"
    up = "../" * (1 + name.count("/"))
    (run / name).symlink_to(up + target if relative else run.parent / target)
    with pytest.raises(UserError) as caught:
        read_run_config(run)
    assert str(caught.value).startswith(f"{run / name} is a link that leads out of the run folder; ")


def test_links_inside_of_a_run_folder_and_to_it_are_taken(run):
    (run / "metrics.jsonl").touch()
    (run / "latest.jsonl").symlink_to("metrics.jsonl")
    (run.parent / "mine").symlink_to(run)
    assert read_run_config(run) == read_run_config(run.parent / "mine") == {"env": "HH-v0"}


def test_a_link_to_itself_in_a_run_folder_leads_nowhere(run):
    (run / "circle").symlink_to("circle")
    assert read_run_config(run)


def test_a_file_is_written_in_the_place_of_a_link_and_not_through_it(run):
    (run / "summary.json").symlink_to(run.parent / "outside" / "file")
    write_text(run / "summary.json", "ours\n")
    assert (run.parent / "outside" / "file").read_text() == "mine\n"
    assert (run / "summary.json").read_text() == "ours\n"
