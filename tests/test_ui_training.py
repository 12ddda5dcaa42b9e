"""PPO over the many turns of UI episodes: evaluation of whole episodes, failed steps, and resuming in the middle."""

import itertools
import math

import gymnasium as gym
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger, SeqWriter
from tiny_models import gemma

import evaluation.compare as compare_module
from agents import PPO, make_vec_env, train_ppo
from agents.checkpoint import read_checkpoint, set_state
from agents.rollout import Rollout
from agents.rollout_log import rollout_figures
from agents.steps import Step, order_of
from agents.train_ppo import read_options
from backbones.backbone import Backbone
from backbones.draws import row_seeds
from backbones.generate import generate
from envs.hh.task import HH
from envs.reward_spec import resolve_reward
from envs.uinav.interface.actions import DIRECTIONS, Action, is_beginning, parse_action
from envs.uinav.interface.device import DeviceError
from envs.uinav.task import UINav
from evaluation import watch
from evaluation.compare import compare
from evaluation.constrained import ActionsOnly
from evaluation.control import validation_like
from evaluation.evaluator import Evaluator
from evaluation.reproduce.ui import step_rows, success_rows, template_rows
from perlhf.errors import UserError
from perlhf.run_folder import read_summary
from rewards import train_reward_model
from rewards.reward_model import RewardModel


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    gemma(folder)
    return str(folder)


class Keep(BaseCallback):
    """Keeps the rollouts, and saves at the start of the one that begins at `step`."""

    def __init__(self, step=-1, folder=None):
        super().__init__()
        self.step, self.folder, self.rollouts = step, folder, []

    def _on_step(self):
        return True

    def _on_rollout_start(self):
        if self.num_timesteps == self.step:
            self.model.save(self.folder)

    def _on_rollout_end(self):
        self.rollouts.append(self.model.rollout)


class Warned(KVWriter, SeqWriter):
    """Keeps the warnings."""

    def __init__(self):
        self.lines = []

    def write(self, key_values, key_excluded, step=0):
        pass

    def write_sequence(self, sequence):
        self.lines.append(sequence[-1])


class Logged(KVWriter):
    """Keeps the last row that was logged."""

    def write(self, key_values, key_excluded, step=0):
        self.values = dict(key_values)


def algorithm_of(path, **kwargs):
    env = make_vec_env("UINav-v0", 3, seed=0, reward="gold", templates="star_email+delete_email")
    policy = {"backbone": path, "max_new_tokens": 6}
    return PPO("LoRAPolicy", env, n_steps=4, batch_size=6, policy_kwargs=policy, seed=0, device="cpu", **kwargs)


# Evaluation


def test_the_oracle_reaches_all_goals_in_whole_episodes():
    task = UINav(split="test")
    evaluator = Evaluator(task, resolve_reward("gold", task), n=60)
    answers = evaluator.oracle()
    assert answers.golds.tolist() == answers.scores.tolist() == [1.0] * 60
    assert all(text.split("; ")[-1].startswith(("done", "infeasible")) for text in answers.texts)
    assert {"seen templates", "unseen templates"} <= set(evaluator.groups(answers.golds))


def test_scores_are_summed_over_the_turns_of_an_episode():
    task = UINav(templates="send_email")
    evaluator = Evaluator(task, lambda turns: [-0.5] * len(turns), n=3)
    answers = evaluator.oracle()
    assert answers.scores.tolist() == [-0.5 * len(rows) for rows in answers.rows]
    assert len(answers.rows[0]) > 4


def test_evaluated_episodes_do_not_depend_on_the_seed_of_the_samples():
    task = UINav(split="test")
    first, second = (Evaluator(task, resolve_reward("gold", task), n=10, seed=seed) for seed in (0, 1))
    assert first.states == second.states
    prompts = [HH().observe(state)["prompt"] for state in Evaluator(HH(), lambda turns: turns, n=50).states]
    assert len(set(prompts)) == 50


def test_an_answer_does_not_depend_on_which_other_episodes_are_live(path):
    role, task = Backbone.load(path).reference, UINav(split="test", max_steps=3)
    many, few, later = (Evaluator(task, lambda turns: [0.0] * len(turns), 6, n=9, seed=5) for _ in range(3))
    few.states = few.states[:2]
    ended = later.states[0]
    texts = many.answer(role, 1.0).texts
    assert few.answer(role, 1.0).texts == texts[:2]
    play = task.play

    def cut(state, text):  # one episode has one turn, the others have more
        played = play(state, text)
        return played._replace(truncated=played.truncated or state is ended)

    task.play = cut
    others = later.answer(role, 1.0).texts
    assert others[0] == texts[0].split("; ")[0]
    assert others[1:] == texts[1:]


def test_a_policy_is_compared_over_whole_episodes(path):
    algorithm = algorithm_of(path)
    task = UINav(split="test", templates="star_email+delete_email", max_steps=3)
    evaluator = Evaluator(task, resolve_reward("gold", task), 6, n=5)
    report = compare(evaluator, validation_like(evaluator, lambda _: task, 2), algorithm.policy.policy_role)
    assert report["sft"]["gold"] == report["policy"]["gold"] == 0.0  # a random model
    assert report["sft"]["turns"] == 3.0
    for row in report["samples"]:
        said = row["policy_sampled"]
        assert len(said["responses"]) == 3
        assert "; ".join(said["responses"]) == said["text"]
    assert report["kl"] == 0.0
    assert report["oracle"]["gold"] < 1  # three steps are too few for some
    assert set(report["policy"]["groups"]["greedy"]) <= {
        "star_email", "delete_email", "seen templates", "demonstrated", "never demonstrated",
    }  # fmt: skip


# Failed steps


def make_flaky(task):
    """The device of a task fails where it is told to wait."""
    perform = task.device.perform

    def failing(state, action):
        if action.kind == "wait":
            raise DeviceError("the cable was pulled")
        return perform(state, action)

    task.device.perform = failing


def test_a_failed_step_truncates_the_episode_and_is_no_verdict():
    env = gym.make("perlhf/UINav-v0", reward="gold")
    make_flaky(env.unwrapped.task)
    first, _ = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step("wait()")
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info == {"failed": True, "template": info["template"]}
    assert "ERROR the cable was pulled" in observation["prompt"]
    assert first["prompt"].splitlines()[0] in observation["prompt"]


def rollout_of(failed, kl=(2.0, 4.0, 0.0)):
    """Three rows of two tokens; a row that the env failed at has an empty mask."""
    sound = ~torch.tensor(failed)
    old = torch.tensor(kl)[:, None] * torch.tensor([1.0, 0.0]) * sound[:, None]
    zeros, mask = torch.zeros(3, 2), sound[:, None].expand(3, 2)
    order = order_of([Step([[5]] * 3, [[6, 1]] * 3, np.zeros(3), np.array([False] * 3), {})])
    rows = ([[5]] * 3, [[6, 1]] * 3, mask, torch.zeros(3), sound.clone(), ~sound, order)
    return Rollout(*rows, old, zeros, zeros, zeros, zeros, zeros, zeros)


def steps_of(failed, scores=(1.0, 2.0, 0.0)):
    broken = frozenset(row for row, each in enumerate(failed) if each)
    return [Step([[5]] * 3, [[6, 1]] * 3, np.array(scores), np.array([False] * 3), {}, broken)]


def test_what_is_logged_and_steered_by_leaves_failed_steps_out():
    failed = [False, False, True]
    rollout = rollout_of(failed)
    logged = rollout_figures(rollout, steps_of(failed), [])
    assert logged["rollout/score"] == 1.5  # (1 + 2) / 2
    assert logged["rollout/kl_to_reference"] == 3.0  # (2 + 4) / 2
    assert (logged["rollout/response_length"], logged["rollout/ended"]) == (2.0, 1.0)
    assert rollout.response_kl.tolist() == [2.0, 4.0]  # what kl_coef is steered by


def test_a_rollout_that_failed_throughout_says_so(path):
    algorithm, said = algorithm_of(path, kl_target=3.0), Warned()
    algorithm.policy.backbone.decode, decode = lambda row: next(words), algorithm.policy.backbone.decode
    try:
        words = itertools.repeat("home()")
        algorithm.learn(12)  # with the checks of the first update
        make_flaky(algorithm.env.get_attr("task")[0])
        words, before = itertools.repeat("wait()"), algorithm.kl_coef
        algorithm.set_logger(Logger(None, [said]))
        algorithm.learn(12, reset_num_timesteps=False)
    finally:
        algorithm.policy.backbone.decode = decode
    assert algorithm.rollout.failed.all()
    assert said.lines == ["the env failed at every step of this rollout: nothing is learned from it."]
    assert algorithm.kl_coef == before


def test_nothing_is_learned_from_a_failed_step(path):
    # Env 0 fails at the second step of the rollout: its row has no mask, no reward and no part in any loss.
    algorithm = algorithm_of(path, gamma=0.9, gae_lambda=1.0, kl_coef=0.0)
    make_flaky(algorithm.env.get_attr("task")[0])
    said = iter([["home()"] * 3, ["wait()", "home()", "home()"], ["home()"] * 3, ["home()"] * 3])
    algorithm.policy.backbone.decode, decode = lambda row: next(words), algorithm.policy.backbone.decode
    words = iter(word for step in said for word in step)
    keep = Keep()
    logged = Logged()
    algorithm.set_logger(Logger(None, [logged]))
    try:
        algorithm.learn(12, callback=keep)
    finally:
        algorithm.policy.backbone.decode = decode
    rollout, failed = keep.rollouts[0], 3
    assert rollout.failed.tolist() == [row == failed for row in range(12)]
    assert rollout.response_mask.any(1).tolist() == [row != failed for row in range(12)]
    for tensor in (rollout.rewards, rollout.advantages, rollout.returns):
        assert not tensor[failed].any()
    # What follows the step before is the value of the state that the device failed in, with its error told.
    assert rollout.advantages[0].any()
    lengths = rollout.response_mask.sum(1).tolist()
    assert logged.values["rollout/response_length"] == pytest.approx(sum(lengths) / 11)  # of 12 rows


# Resuming


def test_a_run_goes_on_in_the_middle_of_its_episodes(path, tmp_path):
    whole = algorithm_of(path)
    whole.learn(36, callback=Keep(12, tmp_path / "middle"))
    resumed = algorithm_of(path)
    set_state(resumed, *read_checkpoint(tmp_path / "middle"))
    assert [len(state["responses"]) for state in resumed.env.task_env.get_state()["states"]] == [4, 4, 4]
    resumed.learn(24, reset_num_timesteps=False)
    whole.save(tmp_path / "whole")
    resumed.save(tmp_path / "resumed")
    (first, _), (second, _) = (read_checkpoint(tmp_path / name) for name in ("whole", "resumed"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


# Defaults


def test_a_task_has_defaults_of_its_own_and_the_command_line_wins():
    assert read_options(["--env", "HH-v0"]).n_steps == 1
    assert read_options(["--env", "UINav-v0"]).n_steps is None  # whole episodes
    assert read_options(["--env", "UINav-v0", "--n-steps", "3"]).n_steps == 3
    with pytest.raises(UserError, match="unknown env 'UINaw-v0'"):
        read_options(["--env", "UINaw-v0"])


# Commands


@pytest.fixture(scope="module")
def run(path, tmp_path_factory):
    """A finished run of a random model on two templates."""
    folder = tmp_path_factory.mktemp("runs") / "ui"
    train_ppo.train(
        train_ppo.Options(
            env="UINav-v0",
            env_options="templates=star_email+delete_email,max_steps=4",
            reward="gold",
            backbone=path,
            output_dir=str(folder),
            total_timesteps=16,
            n_envs=4,
            n_steps=4,
            batch_size=8,
            eval_prompts=4,
            max_new_tokens=6,
            threads=1,
        )
    )
    return folder


def test_a_run_says_what_was_reached_and_which_steps_were_right(run):
    summary = read_summary(run)
    assert summary["policy"]["n"] == 4
    assert summary["policy"]["turns"] == 4.0
    for side in ("sft", "policy"):
        assert summary[side]["step_accuracy"]["n"] == compare_module.STEPS
        assert summary[side]["step_accuracy"]["mean"] < 0.1
    rows = success_rows({"seed 0": summary})
    assert rows[2].startswith("| seed 0 | 0.000 [0.000, 0.000] -> 0.000 [0.000, 0.000] |")
    named = {row.split(" | ")[0] for row in template_rows([summary, summary])[2:]}
    assert named <= {"| star_email", "| delete_email"}


def test_the_policy_of_a_run_can_be_watched(run, tmp_path, monkeypatch, capsys):
    film = tmp_path / "film.png"
    words = ["--run", str(run), "--task", "star_email", "--film", str(film)]
    monkeypatch.setattr("sys.argv", ["watch", *words])
    watch.main()
    printed = capsys.readouterr().out
    assert printed.count("Goal: ") == 5  # the start and four steps
    assert "The goal was not reached." in printed
    with Image.open(film) as image:
        assert image.width > 4 * 288


def test_a_run_on_texts_cannot_be_watched(tmp_path, monkeypatch):
    options = {"env": "HH-v0", "env_options": "", "reward": "gold", "data": "miniature", "backbone": "tiny"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**options, "max_new_tokens": 8}))
    monkeypatch.setattr("sys.argv", ["watch", "--run", str(tmp_path)])
    with pytest.raises(UserError, match="is a run on HH-v0; only policies on the phone can be watched"):
        watch.main()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give the run folder: watch DIR, or --run DIR."),
        (["--run", "{run}", "--task", "star_emial"], "unknown template 'star_emial'. Did you mean 'star_email'?"),
        (["--run", "{run}", "--film", "no/film.png"], "--film no/film.png: there is no folder no; make it first."),
        (["--run", "{run}", "--film", "a.jpg"], "cannot write a film to 'a.jpg'; its name must end in .png or .gif."),
    ],
)
def test_what_cannot_be_watched_is_one_line(run, monkeypatch, words, message):
    monkeypatch.setattr("sys.argv", ["watch", *(word.format(run=run) for word in words)])
    with pytest.raises(UserError) as caught:
        watch.main()
    assert str(caught.value) == message


# Shipped rewards


@pytest.mark.parametrize(
    ("spec", "n"), [("gold", 60), ("rewards.functions:success", 60), (UINav.trained_reward, 8)], ids=str
)
def test_neither_stalling_nor_giving_up_pays_under_any_shipped_reward(spec, n):
    task = UINav(split="test", max_steps=12)
    evaluator = Evaluator(task, resolve_reward(spec, task), n=n)
    oracle = evaluator.oracle()
    assert oracle.golds.mean() > 0.9  # a few take more than 12 steps
    for trick in ("wait()", "done()", "click(1)"):
        tricked = evaluator.play(lambda states, *_, said=trick: ([said] * len(states), [([], []) for _ in states]))
        better = oracle.scores - tricked.scores
        assert better.mean() > 0.5, trick
        assert (better > 0).mean() > 0.8, trick
        if spec == UINav.trained_reward:  # without success there is only the step reward model
            assert -5 * 12 <= tricked.scores.min() <= tricked.scores.max() <= 0


# Constrained decoding


@given(
    st.one_of(
        st.builds(Action, st.sampled_from(["click", "long_press"]), st.integers(0, 9999), st.just("")),
        st.builds(Action, st.just("type"), st.integers(0, 9999), st.text()),
        st.builds(Action, st.just("scroll"), st.just(0), st.sampled_from(DIRECTIONS)),
        st.builds(Action, st.sampled_from(["done", "infeasible", "open_app"]), st.just(0), st.text()),
        st.builds(Action, st.sampled_from(["back", "home", "wait"]), st.just(0), st.just("")),
    )
)
def test_every_beginning_of_an_action_is_one(action):
    text = str(action)
    assert all(is_beginning(text[:end]) for end in range(len(text) + 1))


@pytest.mark.parametrize(
    "text",
    "x|clack|click(a|click(12345|click()|click(3))|type(,|type(a|scroll(u)|back(1|done(a\n|go(|home())".split("|"),
)
def test_what_no_action_begins_with_is_no_beginning(text):
    assert not is_beginning(text)


def test_a_constrained_model_says_nothing_but_actions(path):
    backbone = Backbone.load(path)
    prompts = [backbone.encode_prompt("yes no maybe")] * 40
    seeds = row_seeds(0, range(40), 0)
    rows = generate(backbone.reference, prompts, 60, 1.0, seeds, allowed=ActionsOnly(backbone))
    ended = [row for row in rows if row[-1] in backbone.end_ids]
    assert len(ended) > 10
    for row in ended:
        parse_action(backbone.decode(row))
    assert all(is_beginning(backbone.tokenizer.decode(row, skip_special_tokens=True)) for row in rows)


def test_a_constraint_changes_nothing_for_who_knows_the_actions():
    backbone = Backbone.load("tiny-uinav")
    task = UINav(split="validation")
    prompts = [backbone.encode_prompt(state.prompt) for state in Evaluator(task, lambda turns: turns, n=20).states]
    free, bound = (
        generate(backbone.reference, prompts, 40, 0.0, allowed=allowed) for allowed in (None, ActionsOnly(backbone))
    )
    assert free == bound


# Step reward models


@pytest.mark.parametrize("referee", [False, True])
def test_a_step_reward_model_and_a_referee_are_trained_and_score_below_zero(path, tmp_path, monkeypatch, referee):
    monkeypatch.setattr("envs.uinav.feedback.steps.STATES", {"train": 60, "validation": 30, "test": 40})
    folder = tmp_path / "reward"
    options = {"pairs": 40, "policy_pairs": 0 if referee else 8, "eval_pairs": 60, "score_limit": 3.0, "threads": 1}
    train_reward_model.train(
        train_reward_model.Options(env="UINav-v0", backbone=path, output_dir=str(folder), referee=referee, **options)
    )
    summary = read_summary(folder)
    assert summary["pairs"] == 40 + options["policy_pairs"]
    assert summary["ceiling"] == 1.0
    assert 0.5 < summary["baselines"]["majority_accuracy"] < 0.95
    assert ("sft_episodes" in summary) != referee
    if not referee:  # an untrained policy is always wrong
        assert summary["sft_episodes"]["auc"]["n"] == 60
        assert summary["sft_episodes"]["majority_accuracy"] == 1.0
        assert "SFT's own episodes" in step_rows({"LoRA 1": summary})[0]
    model = RewardModel.load(folder)
    assert model.log_sigmoid
    assert model.centre == 0
    raw, scores = (
        model.raw_scores(["p", "q"], ["done()", "wait()"]),
        model.score_texts(["p", "q"], ["done()", "wait()"]),
    )
    assert scores.tolist() == pytest.approx([max(-3.0, -math.log1p(math.exp(-r))) for r in raw.tolist()], abs=1e-5)


def test_a_referee_is_of_ui_tasks_on_the_phone_alone(path):
    options = train_reward_model.Options(env="HH-v0", backbone=path, referee=True)
    with pytest.raises(UserError, match="for UI tasks on the simulated phone; HH-v0 over miniature is none"):
        train_reward_model.train(options)
