"""What a task tells a model first: in observations, turns and records alike, and in no text that is read without it."""

import copy
import pickle

import gymnasium as gym
import pytest
from chat_models import backbone_of

import perlhf  # noqa: F401 - registers the environments
from agents.setup import Setup
from backbones.backbone import Backbone
from envs.corpora.records import Demonstration, InstructedRecords
from envs.uinav.interface.actions import EXAMPLES, INSTRUCTIONS, KINDS, parse_action
from perlhf.conversation import Conversation, Instructed, Message, first_user_turn, instructed_by, messages_of
from perlhf.errors import UserError

TASKS = ["UINav-v0", "VQAv2-v0", "Taskmaster-v0"]


def test_a_prompt_with_instructions_is_its_text_and_two_messages():
    prompt = instructed_by("Be brief.")("Who?")
    assert prompt == "Who?"
    assert type(str(prompt)) is str
    assert messages_of(prompt) == (Message("system", "Be brief."), Message("user", "Who?"))
    for same in (copy.deepcopy(prompt), copy.copy(prompt), pickle.loads(pickle.dumps(prompt))):
        assert (same, messages_of(same)) == (prompt, messages_of(prompt))
    assert isinstance(prompt, Conversation)
    assert instructed_by("Be brief.") is type(prompt)
    assert messages_of(instructed_by("Be long.")("Who?"))[0].content == "Be long."
    shown = pickle.loads(pickle.dumps(instructed_by("Be brief.", (("Where?", "Here."),))("Who?")))
    assert messages_of(shown)[1:3] == (Message("user", "Where?"), Message("assistant", "Here."))


SPOKEN = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Who?\n\nAssistant:"
TURNS = (Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "Who?"))


def test_a_transcript_keeps_its_turns_behind_the_instructions_and_is_grouped_by_its_own_first():
    prompt = instructed_by("Be brief.", (("Where?", "Here."),))(SPOKEN)
    assert messages_of(prompt)[-3:] == TURNS
    assert len(messages_of(prompt)) == 6
    assert first_user_turn(prompt) == first_user_turn(SPOKEN) == "Hi"


def test_records_get_instructions():
    messages = Conversation((Message("system", "You are Al."), *TURNS))
    records = [Demonstration("Who?", "I.", {}), Demonstration(messages, "I.", {}), Demonstration(SPOKEN, "I.", {})]
    told = InstructedRecords(records, "Be brief.")
    assert [*told] == records == told[:]
    assert len(told) == 3
    system = Message("system", "Be brief.")
    assert messages_of(told[0].prompt) == (system, Message("user", "Who?"))
    assert messages_of(told[1].prompt) == (Message("system", "Be brief.\n\nYou are Al."), *TURNS)
    assert messages_of(told[-1].prompt) == (system, *TURNS)
    (spoken,) = InstructedRecords([Demonstration("\n\nSystem: You are Al." + SPOKEN, "I.", {})], "Be brief.")
    assert messages_of(spoken.prompt) == (Message("system", "Be brief.\n\nYou are Al."), *TURNS)


def test_a_text_task_is_told_what_the_user_says(tmp_path):
    told = gym.make("perlhf/HH-v0", instructions="Be brief.", reward="gold").reset(seed=3)[0]["prompt"]
    plain = gym.make("perlhf/HH-v0", reward="gold").reset(seed=3)[0]["prompt"]
    assert told == plain
    assert messages_of(told) == (Message("system", "Be brief."), *messages_of(plain))
    (tmp_path / "own.jsonl").write_text('{"prompt": "Who?", "chosen": "I.", "rejected": "No."}\n' * 2)
    options = {"data": tmp_path / "own.jsonl", "splits": "all", "reward": "rewards.functions:length_penalty"}
    own = gym.make("perlhf/Preferences-v0", instructions="Be brief.", **options).reset(seed=0)[0]["prompt"]
    assert messages_of(own) == (Message("system", "Be brief."), Message("user", "Who?"))
    with pytest.raises(UserError, match="instructions must be text, got 3"):
        gym.make("perlhf/HH-v0", instructions=3)


@pytest.mark.parametrize("env", TASKS)
def test_observations_turns_and_records_carry_the_instructions(env):
    setup = Setup.of(env, reward="gold")
    told = Message("system", setup.task_class.instructions)
    single = gym.make(setup.env_id, reward="gold")
    prompt = single.reset(seed=0)[0]["prompt"]
    (feedback,) = setup.feedback("train")
    task = single.unwrapped.task
    shown = [prompt, task.turn(single.unwrapped.state).prompt, feedback.records[0].prompt]
    several = gym.make_vec(setup.env_id, num_envs=2, reward="gold")
    shown += [several.reset(seed=0)[0]["prompt"][0], several.step(["x", "x"])[0]["prompt"][1]]
    for each in shown:
        assert isinstance(each, Instructed)
        said = messages_of(each)
        assert (said[0], said[-1]) == (told, Message("user", str(each)))
        assert len(said) == 2 + 2 * len(setup.task_class.examples)
    chat = backbone_of("qwen", "qwen2_5")
    assert told.content in chat.tokenizer.decode(chat.chat.prompt_ids(messages_of(prompt), 10_000)[0])
    tiny = Backbone.load("tiny-uinav")
    assert tiny.encode_prompt(prompt) == tiny.encode_prompt(str(prompt))


@pytest.mark.parametrize("env", ["HH-v0", "SHP-v0", "TLDR-v0", "BOLT-v0"])
def test_others_have_none(env):
    assert Setup.of(env).task_class.instructions is None


def test_the_instructions_of_the_phone_name_every_action_and_their_examples_are_some():
    assert all(f"{kind}(" in INSTRUCTIONS for kind in KINDS)
    assert [parse_action(response).kind for _, response in EXAMPLES] == ["open_app", "click", "type"]
    assert all(prompt.startswith("GOAL ") and prompt.endswith("\nACTION:") for prompt, _ in EXAMPLES)
