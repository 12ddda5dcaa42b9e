"""Verdicts of policies on the same episodes: kept by a command, paired by hand-worked numbers, and UINav-v0's table."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import evaluation.reproduce.cached_runs
import evaluation.reproduce.ui_groups as ui_groups
from agents.setup import Setup
from agents.train_ppo import read_options, train
from backbones.backbone import Backbone
from envs.uinav.task import UINav
from evaluation import verdicts
from evaluation.evaluator import Evaluator
from evaluation.paired import ALL, describe_verdicts, paired
from evaluation.reproduce.cached_runs import weights_of
from evaluation.reproduce.ui_groups import group_rows, groups_table
from perlhf.errors import UserError
from perlhf.run_folder import read_summary


def of(greedy, **more):
    groups = [["read_note", "seen templates", "few demonstrations"]] * 2 + [["pin_note", "unseen templates"]] * 2
    return {"split": "test", "success_at": 1.0, "groups": groups, "greedy": greedy, **more}


SFT = of([1, 0, 0, 0], best=[1, 0, 1, 0], sft_temperature={"temperature": 0.5})


def test_policies_are_held_against_sft_at_its_best_episode_by_episode():
    found = paired(SFT, [of([1, 1, 1, 0]), of([0, 1, 1, 0])])
    assert list(found) == [ALL, "read_note", "pin_note", "seen templates", "unseen templates", "few demonstrations"]
    assert found[ALL]["greedy"]["mean"] == 0.25
    assert found[ALL]["best"]["mean"] == 0.5
    assert found[ALL]["policy"]["mean"] == (0.5 + 1 + 1 + 0) / 4
    assert found[ALL]["by_policy"] == [0.25, 0.0]
    assert found["seen templates"]["gain"]["mean"] == (-0.5 + 1) / 2
    assert found["seen templates"]["gain"]["n"] == 2
    assert found["unseen templates"]["gain"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 2}
    assert all("pass_at" not in group for group in found.values())


def test_tries_are_of_the_first_episodes_and_their_groups_alone():
    sft = {**SFT, "sampled": [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0.5, 0, 0]]}  # a half is no success
    one, other = of([1, 1, 1, 0], sampled=[[1, 1, 0, 0], [1, 0, 0, 0], [0] * 4]), of([0] * 4, sampled=[[0] * 4] * 3)
    found = paired(sft, [one, other])
    assert list(found[ALL]["pass_at"]["gain"]) == ["1", "4"]
    assert found[ALL]["pass_at"]["sft"]["1"]["mean"] == pytest.approx(0.25 / 3)
    assert found[ALL]["pass_at"]["policy"]["1"]["mean"] == pytest.approx((0.5 + 0.25) / 3 / 2)
    assert found[ALL]["pass_at"]["policy"]["4"]["mean"] == pytest.approx(2 / 3 / 2)
    assert found["seen templates"]["pass_at"]["gain"]["4"]["mean"] == pytest.approx(1 / 2 - 1 / 2)
    assert found["unseen templates"]["pass_at"]["sft"]["4"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 1}
    only_first = paired({**sft, "sampled": sft["sampled"][:2]}, [{**one, "sampled": one["sampled"][:2]}])
    assert "pass_at" not in only_first["unseen templates"]


@pytest.mark.parametrize(
    "other",
    [of([1, 1]), {**of([1] * 4), "split": "validation"}, {**of([1] * 4), "groups": [["a"]] * 4}],
)
def test_verdicts_on_other_episodes_are_refused(other):
    other["groups"] = other["groups"][: len(other["greedy"])]
    with pytest.raises(UserError, match=r"different episodes; .* the same split, prompts and samples"):
        paired(SFT, [other])


PLAYED = {"env": "perlhf/UINav-v0", "env_options": "", "data": "miniature", "columns": "", "max_new_tokens": 48}


@pytest.mark.parametrize(
    ("key", "value"),
    [("env", "perlhf/HH-v0"), ("env_options", "lenient=true"), ("data", "x.jsonl"), ("columns", "a=b"),
     ("max_new_tokens", 8), ("success_at", None), ("temperature", 1.0)],
)  # fmt: skip
def test_verdicts_that_were_played_otherwise_are_refused_and_what_differs_is_named(key, value):
    sampled = {**PLAYED, "sampled": [[1, 0]], "temperature": 0.7}
    sft, policy = {**SFT, **sampled}, {**of([1] * 4), **sampled}
    assert paired(sft, [policy])[ALL]["gain"]["mean"] == 0.5
    with pytest.raises(UserError, match=f"these differ: (samples and their )?{key} ") as refused:
        paired(sft, [{**policy, key: value}])
    assert "\n" not in str(refused.value)


def test_verdicts_in_words():
    assert describe_verdicts({**SFT, "sampled": [[1, 0]], "temperature": 0.7}).split("\n") == [
        "4 episodes of test",
        "  greedy 0.250 [0.000, 0.750]",
        "  at its best, T = 0.5: 0.500 [0.000, 1.000]",
        "  pass@1 at T = 0.7, 1 episodes: 0.500 [0.500, 0.500]",
    ]


def test_what_else_is_said_of_greedy_episodes_is_averaged_where_it_is_known():
    more = {"progress": [1, 0.5, 0, 0.5], "side_effects": [[], ["Mail: removed"], [], []], "answer_right": [None] * 4}
    assert describe_verdicts({**SFT, "greedy_verdicts": {**more, "steps_over_oracle": [2, None, None, None]}}).split(
        "\n"
    )[2:5] == [
        "    progress 0.500 [0.125, 0.875], of 4",
        "    side effects 0.250 [0.000, 0.750], of 4",
        "    steps over oracle 2.000 [2.000, 2.000], of 1",
    ]


def test_verdicts_without_a_success_in_words():
    assert describe_verdicts({**of([2.5, 0.5, 1, 0]), "success_at": None}).split("\n")[1].startswith("  greedy 1.000 [")


# The command and the table


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A policy of one update."""
    folder = tmp_path_factory.mktemp("runs") / "ppo"
    words = "UINav-v0 --algorithm ppo --group-size 1 --frontier 0 --total-timesteps 8 --n-envs 8 --batch-size 8"
    train(read_options([*words.split(), "--n-steps", "1", "--eval-prompts", "0", "--output-dir", str(folder)]))
    return folder


def played(run, folder, monkeypatch, *words):
    sizes = "--prompts 6 --sampled-prompts 2 --samples 2 --validation-prompts 2 --output-dir".split()
    monkeypatch.setattr("sys.argv", ["verdicts", str(run), *words, *sizes, str(folder)])
    verdicts.main()
    return read_summary(folder)


def test_the_command_keeps_the_verdict_on_each_episode_and_the_table_pairs_them(run, tmp_path, monkeypatch):
    sft = played(run, tmp_path / "sft", monkeypatch, "--sft")
    policy = played(run, tmp_path / "policy", monkeypatch)
    evaluator = Evaluator(UINav(split="test"), lambda turns: [0.0] * len(turns), 48, n=6)
    assert sft["greedy"] == evaluator.answer(Backbone.load("tiny-uinav").reference, 0.0).golds.tolist()
    assert sft["groups"] == policy["groups"] == [list(evaluator.task.groups(state)) for state in evaluator.states]
    assert np.shape(sft["sampled"]) == np.shape(policy["sampled"]) == (2, 2)
    assert set(sft["sft_temperature"]["by_temperature"]) == {"0", "0.2", "0.35", "0.5", "0.7", "1"}
    assert "best" not in policy
    assert {name: len(values) for name, values in policy["greedy_verdicts"].items()} == {
        "progress": 6, "false_completion": 6, "side_effects": 6, "steps_over_oracle": 6, "answer_right": 6,
        "attack_followed": 6,
    }  # fmt: skip
    assert [progress == 1 for progress in policy["greedy_verdicts"]["progress"]] == policy["greedy"]
    assert {key: policy[key] for key in PLAYED} == PLAYED
    rows = group_rows({"SFT": sft, "seed 0": policy, "seed 1": policy})
    gain = np.mean(policy["greedy"]) - np.mean(sft["best"])
    assert rows[2].startswith("| all episodes | 6 | ")
    assert rows[2].endswith(f" | {gain:+.3f}, {gain:+.3f} |")
    assert sum(line.startswith("| seed ") for line in rows) == 2
    templates = {groups[0] for groups in sft["groups"]}
    assert {line.split(" | ")[0].removeprefix("| ") for line in rows[-len(templates) :]} == templates


def test_an_env_of_others_whose_success_nobody_knows_is_played_greedily_alone():
    setup = Setup.of("foreign_envs:foreign/Letters-v0")
    options = verdicts.Options(sft=True, prompts=3, sampled_prompts=2, samples=2, validation_prompts=2)
    found = json.loads(json.dumps(verdicts.verdicts_of(setup.backbone.reference, setup, options, 2), allow_nan=False))
    assert found["success_at"] is None
    assert "sampled" not in found
    policy = {**found, "greedy": [2.0, 1.0, 0.0]}
    assert paired(found, [policy])[ALL]["gain"]["mean"] == pytest.approx(1 - np.mean(found["best"]))
    assert describe_verdicts(found).startswith("3 episodes of test\n  greedy ")


def test_sft_is_played_once_and_each_seeds_policy_when_it_is_trained(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(ui_groups, "finish", trained.append)
    table = groups_table(SimpleNamespace(output_dir=str(tmp_path), quick=False, seeds="0,1"))
    assert [run.words[:5] for run in trained] == [
        ["agents.train_ppo", "--env", "UINav-v0", "--seed", seed] for seed in ("0", "1")
    ]
    assert list(table.runs) == ["SFT", "seed 0", "seed 1"]
    sft, first, _ = table.runs.values()
    assert sft.words[:4] == ["evaluation.verdicts", "--run", str(trained[0].folder), "--sft"]
    assert first.words[:4] == ["evaluation.verdicts", "--run", str(trained[0].folder), "--prompts"]
    policy = trained[0].folder / "policy"
    policy.mkdir(parents=True)
    (policy / "adapter_model.safetensors").write_bytes(b"1")
    assert list(weights_of(first.words)) == ["policy/adapter_model.safetensors"]
    assert evaluation.reproduce.cached_runs.defaults_of(first.words) == {}


def test_a_task_without_a_judge_is_refused(run, monkeypatch, tmp_path):
    monkeypatch.setattr(UINav, "judge", lambda self, turn: None)
    with pytest.raises(UserError, match="no verdict on its episodes"):
        played(run, tmp_path / "none", monkeypatch)
