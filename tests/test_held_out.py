"""Looks at held-out prompts while a policy learns: they change nothing, choose the best policy, and end a run."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toy_tasks  # noqa: F401 - registers test/Unjudged-v0
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_models import gemma
from toy_tasks import OneTurn, Unjudged

from agents import PPO, make_vec_env
from agents.checkpoint import set_state
from agents.held_out import HeldOut, WatchOptions, best_swapped_in, is_better, mean_and_error, target_of, why_to_stop
from agents.train_ppo import Options, read_options, train
from agents.watched import Watched
from backbones.checkpoints import checkpoints_of, read_checkpoint
from envs import register_task
from perlhf.errors import UserError

LETTER = "toy_tasks:starts_with_i"
figures = st.lists(st.floats(-100, 100), min_size=2, max_size=20)


class OneTurnOfData(OneTurn):
    """With the two options that commands give."""

    def __init__(self, data="miniature", split="train"):
        pass


class UnjudgedOfData(Unjudged):
    """The same, and nobody knows what is right."""

    def __init__(self, data="miniature", split="train"):
        pass


register_task("test/OneTurnOfData-v0", "test_held_out:OneTurnOfData")
register_task("test/UnjudgedOfData-v0", "test_held_out:UnjudgedOfData")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    gemma(folder)
    return str(folder)


# The rules.


def test_a_mean_has_its_standard_error():
    assert mean_and_error([1.0, 0.0, 1.0, 0.0]) == (0.5, pytest.approx(1 / 12**0.5))  # sd sqrt(1/3), by sqrt(4)
    assert mean_and_error([0.3]) == (0.3, 0.0)


def test_better_is_what_is_above_by_more_than_a_standard_error_of_the_difference():
    best = [0.0, 0.0, 0.0, 0.0]
    assert not is_better([1.0, 0.0, 0.0, 0.0], best)  # mean 1/4, sd 1/2, standard error 1/4: no more than that
    assert is_better([1.0, 1.0, 0.0, 0.0], best)  # mean 1/2, standard error 0.289
    assert is_better([0.1, 0.1, 0.1, 0.1], best)  # small, and everywhere


@given(figures, st.floats(0.1, 5))
def test_nothing_is_better_than_itself_and_what_is_better_everywhere_alike_is(best, more):
    assert not is_better(best, best)
    assert is_better([value + more for value in best], best)


@given(figures.flatmap(lambda a: st.tuples(st.just(a), st.lists(st.floats(-9, 9), min_size=len(a), max_size=len(a)))))
def test_of_two_policies_one_at_most_is_better(pair):
    assert not (is_better(*pair) and is_better(*reversed(pair)))


@pytest.mark.parametrize(
    ("text", "has_gold", "target"),
    [(".8", True, ("gold", 0.8)), ("2", False, ("score", 2.0)), ("score=-1.5", True, ("score", -1.5)),
     (" gold = .7", True, ("gold", 0.7))],
)  # fmt: skip
def test_a_target_is_a_measure_and_a_number(text, has_gold, target):
    assert target_of(text, has_gold) == target


@pytest.mark.parametrize(
    ("text", "has_gold", "message"),
    [
        ("good", True, "--stop-at must be gold=X, score=X or a number X, got 'good'"),
        ("gold=nan", True, "got 'gold=nan'"),
        ("gol=.8", True, "unknown measure 'gol'. Did you mean 'gold'?"),
        ("gold=.8", False, "no judge that gives gold for these data; take score=X"),
    ],
)
def test_another_target_is_one_line(text, has_gold, message):
    with pytest.raises(UserError, match=message):
        target_of(text, has_gold)


def test_a_run_is_over_at_its_figure_or_beyond_its_kl():
    look = {"update": 4, "step": 16, "first": 0, "scores": [2.0, 1.0], "golds": [1.0, 0.5]}
    seen = Watched(look=look, kl=3.0)
    assert why_to_stop(seen, None, None) is None
    assert why_to_stop(seen, ".75", None) == "held-out gold 0.750 (standard error 0.250) has reached --stop-at 0.75"
    assert why_to_stop(seen, "gold=.76", 3.0) is None
    assert "held-out score 1.500" in why_to_stop(seen, "score=1", None)
    assert why_to_stop(seen, None, 2.5) == "the KL to SFT, 3.00 nats a response, is above --max-kl 2.5"
    assert why_to_stop(Watched(), ".1", 0.1) is None


# The callback.


class Scripted:
    """Says in turn what the looks find; the policy is left as it is."""

    def __init__(self, *means):
        self.means = list(means)

    def answer(self, role, temperature):
        assert temperature == 0.0
        values = np.array([self.means.pop(0)] * 3)
        return SimpleNamespace(rows=[[([1], [2, 3])]] * 3, scores=values, golds=None)


def algorithm_of(path, **kwargs):
    env = make_vec_env("HH-v0", 4, seed=0, reward=LETTER)
    settings = {"backbone": path, "max_new_tokens": 6}
    options = {"batch_size": 2, "learning_rate": 1e-2, **kwargs}
    return PPO("LoRAPolicy", env, policy_kwargs=settings, seed=0, device="cpu", **options)


def test_the_best_policy_is_kept_through_a_checkpoint(path, tmp_path):
    model = algorithm_of(path)
    watch = HeldOut(Scripted(0.1, 0.9, 0.5), WatchOptions(eval_every=1, keep_best="score"), tmp_path)
    kept = []

    class Noted(HeldOut):
        def _on_rollout_start(self):
            kept.append({name: p.detach().clone() for name, p in model.policy.policy_role.parameters().items()})

    model.learn(8, callback=[watch, Noted(None, WatchOptions(), tmp_path)])
    assert (model.watched.best["update"], model.watched.look["update"]) == (1, 2)
    model.save(tmp_path / "saved")
    resumed = algorithm_of(path)
    set_state(resumed, *read_checkpoint(tmp_path / "saved"))
    role = resumed.policy.policy_role
    last = {name: p.detach().clone() for name, p in role.parameters().items()}
    with best_swapped_in(role, resumed.watched):
        assert all(torch.equal(p, kept[1][name]) for name, p in role.parameters().items())
    assert all(torch.equal(p, last[name]) for name, p in role.parameters().items())
    assert any(not torch.equal(last[name], kept[1][name]) for name in last)
    saved = load_file(tmp_path / "best" / "adapter_model.safetensors")
    assert all(torch.equal(saved[f"base_model.model.{name}"], tensor) for name, tensor in kept[1].items())


def test_another_measure_or_other_episodes_begin_the_best_anew(path, tmp_path):
    model = algorithm_of(path)
    watch = HeldOut(Scripted(0.9, 0.1), WatchOptions(eval_every=1, keep_best="score"), tmp_path)
    model.watched.best = {"update": 0, "step": 0, "scores": [5.0] * 4, "golds": None}  # of 4 episodes
    model.watched.best_by = "score"
    model.learn(4, callback=watch)
    assert (model.watched.best["update"], len(model.watched.best["scores"])) == (0, 3)


@pytest.mark.parametrize(("first", "looks"), [(0, []), (3, [0.1])])
def test_looks_at_other_episodes_begin_anew_where_their_number_is_the_same(path, tmp_path, first, looks):
    """As on resume with another --eval-split: the look of before counts neither as made nor as one to beat."""
    model = algorithm_of(path)
    before = {"update": 0, "step": 0, "first": 0, "scores": [5.0] * 3, "golds": None}
    model.watched.look = model.watched.best = before
    model.watched.best_by = "score"
    watch = HeldOut(Scripted(*looks, 0.05), WatchOptions(eval_every=1, keep_best="score"), tmp_path, first)
    model.learn(4, callback=watch)
    assert (model.watched.look["first"], model.watched.look["update"]) == (first, 1)
    assert model.watched.best["scores"] == [looks[0] if looks else 5.0] * 3
    assert model.watched.best["first"] == first


# The command.


def options_for(path, folder, **kwargs):
    small = {"n_envs": 4, "batch_size": 2, "max_new_tokens": 6, "total_timesteps": 16, "checkpoint_every": 1,
             "eval_prompts": 0, "log_formats": "", "reward": "toy_tasks:letters", "learning_rate": 0.02,
             "env": "test/OneTurnOfData-v0"}  # fmt: skip
    return Options(backbone=path, output_dir=str(folder), **{**small, **kwargs})


def rows_of(folder):
    return [
        {name: value for name, value in json.loads(line).items() if not name.startswith("time/")}
        for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]


def adapter(folder):
    return load_file(folder / "adapter_model.safetensors")


def same_tensors(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.fixture(scope="module")
def plain(path, tmp_path_factory):
    """A run without looks."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    train(options_for(path, folder))
    return folder


@pytest.mark.parametrize("every", [1, 2])
def test_looks_change_nothing_and_a_run_that_was_killed_looks_again(path, plain, tmp_path, every):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(options_for(path, whole, eval_prompts=6, eval_every=every, keep_best="score"))
    rows = rows_of(whole)
    looks = [row for row in rows if "eval/score" in row]
    assert [row["step"] for row in looks] == list(range(0, 17, 4 * every))
    assert looks[0].keys() == {
        "step", "eval/score", "eval/score_standard_error", "eval/gold", "eval/gold_standard_error",
        "eval/response_length",
    }  # fmt: skip
    assert [row for row in rows if "eval/score" not in row] == rows_of(plain)
    same_tensors(adapter(whole / "policy"), adapter(whole / "best"))
    assert (whole / "value" / "adapter_model.safetensors").read_bytes() == (
        plain / "value" / "adapter_model.safetensors"
    ).read_bytes()
    shutil.copytree(whole, cut)
    assert [folder.name for folder in checkpoints_of(cut)] == ["step-16", "step-12"]
    for killed in ("step-16", "step-12"):  # as if it had been killed after 12 turns, then before there was a checkpoint
        for name in ("policy", "value", "best", "checkpoints/step-16", f"checkpoints/{killed}"):
            shutil.rmtree(cut / name, ignore_errors=True)
        train(read_options(["--resume", str(cut)]))
        assert rows_of(cut) == rows
        for name in ("policy", "value", "best"):
            same_tensors(adapter(whole / name), adapter(cut / name))
        assert held_out(cut) == held_out(whole)
    last, best = held_out(whole)["last"], held_out(whole)["best"]
    assert last["turns"] == 16
    assert last["score"] == looks[-1]["eval/score"]
    assert best["score"] == next(row["eval/score"] for row in looks if row["step"] == best["turns"])
    assert best["score"] >= looks[0]["eval/score"]


def held_out(folder):
    return json.loads((folder / "summary.json").read_text())["held_out"]


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_with_its_first_look(path, tmp_path):
    options = options_for(path, tmp_path / "run", total_timesteps=4, eval_prompts=4, eval_every=1)
    train(options)
    rows = rows_of(tmp_path / "run")
    for name in ("checkpoints", "policy", "value"):
        shutil.rmtree(tmp_path / "run" / name)
    train(read_options(["--resume", str(tmp_path / "run")]))
    assert rows_of(tmp_path / "run") == rows
    assert [row["step"] for row in rows] == [0, 4, 4]


def test_a_run_ends_at_its_figure_and_goes_on_for_another(path, tmp_path, capsys):
    run = tmp_path / "run"
    train(options_for(path, run, eval_prompts=4, eval_every=1, stop_at="score=-1"))  # reached at the start
    assert "ended after 0 turns: held-out score" in capsys.readouterr().out
    assert json.loads((run / "summary.json").read_text())["ended"].endswith("has reached --stop-at -1")
    with pytest.raises(UserError, match=r"is finished: 0 turns; held-out score .* has reached .*; raise that to go on"):
        train(read_options(["--resume", str(run)]))
    train(read_options(["--resume", str(run), "--stop-at", "score=2"]))
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["turns"], "ended" in summary) == (16, False)


def test_a_run_ends_beyond_its_kl_at_a_checkpoint_that_goes_on_as_if_it_had_not(path, plain, tmp_path):
    run = tmp_path / "run"
    kl = [row["rollout/kl_to_reference"] for row in rows_of(plain)]
    first = next(number for number, value in enumerate(kl) if value > 0.01)
    assert first < 3
    train(options_for(path, run, max_kl=0.01, checkpoint_every=50))
    turns = 4 * (first + 1)
    assert json.loads((run / "summary.json").read_text())["turns"] == turns
    assert [folder.name for folder in checkpoints_of(run)] == [f"step-{turns}"]
    train(read_options(["--resume", str(run), "--max-kl", "none"]))
    assert rows_of(run) == rows_of(plain)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ({"keep_best": "gold"}, "--keep-best gold needs looks at held-out prompts; give --eval-every N"),
        ({"stop_at": ".8"}, "--stop-at .8 needs looks at held-out prompts"),
        ({"eval_every": 2}, "--eval-every needs held-out prompts, and --eval-prompts is 0"),
        ({"eval_every": 2, "eval_prompts": 4, "stop_at": "x"}, "--stop-at must be gold=X, score=X or a number X"),
        ({"eval_every": 2, "eval_prompts": 4, "env": "test/UnjudgedOfData-v0", "keep_best": "gold"},
         "--keep-best gold: the task has no judge"),
        ({"eval_every": 2, "eval_prompts": 4, "env": "test/UnjudgedOfData-v0", "stop_at": "gold=.5"},
         "the task has no judge that gives gold"),
    ],
)  # fmt: skip
def test_what_cannot_be_watched_is_one_line_before_there_is_a_folder(path, tmp_path, mistake, message):
    with pytest.raises(UserError, match=message):
        train(options_for(path, tmp_path / "run", **mistake))
    assert not (tmp_path / "run").exists()
