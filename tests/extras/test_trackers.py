"""The trackers with the installed packages, offline: a run, killed and resumed, is one run with each row once."""

import json
import shutil
import struct
from pathlib import Path

import pytest
import toy_tasks  # noqa: F401 - on the path, for its reward
from tiny_models import gemma

from agents.train_ppo import Options, read_options, train
from perlhf.run_folder import read_json

pytestmark = pytest.mark.extras
STEPS = [4, 8, 12, 16]


def run_and_resume(root, tracker):
    """Trains with a tracker, goes back to the checkpoint at 8 turns, and resumes to 16; returns the run folder."""
    gemma(root / "backbone")
    run = root / "run"
    train(Options(
        backbone=str(root / "backbone"), output_dir=str(run), n_envs=4, batch_size=2, max_new_tokens=6,
        total_timesteps=12, checkpoint_every=1, eval_prompts=0, log_formats=tracker, reward="toy_tasks:letters",
        schedule="constant",  # so that more turns leave the rows of before as they are
    ))  # fmt: skip
    shutil.rmtree(run / "checkpoints" / "step-12")  # as if it had been killed before that was there
    train(read_options(["--resume", str(run), "--total-timesteps", "16"]))
    return run


def scores_of(run):
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return {row["step"]: row["rollout/score"] for row in rows}


def test_mlflow_has_one_run_with_each_row_once(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_tracking_uri(None)
    monkeypatch.chdir(tmp_path)
    run = run_and_resume(tmp_path, "mlflow")
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("perlhf")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_id == read_json(run / "trackers.json")["mlflow"]["id"]
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert found.data.params["max_new_tokens"] == "6"
    history = client.get_metric_history(found.info.run_id, "rollout/score")
    assert {metric.step: metric.value for metric in history} == scores_of(run)
    assert sorted(metric.step for metric in history) == STEPS
    summary = client.download_artifacts(found.info.run_id, "summary.json")
    assert json.loads(Path(summary).read_text())["turns"] == 16


def test_trackio_has_one_run_with_each_row_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    run = run_and_resume(tmp_path, "trackio")
    (name,) = SQLiteStorage.get_runs("perlhf")
    assert name == f"run-{read_json(run / 'trackers.json')['trackio']['id']}"
    rows = SQLiteStorage.get_logs("perlhf", name)
    scores = [(row["step"], row["rollout/score"]) for row in rows if "rollout/score" in row]
    assert sorted(scores) == sorted(scores_of(run).items())
    assert [row["summary/turns"] for row in rows if "summary/turns" in row] == [12, 16]
    assert SQLiteStorage.get_run_config("perlhf", name)["max_new_tokens"] == 6


def test_wandb_has_each_row_once_under_one_id(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = run_and_resume(tmp_path, "wandb")
    name = read_json(run / "trackers.json")["wandb"]["id"]
    files = sorted((run / "wandb").glob(f"offline-run-*/run-{name}.wandb"))
    assert len(files) == 2
    rows, configs, summaries = {}, [], []
    for file in files:
        for record in records_of(file.read_bytes()):
            if record.HasField("history"):
                values = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
                assert rows.setdefault(int(values["_step"]), values) is values  # none twice
            elif record.HasField("run"):
                assert (record.run.run_id, record.run.display_name, record.run.project) == (name, "run", "perlhf")
                configs.append({item.key: item.value_json for item in record.run.config.update})
            elif record.HasField("summary"):
                summaries += [(item.key, item.value_json) for item in record.summary.update]
    assert {step: float(values["rollout/score"]) for step, values in rows.items()} == scores_of(run)
    assert configs[0]["max_new_tokens"] == "6"
    assert [value for key, value in summaries if key == "turns"] == ["12", "16"]
    assert not any("WANDB_API_KEY" in path.read_text(errors="replace") for path in run.glob("*.*"))


def records_of(data):
    """The records of a .wandb file: LevelDB's log format in blocks of 32 KiB, behind a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    place, whole = 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # all of a record, or its last part
            yield Record.FromString(whole)
            whole = b""
