"""Episodes on the phone and of recordings in the dialects of others."""

import json
import random
import re

import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401 - registers perlhf/*
from envs.uinav.dialects import DIALECTS
from envs.uinav.feedback.demonstrations import is_right, visited
from envs.uinav.feedback.random_policies import SHORTCUTS
from envs.uinav.interface.actions import Action
from envs.uinav.recordings.export import export_oracle
from envs.uinav.recordings.files import write_trajectories
from envs.uinav.task import UINav

OTHERS = [name for name in DIALECTS if name != "elements"]
SCALED = [*OTHERS, "coordinates:1", "coordinates:1000", "qwen:1000", "ui-tars:280x504"]


def played(task, episode, policy):
    """Whether the goal was reached, and the steps."""
    steps, over = 0, False
    while not over:
        result = task.play(episode, policy(episode))
        episode, over, steps = result.state, result.terminated or result.truncated, steps + 1
    return result.turn.reference["success"], steps


@pytest.mark.parametrize("actions", SCALED)
def test_the_oracle_speaks_the_dialect_on_every_template(actions):
    task, rng = UINav(split="test", actions=actions), np.random.default_rng(3)
    names = sorted(task.known)
    assert len(names) == 134
    for name in names:
        assert played(task, task.start(rng, {"template": name}), task.oracle)[0], name
    for name in names[:: 7 if "androidworld" in actions else 13]:  # and where it cannot be done
        if task.known[name].template.absent is not None:
            assert played(task, task.start(rng, {"template": name, "feasible": False}), task.oracle)[0], name


@pytest.mark.parametrize("actions", OTHERS)
def test_silly_policies_reach_next_to_nothing(actions):
    task = UINav(split="test", actions=actions, max_steps=12)
    policies = {
        **{name: SHORTCUTS[name] for name in ("random", "always done", "infeasible, with a reason")},
        "first clickable": lambda screen, goal, titles, rng: Action(
            "click", next((i for i, e in enumerate(screen.elements, 1) if e.clickable), 1)
        ),
    }
    for name, policy in policies.items():
        rng = np.random.default_rng(5)

        def say(episode, policy=policy, rng=rng):
            drawn = policy(task.device.screen(episode.state), episode.goal, task.device.titles, rng)
            return task.as_response(drawn, episode)

        reached = [played(task, task.start(rng, {}), say)[0] for _ in range(60)]
        assert np.mean(reached) < 0.05, name


def test_what_a_finger_meets_on_the_phone_is_what_its_screen_says():
    drawn = random.Random(0)
    for options in ({"split": "train"}, {"split": "test", "unseen": "layouts"}):
        task = UINav(**options)
        for _, episode in zip(range(100), visited(task, np.random.default_rng(0), strays=0.5), strict=False):
            screen, surface = task.device.screen(episode.state), task.device.surface(episode.state)
            corners = [(x, y) for e in screen.elements for x in e.box[::2] for y in e.box[1::2]]
            edges = [(x - 1, y - 1) for x, y in corners]
            points = [(drawn.randrange(288), drawn.randrange(512)) for _ in range(20)]
            for point in (*corners, *edges, *points):
                assert surface.at(*point) == screen.at(*point), (point, screen.describe())
            assert (surface.focused(), surface.enter()) == (screen.focused(), screen.enter())


@pytest.mark.parametrize("actions", ["coordinates", "qwen", "ui-tars", "browsergym"])
def test_typing_into_the_field_in_use_is_the_same_as_typing_into_it(actions):
    """A click on a field, then a text without a field, leave the phone as `type(n, text)` does."""
    task, ours = UINav(actions=actions), UINav()
    rng, seen = np.random.default_rng(0), 0
    typing = {
        "coordinates": "type(hi)",
        "qwen": '<tool_call>{"name": "mobile_use", "arguments": {"action": "type", "text": "hi"}}</tool_call>',
        "ui-tars": "Action: type(content='hi')",
        "browsergym": "keyboard_type('hi')",
    }
    for _, episode in zip(range(200), visited(task, rng), strict=False):
        for number, field in enumerate(task.device.screen(episode.state).elements, 1):
            if not field.editable:
                continue
            clicked = task.advance(episode, task.as_response(Action("click", number), episode))[0]
            typed = task.advance(clicked, typing[actions])[0]
            wanted = ours.advance(ours.advance(episode, f"click({number})")[0], f"type({number}, hi)")[0]
            if task.device.surface(clicked.state).focused():
                assert typed.state == wanted.state
                seen += 1
            else:
                assert typed.problem.startswith("no field that can be seen")
    assert seen > 20


def test_enter_is_pressed_after_typing_where_the_dialect_has_it():
    task = UINav(split="test", templates="search_web", actions="androidworld")
    episode = task.start(np.random.default_rng(0), {"feasible": True})
    kinds = []
    ended = False
    while not ended:
        said = task.oracle(episode)
        kinds.append([json.loads(line)["action_type"] for line in said.split("\n")])
        episode, ended = task.advance(episode, said)
    assert ["input_text"] in kinds
    assert ["keyboard_enter"] not in kinds
    assert any("and Enter" in label for label in episode.history)


def test_a_dialect_with_two_steps_for_a_field_has_more_steps():
    most = {actions: UINav(actions=actions).max_steps for actions in DIALECTS}
    assert most == {**dict.fromkeys(DIALECTS, 20), "qwen": 30, "ui-tars": 30}
    assert UINav(actions="qwen", max_steps=5).max_steps == 5


@pytest.mark.parametrize(
    ("actions", "answering", "ending"),
    [
        (
            "androidworld",
            '{"action_type": "answer", "text": %s}',
            '{"action_type": "status", "goal_status": "complete"}',
        ),
        (
            "qwen",
            '<tool_call>{"name": "mobile_use", "arguments": {"action": "answer", "text": %s}}</tool_call>',
            '<tool_call>{"name": "mobile_use", "arguments": {"action": "terminate", "status": "success"}}</tool_call>',
        ),
        ("coordinates", "answer(%s)", "terminate(success)"),
    ],
)
def test_an_answer_is_given_first_and_the_end_follows(actions, answering, ending):
    task = UINav(split="test", templates="read_email", actions=actions)
    episode = task.start(np.random.default_rng(0), {"feasible": True})
    while (action := task.device.oracle(episode.state, episode.goal)).kind != "done":
        episode, _ = task.advance(episode, task.oracle(episode))
    assert action.text
    assert not task.play(episode, ending).turn.reference["success"]
    episode, ended = task.advance(episode, answering % json.dumps("something else"))
    assert not ended
    assert is_right(task, episode, answering % json.dumps(action.text))
    answered, ended = task.advance(episode, answering % json.dumps(action.text))  # the last one counts
    assert (answered.answer, ended) == (action.text, False)
    assert is_right(task, answered, ending)
    restored = task.state_from_json(json.loads(json.dumps(task.state_to_json(answered))))
    result = task.play(restored, ending)
    assert result.turn.reference["success"]
    assert result.terminated


@pytest.mark.parametrize("actions", OTHERS)
def test_a_wrong_action_costs_a_step_and_says_why(actions):
    env = gym.make("perlhf/UINav-v0", actions=actions)
    env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step("click")
    assert (reward, terminated, truncated, info["is_success"]) == (0, False, False, False)
    assert "\nERROR not an action" in observation["prompt"]
    told = env.unwrapped.task.instructions
    assert observation["prompt"].messages[0].content == told == DIALECTS[actions].instructions


@pytest.mark.parametrize("actions", SCALED)
def test_values_that_are_masked_may_be_typed_by_their_names(actions):
    task = UINav(split="test", mask_goal=True, templates="send_email+create_note", actions=actions)
    rng = np.random.default_rng(0)
    for _ in range(4):
        episode, said, over = task.start(rng, {}), [], False
        while not over:
            said.append(task.oracle(episode))
            result = task.play(episode, said[-1])
            episode, over = result.state, result.terminated or result.truncated
        assert result.turn.reference["success"]
        assert not any(value in each for each in said for value in episode.goal.values.values())
        assert any(f"<{name}>" in each for each in said for name in episode.goal.values)


# An outside agent that knows numbers of elements alone, as `oracle_speaker` in twenty lines: it sees the text or the
# picture's boxes, asks somebody which element, and says it in its own words.


def outside_agent(actions, say_element):
    """Says what `say_element` says of elements, in the words of each convention; boxes are what it sees."""

    def point(box):
        return (box.left + box.right) // 2, (box.top + box.bottom) // 2

    def answer(boxes):
        name, inside = re.fullmatch(r"(\w+)\((.*)\)", say_element(), re.DOTALL).groups()
        if name == "click" and actions == "coordinates":
            return "click({}, {})".format(*point(boxes[int(inside) - 1]))
        if name == "click" and actions == "ui-tars":
            return "Thought: I tap it.\nAction: click(start_box='({},{})')".format(*point(boxes[int(inside) - 1]))
        if name == "click" and actions == "qwen":
            arguments = {"action": "click", "coordinate": point(boxes[int(inside) - 1])}
            return f"<tool_call>\n{json.dumps({'name': 'mobile_use', 'arguments': arguments})}\n</tool_call>"
        if name == "click" and actions == "androidworld":
            return f'Reason: so.\nAction: {{"action_type": "click", "index": {inside}}}'
        return f"click('{inside}')" if name == "click" else None

    return answer


@pytest.mark.parametrize("actions", OTHERS)
def test_an_outside_agent_reaches_what_the_oracle_does_that_it_wraps(actions):
    env = gym.make("perlhf/UINav-v0", split="test", actions=actions, lenient=True)
    task, ours, reached = env.unwrapped.task, UINav(split="test"), 0
    for seed in range(25):
        env.reset(seed=seed)
        over = False
        while not over:
            episode = env.unwrapped.state
            boxes = [element.box for element in task.device.screen(episode.state).elements]
            agent = outside_agent(actions, lambda episode=episode: ours.oracle(episode))
            _, _, terminated, truncated, info = env.step(agent(boxes) or env.unwrapped.oracle())
            over = terminated or truncated
        reached += info["is_success"]
    assert reached == 25


# Recordings.


@pytest.mark.parametrize("actions", SCALED)
def test_recordings_are_played_in_any_dialect(actions, tmp_path):
    phone, rng = UINav(), np.random.default_rng(0)
    write_trajectories(tmp_path / "train.jsonl", export_oracle(phone, 12, rng))
    task = UINav(data=str(tmp_path), actions=actions)
    for index in range(len(task.recordings.trajectories)):
        success, steps = played(task, task.start(rng, {"index": index}), task.oracle)
        assert success
        assert steps >= len(task.recordings.trajectories[index].steps)


@pytest.mark.parametrize("actions", ["coordinates", "ui-tars"])
def test_films_show_where_the_finger_was(actions):
    task = UINav(actions=actions, templates="star_email")
    episode = task.start(np.random.default_rng(0), {"feasible": True})
    touched = 0
    ended = False
    while not ended:
        said = task.oracle(episode)
        result = task.play(episode, said)
        assert task.frame(episode, said).shape == (512, 288, 3)
        action = task.action(said, episode)
        place = task.tapped(result.turn)
        if action.element:
            assert task.device.surface(episode.state).at(*place) == action.element
            touched += 1
        else:
            assert place is None
        episode, ended = result.state, result.terminated
    assert touched > 1


def test_shares_of_actions_are_those_of_the_dialect():
    task = UINav(actions="qwen")
    good = '<tool_call>{"name": "mobile_use", "arguments": {"action": "wait"}}</tool_call>'
    figures = task.figures_of([good, f"Sure!\n{good}", "wait()", ""])
    assert figures == {"actions": 0.25, "actions, leniently read": 0.5}
