"""What of integrations/ needs no package of others: sizes, versions, and what is said where a package is missing."""

import importlib
import re
import sys
from pathlib import Path

import pytest
from toy_tasks import letters

from integrations.text import instructions_of, messages, text_env, text_task
from integrations.trl_environment import environment_factory, rows, score_completions
from integrations.trl_reward import reward_function
from integrations.trl_reward import rows as reward_rows
from perlhf.conversation import Conversation
from perlhf.errors import RewardError, UserError

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "integrations").glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_is_read_at_a_glance(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 80


def test_the_page_has_the_pinned_versions():
    page = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
    pins = (ROOT / "constraints-extras.txt").read_text(encoding="utf-8").splitlines()
    said = re.findall(r"^\| \[[^|]*\| ([a-z-]+) ([\d.]+) \|", page, flags=re.M)
    assert len(said) == 5
    assert {f"{name}=={version}" for name, version in said} <= set(pins)


def test_the_two_files_of_versions_differ_where_the_page_says():
    def pins(name):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        found = dict(line.lower().split("==") for line in lines if "==" in line)
        return {re.sub(r"[-_.]+", "-", package): version for package, version in found.items()}

    ours, theirs = pins("constraints.txt"), pins("constraints-extras.txt")
    differ = {package for package, version in ours.items() if theirs.get(package, version) != version}
    assert differ == {"fsspec", "pillow", "pyarrow", "python-dateutil"}


@pytest.mark.parametrize(
    ("package", "module", "extra"),
    [
        ("verifiers", "verifiers_environment", "verifiers"),
        ("verifiers", "verifiers_harness", "verifiers"),
        ("openenv", "openenv_environment", "openenv"),
        ("inspect_ai", "inspect_task", "inspect"),
        ("inspect_ai", "inspect_model", "inspect"),
    ],
)
def test_a_missing_package_is_named_with_its_command(package, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, f"integrations.{module}", raising=False)
    with pytest.raises(UserError, match=rf"^this needs [^\n]*: pip install 'perlhf\[{extra}\]'\.$"):
        importlib.import_module(f"integrations.{module}")


def test_a_reward_takes_text_and_messages():
    score = reward_function("toy_tasks:letters", "HH-v0")
    answer = [{"role": "assistant", "content": "see"}]
    ask = [{"role": "user", "content": "What?"}]
    by_hand = 3 / 7 + 2  # three letters, two of them an e
    assert score(["What?"], ["see"]) == [by_hand]
    assert score([ask], [answer], completion_ids=[[1]], trainer_state=None) == [by_hand]


def test_a_reward_sees_records_as_the_env_shows_them():
    seen = []

    def watch(turns):
        seen.extend(turns)
        return letters(turns)

    task = text_task("HH-v0", split="test")
    of = reward_rows("HH-v0", 2, split="test")
    reward_function(watch, "HH-v0", split="test")(["", ""], ["a", "b"], record=[row["record"] for row in of])
    assert seen == [task.turn(0, "a"), task.turn(1, "b")]
    assert [row["prompt"] for row in of] == [turn.prompt for turn in seen]
    chat = reward_rows("HH-v0", 1, chat=True)[0]["prompt"]
    assert chat == messages(text_task("HH-v0").turn(0).prompt)
    assert [message["role"] for message in chat] == ["user", "assistant", "user"]
    reward_function(watch)([chat], ["c"])
    assert isinstance(seen[-1].prompt, Conversation)
    assert seen[-1].prompt == text_task("HH-v0").turn(0).prompt  # a transcript, as HH's prompts are


def test_a_reward_that_gives_no_number_is_named():
    with pytest.raises(RewardError, match="returned nan for turn 2"):
        reward_function("toy_tasks:nan_on_the_third")(["p"] * 3, ["r"] * 3)


def test_rows_of_an_environment_begin_alike():
    first, second = rows("UINav-v0", 2, first_seed=7)
    assert (first["seed"], second["seed"]) == (7, 8)
    assert [message["role"] for message in first["prompt"]] == ["system", "user"]
    assert first["prompt"][0]["content"].endswith("until the episode is over.")
    assert rows("HH-v0", 1) == [{"prompt": [{"role": "user", "content": ""}], "seed": 0}]


def test_the_rewards_of_an_episode_are_summed():
    phone = environment_factory("UINav-v0", templates="star_email", reward="toy_tasks:letters")()
    phone.reset(seed=0)
    phone.act("home()")
    phone.act("see")
    assert phone.get_reward() == pytest.approx((6 / 7 + 1) + (3 / 7 + 2))
    assert phone.act("infeasible(no)") == "The episode is over."


def test_a_completion_answers_a_text_task():
    env = environment_factory("HH-v0", reward="toy_tasks:letters")()
    assert env.reset(seed=0, prompt=[], other=1) == str(text_env("HH-v0").reset(seed=0)[0]["prompt"])
    said = [{"role": "assistant", "content": "see"}]
    assert score_completions([said], [env], prompts=[[]]) == [3 / 7 + 2]


@pytest.mark.parametrize(
    "reward",
    ["gold", {"reward": "gold"}, [{"reward": "bundled"}, {"reward": "gold", "weight": 2}], "min(gold, bundled)",
     [{"reward": "mean(bundled, min(gold, bundled))"}]],
)  # fmt: skip
def test_a_judge_needs_records(reward):
    score = reward_function(reward)
    with pytest.raises(UserError, match=r"^reward 'gold' judges records: rows need a column 'record'"):
        score(["p"], ["r"])


def test_a_record_that_there_is_not_is_one_line():
    count = len(text_task("HH-v0").records)
    for record in (count, -1):
        with pytest.raises(UserError, match=f"^record {record}: the data of HH-v0 have records 0 to {count - 1}; see"):
            reward_function("toy_tasks:letters")(["p"], ["r"], record=[record])
    with pytest.raises(UserError, match=r"^UINav-v0 is no task of single responses; take"):
        reward_function("toy_tasks:letters", "UINav-v0")(["p"], ["r"], record=[0])


def test_what_cannot_be_shown_is_refused():
    for make in (text_env, text_task):
        with pytest.raises(UserError, match="'VQAv2-v0' shows pictures"):
            make("VQAv2-v0")
        for env in ("CartPole-v1", "foreign_envs:foreign/Letters-v0"):
            with pytest.raises(UserError, match=f"^'{env}' is no env of perlhf; give it to that tool itself.$"):
                make(env)
    with pytest.raises(UserError, match=r"takes? integrations\.trl_environment"):
        reward_rows("UINav-v0", 3)


def test_a_model_is_told_the_dialect_that_the_env_is_made_with():
    assert "mobile_use" in instructions_of("UINav-v0", actions="qwen:1000")
    assert "mobile_use" not in instructions_of("UINav-v0")
    (row,) = rows("UINav-v0", 1, actions="qwen:1000")
    assert instructions_of("UINav-v0", actions="qwen:1000") in row["prompt"][0]["content"]
