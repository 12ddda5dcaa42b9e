"""The evaluation's commands: what they take for done, what they write over, and what they refuse."""

import json
import shutil
import subprocess
from types import SimpleNamespace

import pytest
import yaml
from tiny_models import gemma

import agents.pretrain.__main__ as pretrain
import agents.setup
import evaluation.baselines.__main__ as baselines
import evaluation.evaluate
import evaluation.finished_run
import evaluation.reproduce.__main__ as reproduce
import evaluation.reproduce.cached_runs
from agents.setup import RECIPES, Setup
from backbones.roles import LoRASettings
from envs.corpora.records import LabelledRecord, Record
from envs.hh.task import HH
from envs.vqav2.task import VQAv2
from evaluation.baselines.__main__ import print_label_predictors, repeated
from evaluation.compare import KEYS, write_report
from evaluation.reproduce.__main__ import TEXT_TASKS, bundled_summaries, pass_table, tasks_table
from evaluation.reproduce.cached_runs import Run, bundled, clear, command, defaults_of, finish, weights_of
from evaluation.reproduce.tables import bundled_rows, common, kind_rows, variant_rows
from perlhf.errors import UserError
from perlhf.run_folder import read_summary, update_summary
from rewards import train_reward_model


def fault(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# reproduce


@pytest.fixture
def runs(monkeypatch):
    """Commands are not run but counted; each writes a summary that says how many there were before."""
    done = SimpleNamespace(words=[], markers=[], status=0)

    def fake(words, **kwargs):
        folder = words[words.index("--output-dir") + 1]
        with open(f"{folder}/reproduce.json") as file:
            done.markers.append(json.load(file))
        with open(f"{folder}/summary.json", "w") as file:
            json.dump({"number": len(done.words)}, file)
        done.words.append(words[2:])
        return SimpleNamespace(returncode=done.status)

    monkeypatch.setattr(subprocess, "run", fake)
    return done


def options(tmp_path, **more):
    return reproduce.Options(output_dir=str(tmp_path / "out"), **more)


def ppo(tmp_path, *words, **more):
    return command(options(tmp_path, **more), "ppo", "agents.train_ppo", "--env", "HH-v0", *words)


def test_a_finished_run_is_taken_as_it_is(tmp_path, runs):
    assert finish(ppo(tmp_path)) == finish(ppo(tmp_path)) == {"number": 0}
    assert len(runs.words) == 1
    marker = json.loads((tmp_path / "out" / "ppo" / "reproduce.json").read_text())
    assert marker["finished"] is True
    assert marker["command"] == runs.words[0]
    assert set(marker["weights"]) == {"tiny/model.safetensors", "hh/adapter_model.safetensors", "hh/perlhf.json"}
    assert all(len(sha256) == 64 for sha256 in marker["weights"].values())
    assert runs.markers == [{**marker, "finished": False}]  # written before the command began


def test_a_run_of_other_words_or_other_weights_starts_over(tmp_path, runs, monkeypatch):
    finish(ppo(tmp_path))
    (tmp_path / "out" / "ppo" / "old").touch()
    assert finish(ppo(tmp_path, "--seed", 1)) == {"number": 1}
    assert not (tmp_path / "out" / "ppo" / "old").exists()
    monkeypatch.setattr(
        evaluation.reproduce.cached_runs, "weights_of", lambda words: {"tiny/model.safetensors": "other"}
    )
    assert finish(ppo(tmp_path, "--seed", 1)) == {"number": 2}


def test_a_run_of_other_defaults_starts_over(tmp_path, runs, monkeypatch):
    vqa = command(options(tmp_path), "ppo", "agents.train_ppo", "--env", "VQAv2-v0", "--reward", "bundled")
    assert finish(vqa) == finish(vqa) == {"number": 0}
    shutil.copytree(RECIPES, tmp_path / "recipes")
    monkeypatch.setattr(agents.setup, "RECIPES", tmp_path / "recipes")
    assert finish(vqa) == {"number": 0}
    with open(tmp_path / "recipes" / "ppo" / "VQAv2-v0.yaml", "a") as file:
        file.write("vf_coef: 0.05\n")
    assert finish(vqa) == {"number": 1}
    monkeypatch.setattr(VQAv2, "trained_reward", [{"reward": "rewards.bundled:vqav2", "weight": 0.5}])
    assert finish(vqa) == {"number": 2}


HH_MODEL, SHP_MODEL = "rewards.bundled:hh", "rewards.bundled:shp"


@pytest.mark.parametrize(
    ("reward", "folders"),
    [
        ("bundled", ["hh"]),
        ("gold", []),
        ({"reward": "bundled"}, ["hh"]),
        (f"min(bundled, mean({SHP_MODEL}, gold))", ["hh", "shp"]),
        ({"ensemble": "uncertainty", "members": [HH_MODEL, [{"reward": SHP_MODEL, "weight": 2}]]}, ["hh", "shp"]),
        ([{"reward": f"min({HH_MODEL}, gold)", "weight": 2}, {"reward": SHP_MODEL}], ["hh", "shp"]),
        ([{"ensemble": "min", "members": ["gold", SHP_MODEL], "weight": 2}], ["shp"]),
    ],
)
def test_the_bundled_models_of_a_reward_are_found_in_any_form(tmp_path, reward, folders):
    file = tmp_path / "reward.yaml"
    file.write_text(json.dumps(reward))
    setup = Setup.of("HH-v0", reward=reward if isinstance(reward, str) else str(file))
    assert [folder.name for folder in bundled(setup)] == folders
    assert all(folder.is_dir() for folder in bundled(setup))


def test_an_evaluation_is_of_its_runs_policy(tmp_path, runs):
    run = ppo(tmp_path)
    finish(run)
    (run.folder / "policy").mkdir()
    (run.folder / "policy" / "adapter_model.safetensors").write_bytes(b"1")
    again = command(options(tmp_path), "pass", "evaluation.evaluate", "--run", run.folder)
    assert finish(again) == finish(again) == {"number": 1}
    assert list(runs.markers[1]["weights"]) == ["policy/adapter_model.safetensors"]
    (run.folder / "policy" / "adapter_model.safetensors").write_bytes(b"2")
    assert finish(again) == {"number": 2}


def test_a_run_that_failed_is_named_and_starts_over(tmp_path, runs):
    runs.status = 1
    message = fault(finish, ppo(tmp_path))
    assert "agents.train_ppo --env HH-v0" in message
    assert message.endswith(f"failed; see {tmp_path / 'out' / 'ppo.log'}.")
    runs.status = 0
    assert finish(ppo(tmp_path)) == {"number": 1}


def test_quick_runs_are_kept_apart(tmp_path, runs):
    finish(ppo(tmp_path, quick=True))
    assert (tmp_path / "out" / "quick" / "ppo" / "reproduce.json").exists()
    assert not (tmp_path / "out" / "ppo").exists()
    assert finish(ppo(tmp_path)) == {"number": 1}
    assert finish(ppo(tmp_path, quick=True)) == {"number": 0}


def test_a_folder_that_is_no_reproduction_is_refused_and_kept(tmp_path, runs):
    folder = tmp_path / "out" / "ppo"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("env: HH-v0\n")
    (folder / "finished").touch()
    assert fault(finish, ppo(tmp_path)).startswith(f"{folder} is not of a reproduction (no reproduce.json)")
    assert (folder / "config.yaml").read_text() == "env: HH-v0\n"
    assert runs.words == []


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "empty").mkdir()
    clear(tmp_path / "empty")
    clear(tmp_path / "none")


def test_the_weights_of_a_command_are_those_it_names_else_the_shipped_ones(tmp_path):
    for name, content in (("base", b"1"), ("reward", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(content)
    words = ["agents.train_ppo", "--env", "HH-v0", "--backbone", str(tmp_path / "base")]
    named = weights_of([*words, "--reward", str(tmp_path / "reward")])
    # sha256 of "1" and of "2"
    assert {name: sha256[:8] for name, sha256 in named.items()} == {
        "base/model.safetensors": "6b86b273",
        "reward/model.safetensors": "d4735e3a",
    }
    assert set(weights_of(["agents.train_sft", "--env", "HH-v0"])) == {"tiny/model.safetensors"}
    answers = ["rewards.train_reward_model", "--env", "VQAv2-v0"]
    assert defaults_of(answers)["training"][0]["score_limit"] == 5
    assert defaults_of([*answers, "--full"]) == {"training": []}  # the recipe is of an adapter
    on_success = ["agents.train_ppo", "--env", "UINav-v0"]  # by its recipe
    assert set(weights_of(on_success)) == {"tiny-uinav/model.safetensors"}
    assert "uinav/perlhf.json" in weights_of([*on_success, "--config", str(RECIPES / "ppo" / "UINav-v0-ppo.yaml")])


@pytest.mark.parametrize("task", list(TEXT_TASKS))
def test_every_text_task_stands_on_a_backbone_and_a_reward_model(task):
    weights = set(weights_of(["agents.train_ppo", *TEXT_TASKS[task]]))
    reward = {"BOLT": "tldr"}.get(task, task.lower().replace(" ", "_"))
    backbone = {"BOLT": "tldr"}.get(task, task.split()[0].lower())
    parts = (f"tiny-{backbone}/model.safetensors", f"{reward}/adapter_model.safetensors", f"{reward}/perlhf.json")
    assert weights == set(parts)


def test_the_runs_of_the_text_tasks(tmp_path):
    table = tasks_table(options(tmp_path, seeds="0,4"))
    assert list(table.runs)[:3] == ["TLDR, seed 0", "TLDR, seed 4", "BOLT, seed 0"]
    assert len({run.folder for run in table.runs.values()}) == 10
    words = table.runs["Taskmaster coffee, seed 4"].words
    started = "agents.train_ppo --env Taskmaster-v0 --env-options domain=coffee --eval-prompts 1000 --seed 4".split()
    assert words[: len(started)] == started
    assert "--eval-prompts" not in table.runs["SHP, seed 4"].words


def test_the_runs_of_pass_at_k_are_evaluated_when_they_are_trained(tmp_path, runs):
    table = pass_table(options(tmp_path, seeds="4"))
    assert [words[0] for words in runs.words] == ["agents.train_ppo"] * 8
    assert list(table.runs)[::7] == ["HH, seed 4", "VQAv2, seed 4"]
    folders = tmp_path / "out" / "ppo-4", tmp_path / "out" / "pass-ppo-4"
    words = f"evaluation.evaluate --run {folders[0]} --prompts 200 --samples 16 --show 0 --output-dir {folders[1]}"
    assert table.runs["HH, seed 4"] == Run(folders[1], words.split())


def test_groups_that_all_runs_have_keep_the_order_of_the_first():
    assert common({"b": 0, "seen": 1, "a": 2}, {"a": 0, "seen": 0}) == ["seen", "a"]
    assert common(["x"]) == ["x"]


def test_kinds_of_prompts_are_averaged_over_seeds():
    def run(before, after):
        groups = ({"seen": {"mean": 0.0}, "ask": {"mean": mean}} for mean in (before, after))
        return {
            side: {"groups": {"sampled": g, "greedy": g}} for side, g in zip(("sft", "policy"), groups, strict=True)
        }

    other = {side: {"groups": {"sampled": {"seen": {"mean": 0.0}}}} for side in ("sft", "policy")}
    rows = kind_rows({"A, seed 0": run(0.1, 0.5), "A, seed 1": run(0.3, 0.6), "B, seed 0": other})
    assert rows[2:] == ["| A: ask | 0.200 -> 0.550 | 0.200 -> 0.550 |"]


def test_the_table_of_bundled_reward_models_has_a_row_each():
    rows = bundled_rows(bundled_summaries())
    names = [row.split("|")[1].strip() for row in rows[2:]]
    assert names == ["hh", "shp", "taskmaster_coffee", "taskmaster_ticketing", "tldr", "uinav", "vqav2"]
    assert {len(row.split("|")) for row in rows} == {
        11
    }  # nine cells, and what stands before the first and after the last sign


def test_a_run_is_its_folder_and_its_words(tmp_path):
    run = ppo(tmp_path, "--seed", 3)
    folder = tmp_path / "out" / "ppo"
    words = ["agents.train_ppo", "--env", "HH-v0", "--seed", "3", "--output-dir", str(folder)]
    assert run == Run(folder, words)


# evaluate


def report(n, **more):
    return {"sft": {"n": n}, "policy": {"n": n}, "kl": 1.0, "samples": [], **more}


def test_a_report_leaves_nothing_of_the_one_before_and_keeps_the_rest(tmp_path):
    update_summary(tmp_path, seconds=9.0)
    write_report(tmp_path, report(20, best_of={"n": 16}, win_rate={"mean": 0.5}))
    write_report(tmp_path, report(20, kl=2.0))
    assert read_summary(tmp_path) == {"seconds": 9.0, "sft": {"n": 20}, "policy": {"n": 20}, "kl": 2.0}


def test_fewer_prompts_do_not_replace_more_and_it_says_so(tmp_path, capsys):
    replace = evaluation.evaluate.replace_report
    replace(tmp_path, report(20))
    replace(tmp_path, report(10, kl=5.0))
    expected = f"not written: {tmp_path} holds an evaluation on 20 prompts; --prompts 20 would replace it."
    assert expected in capsys.readouterr().out
    assert read_summary(tmp_path)["kl"] == 1.0
    assert json.loads((tmp_path / "evaluation.json").read_text())["policy"]["n"] == 20
    replace(tmp_path, report(20, kl=6.0))
    assert read_summary(tmp_path)["kl"] == 6.0


PPO_CONFIG = {
    "reward": "bundled", "env": "HH-v0", "env_options": "", "data": "miniature", "backbone": "tiny",
    "max_new_tokens": 64,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"env": "HH-v0", "policy_pairs": None}, "a run of rewards.train_reward_model (no 'reward' in config.yaml)"),
        ({"env": "HH-v0", "records": None}, "a run of agents.train_sft (no 'reward' in config.yaml)"),
        ({"reward": "gold"}, "no run of agents.train_ppo (no 'env' in config.yaml)"),
    ],
)
def test_another_commands_run_is_told_apart(tmp_path, config, kind):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    expected = f"{tmp_path} is {kind}; give a folder of agents.train_ppo."
    assert fault(evaluation.finished_run.ppo_config, tmp_path) == expected


def test_a_ppo_run_is_known(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(PPO_CONFIG))
    assert evaluation.finished_run.ppo_config(tmp_path) == PPO_CONFIG


def test_a_moved_backbone_and_reward_can_be_named(tmp_path, monkeypatch):
    backbone = gemma(tmp_path / "here")
    backbone.add_role("policy", LoRASettings(2)).save(tmp_path / "run" / "policy")
    config = {**PPO_CONFIG, "backbone": str(tmp_path / "gone"), "reward": str(tmp_path / "lost"), "max_new_tokens": 4}
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    words = ["evaluate", "--run", str(tmp_path / "run"), "--prompts", "2", "--validation-prompts", "2"]
    monkeypatch.setattr("sys.argv", words)
    assert "gone" in fault(evaluation.evaluate.main)
    monkeypatch.setattr("sys.argv", [*words, "--backbone", backbone.path])
    assert "lost" in fault(evaluation.evaluate.main)
    every, sampled = (
        set(KEYS) - {"calibration", "others"},
        {"best_of", "pass_at", "best_at"},
    )  # these answers are not short
    for samples, keys in (("1", every), ("0", every - sampled)):  # nothing of the first is left
        found = ["--backbone", backbone.path, "--reward", "gold", "--samples", samples]
        monkeypatch.setattr("sys.argv", [*words, *found])
        evaluation.evaluate.main()
        assert set(read_summary(tmp_path / "run")) == keys
    assert read_summary(tmp_path / "run")["policy"]["n"] == 2
    beside = [*words, "--backbone", backbone.path, "--reward", "gold", "--samples", "0", "--also-sft", backbone.path]
    monkeypatch.setattr("sys.argv", [*beside, "--output-dir", str(tmp_path / "elsewhere")])
    evaluation.evaluate.main()
    assert set(read_summary(tmp_path / "run")) == every - sampled  # as it was
    found = read_summary(tmp_path / "elsewhere")
    assert found["others"][backbone.path]["greedy"]["mean"] == found["sft"]["gold_greedy"]  # it is the same
    assert found["others"][backbone.path]["policy_less"]["mean"] == found["beyond_sharpening"]["mean"]


# baselines


def test_what_could_be_learned_by_heart_is_counted_by_group():
    train = [Record("p", "yes", "no", {}), Record("p", "maybe", "never", {})]
    test = [
        Record("q", "yes", "no", {"groups": ["seen"]}),
        Record("q", "never", "no", {"groups": ["seen"]}),  # only dispreferred in training
        Record("q", "new", "no", {"groups": ["unseen"]}),
        Record("q", "maybe", "no", {}),
    ]
    shares = {name: (share["mean"], share["n"]) for name, share in repeated(train, test).items()}
    assert shares == {"all": (0.5, 4), "seen": (0.5, 2), "unseen": (0.0, 1)}


def test_labelled_responses_have_a_table_of_their_own(capsys):
    train = [LabelledRecord("p", "yes sir", 1.0, {}), LabelledRecord("p", "no", 0.0, {})]
    test = [LabelledRecord("p", text, label, {}) for text, label in (("yes sir", 1.0), ("no", 0.0), ("no thanks", 0.0))]
    print_label_predictors(train, test, 0.9)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["predictor of the label", "AUC", "accuracy"]
    # two words beat one and tie with two; "yes" is in the good one alone; two of three labels are 0
    found = {name: (area.split()[0], accuracy) for name, area, accuracy in (row for row in rows[2:] if row[1])}
    assert found == {
        "length": ("0.750", ""), "keyword": ("1.000", ""), "tfidf": ("0.500", ""),
        "the more frequent label": ("0.500", "0.667"),
        "ceiling: gold itself": ("0.900", ""),
    }  # fmt: skip


def test_the_baselines_of_a_pointwise_task_are_printed(monkeypatch, capsys):
    words = ["--env", "Taskmaster-v0", "--env-options", "domain=ticketing", "--prompts", "40"]
    monkeypatch.setattr("sys.argv", ["baselines", *words])
    baselines.main()
    printed = capsys.readouterr().out
    assert "| oracle | 1.000 [1.000, 1.000] |" in printed
    assert all(f"| {name} | 0." in printed for name in ("length", "keyword", "ceiling: gold itself"))
    assert "random" not in printed


def test_the_baselines_of_a_ui_task_list_its_templates_and_try_its_tricks(monkeypatch, capsys):
    words = ["--env", "UINav-v0", "--env-options", "templates=star_email", "--prompts", "2"]
    monkeypatch.setattr("sys.argv", ["baselines", *words])
    baselines.main()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("| app | template | a goal | oracle's steps |")
    assert printed[2].startswith("| mail | star_email | ")
    rows = dict(line.strip("| ").split(" | ") for line in printed[printed.index("| policy | success rate |") + 2 :])
    assert rows["oracle"] == "1.000 [1.000, 1.000]"
    assert rows["always done"] == rows["wait"] == "0.000 [0.000, 0.000]"


# The commands that make what is evaluated


def test_a_reward_model_learns_from_half_as_many_samples_where_there_is_an_annotator():
    count, given = train_reward_model.samples_to_add, train_reward_model.Options
    generated, real = HH(), SimpleNamespace(can_rate=False)
    assert count(given(), generated, 101) == 50
    assert count(given(), real, 101) == 0
    assert count(given(policy_pairs=0), generated, 101) == 0
    assert count(given(policy_pairs=7), real, 101) == 7


def test_pretraining_does_not_write_over_a_model_unasked(tmp_path):
    given = pretrain.Options(output_dir=str(tmp_path))
    assert pretrain.target(given) == tmp_path
    (tmp_path / "config.json").write_text("{}")
    assert fault(pretrain.target, given) == (
        f"{tmp_path} already holds a model; give another --output-dir, or --overwrite."
    )
    assert pretrain.target(pretrain.Options(output_dir=str(tmp_path), overwrite=True)) == tmp_path


def test_variants_are_the_means_of_their_seeds():
    def run(after, kl):
        sides = {"sft": {"gold": 0.5, "gold_greedy": 0.4}, "policy": {"gold": after, "gold_greedy": after + 0.1}}
        return {**sides, "kl": kl, "samples_per_cpu_second": 10.0 * kl, "peak_rss_mb": 600.0}

    rows = variant_rows({"plain, seed 0": run(0.7, 1.0), "plain, seed 1": run(0.8, 2.0), "half, seed 0": run(0.6, 3.0)})
    assert rows[2:] == [
        "| plain | 0.500 -> 0.750 | 0.700, 0.800 | 0.400 -> 0.850 | 0.800, 0.900 |  |  | 1.50 | 15.0 | 600 |",
        "| half | 0.500 -> 0.600 | 0.600 | 0.400 -> 0.700 | 0.700 |  |  | 3.00 | 30.0 | 600 |",
    ]
