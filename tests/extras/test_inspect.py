"""Our envs as a task of Inspect, and our policies in it: the oracle succeeds, and a policy gets perlhf's own number."""

import subprocess
import sys
from pathlib import Path

import pytest

inspect_ai = pytest.importorskip("inspect_ai")

from inspect_ai.model import ModelOutput, ModelUsage, get_model  # noqa: E402
from oracle_speaker import OracleSpeaker  # noqa: E402

from agents import train_ppo  # noqa: E402
from backbones.backbone import Backbone  # noqa: E402
from envs.registry import task_of  # noqa: E402
from envs.reward_spec import resolve_reward  # noqa: E402
from envs.uinav.interface.actions import Action  # noqa: E402
from evaluation.eval_agent import Options, evaluate  # noqa: E402
from evaluation.evaluator import Evaluator  # noqa: E402
from integrations import inspect_task  # noqa: E402
from integrations.inspect_task import perlhf_env  # noqa: E402
from perlhf.errors import UserError  # noqa: E402
from perlhf.run_folder import read_summary  # noqa: E402

pytestmark = pytest.mark.extras
LENIENT = {"UINav-v0": {"lenient": True}}


def figures(task, model, folder):
    """The means of an evaluation, by name, and its log."""
    (log,) = inspect_ai.eval(task, model=model, log_dir=str(folder), display="none")
    assert log.status == "success", log.error
    return {score.name: score.metrics["mean"].value for score in log.results.scores}, log


def said(text):
    """What a model says; it counts no tokens, for which Inspect would fetch a tokenizer."""
    output = ModelOutput.from_content("mockllm", text)
    output.usage = ModelUsage()
    return output


@pytest.mark.parametrize(("env", "turns"), [("UINav-v0", 3), ("HH-v0", 1)])
def test_the_oracle_succeeds(env, turns, tmp_path):
    task = task_of(f"perlhf/{env}", split="test", **LENIENT.get(env, {}))
    speaker = OracleSpeaker(task, task.first_states(4))

    def answer(messages, *_):
        return said(speaker(messages[-1].text))

    means, log = figures(perlhf_env(env, 4), get_model("mockllm/model", custom_outputs=answer), tmp_path)
    more = {"progress": 1.0, "false_completion": 0.0, "side_effects": 0.0} if env == "UINav-v0" else {}
    assert means == {"gold": 1.0, "is_success": 1.0, **more}
    assert len(log.samples) == 4
    assert all(sum(event.event == "model" for event in sample.events) >= turns for sample in log.samples)


def test_a_task_without_actions_has_no_dialect():
    with pytest.raises(UserError, match="actions='qwen' is of the phone; HH-v0 has no actions"):
        perlhf_env("HH-v0", 1, actions="qwen")


def test_options_may_name_the_split():
    task = task_of("perlhf/HH-v0", split="validation")
    (sample,) = perlhf_env("HH-v0", 1, options="split=validation").dataset
    assert sample.metadata["episode"] == task.state_to_json(task.first_states(1)[0])
    assert sample.input[-1].metadata == {"prompt": str(task.observe(task.first_states(1)[0])["prompt"])}


def test_one_wrong_answer_of_two_is_half(tmp_path):
    task = task_of("perlhf/UINav-v0", split="test", templates="star_email", actions="qwen", lenient=True)
    first, second = task.first_states(2)
    speaker, wrong = OracleSpeaker(task, [first]), task.as_response(Action("done"), second)

    def answer(messages, *_):
        shown = messages[-1].text
        return said(speaker(shown) if speaker.at.get(shown) else wrong)

    of = perlhf_env("UINav-v0", 2, options="templates=star_email", actions="qwen")
    means, log = figures(of, get_model("mockllm/model", custom_outputs=answer), tmp_path)
    assert (means["gold"], means["false_completion"]) == (0.5, 0.5)
    right, wrong = (sample.scores["verdict"] for sample in log.samples)
    assert (right.explanation, wrong.explanation) == ("success", "false completion")
    assert right.metadata["verdict"]["steps_over_oracle"] == 0
    assert wrong.metadata["verdict"]["level"] == right.metadata["verdict"]["level"]


def test_a_policy_gets_the_number_that_perlhf_gives_it(tmp_path):
    task = task_of("perlhf/UINav-v0", split="test", max_steps=6)  # few, so that some episodes fail
    evaluator = Evaluator(task, resolve_reward("gold", task), 64, 6)
    here = evaluator.answer(Backbone.load("tiny-uinav").reference, 0.0)
    means, log = figures(perlhf_env("UINav-v0", 6, options="max_steps=6", lenient=False), "perlhf/tiny-uinav", tmp_path)
    assert [sample.scores["verdict"].value["gold"] for sample in log.samples] == here.golds.tolist()
    assert means["gold"] == pytest.approx(here.golds.mean())
    assert 0 < means["gold"] < 1


def test_a_run_gets_the_number_of_its_evaluation(tmp_path):
    run = tmp_path / "run"
    train_ppo.train(
        train_ppo.Options(
            env="UINav-v0", env_options="max_steps=6", reward="gold", backbone="tiny", output_dir=str(run), n_envs=2,
            total_timesteps=4, n_steps=2, batch_size=4, eval_prompts=5, max_new_tokens=48, threads=1,
        )
    )  # fmt: skip
    summary, of = read_summary(run), perlhf_env("UINav-v0", 5, options="max_steps=6", lenient=False)
    assert 0 < summary["policy"]["gold_greedy"] < 1
    assert figures(of, f"perlhf/{run}", tmp_path)[0]["gold"] == pytest.approx(summary["policy"]["gold_greedy"])
    sft = get_model(f"perlhf/{run}", sft=True)
    assert figures(of, sft, tmp_path)[0]["gold"] == pytest.approx(summary["sft"]["gold_greedy"])
    here = evaluate(Options(agent=f"run:{run}", episodes=5, output_dir=str(tmp_path / "here"), frames=0))
    assert here["all"]["success"]["mean"] == pytest.approx(summary["policy"]["gold_greedy"])


def test_the_command_of_inspect_finds_task_and_model(tmp_path):
    done = subprocess.run(
        [Path(sys.executable).parent / "inspect", "eval", f"{inspect_task.__file__}@perlhf_env", "-T",
         "env=UINav-v0", "-T", "episodes=2", "--model", "perlhf/tiny-uinav", "--display", "plain",
         "--log-dir", str(tmp_path)],
        capture_output=True, text=True, timeout=300, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert "is_success" in done.stdout


def test_what_it_cannot_show_or_judge_is_refused():
    with pytest.raises(UserError, match="shows pictures"):
        perlhf_env("VQAv2-v0", 2)
    with pytest.raises(UserError, match="Did you mean 'HH-v0'"):
        perlhf_env("HHH-v0", 2)
