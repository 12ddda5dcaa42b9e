"""perlhf eval-agent: any agent plays episodes, lost and interrupted ones too, and what came of them is in its files."""

import importlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from chromium import CHROMIUM, opened
from hypothesis import given
from hypothesis import strategies as st

from envs.registry import task_of
from envs.uinav.dialects import DIALECTS
from evaluation.agents.episode_log import EpisodeLog
from evaluation.agents.outside import chat_messages
from evaluation.agents.results import figures_of, results_of
from evaluation.eval_agent import Options, evaluate
from evaluation.metrics import share
from perlhf.conversation import messages_of
from perlhf.errors import UserError

ROOT = Path(__file__).parents[1]
EASY = "star_email+call_contact+mute_thread"


def phone(**options):
    return task_of("perlhf/UINav-v0", split="test", lenient=True, **options)


class Server:
    """An OpenAI-compatible endpoint that says what the oracle would, in the first episodes of a task.

    Attributes:
        url: where it is.
        asked: the bodies of all requests, in order.
        keys: their Authorization headers.
        faults: what the next requests get in place of an answer: a status, "silence", or a text or object as it is.
        most: requests that were on their way at a time.
        pause: seconds before each answer.
    """

    def __init__(self, task, count):
        self.answers, self.asked, self.keys, self.faults = {}, [], [], []
        self.lock, self.most, self.now, self.pause = threading.Lock(), 0, 0, 0.0
        for state in task.first_states(count):
            over = False
            while not over:
                shown, said = messages_of(task.observe(state)["prompt"])[-1].content, task.oracle(state)
                assert self.answers.setdefault(shown, said) == said
                played = task.play(state, said)
                state, over = played.state, played.terminated or played.truncated

    def said(self, body):
        content = body["messages"][-1]["content"]
        return self.answers[content if isinstance(content, str) else content[0]["text"]]


class Handler(BaseHTTPRequestHandler):
    owner: Server

    def log_message(self, *_):
        pass

    def do_POST(self):
        owner, body = self.owner, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with owner.lock:
            owner.asked.append(body)
            owner.keys.append(self.headers["Authorization"])
            fault = owner.faults.pop(0) if owner.faults else None
            owner.now += 1
            owner.most = max(owner.most, owner.now)
        time.sleep(1.5 if fault == "silence" else owner.pause)
        with owner.lock:
            owner.now -= 1
        if isinstance(fault, int):
            self.say(fault, {"error": {"message": "come back later"}})
        elif isinstance(fault, dict) or fault not in (None, "silence"):
            self.say(200, fault)
        else:
            usage = {"prompt_tokens": 100, "completion_tokens": 7}
            self.say(200, {"choices": [{"message": {"content": owner.said(body)}}], "usage": usage})

    def say(self, status, said):
        data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
        try:
            self.send_response(status)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:  # who asked has gone
            pass


@contextmanager
def serving(task, count):
    owner = Server(task, count)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OfOne", (Handler,), {"owner": owner}))
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    owner.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield owner
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for name in ("PERLHF_AGENT_KEY", "OPENAI_API_KEY", "VLLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def evaluated(folder, **options):
    return evaluate(Options(output_dir=str(folder), **{"frames": 0, "templates": EASY, **options}))


def lines_of(folder):
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]


def without_times(folder):
    """All that was written of the episodes, but how long it took."""
    return [{**r, "steps": [{**s, "seconds": 0} for s in r["steps"]]} for r in lines_of(folder)]


# Endpoints


def test_an_endpoint_reaches_what_the_oracle_behind_it_reaches(tmp_path, capsys):
    with serving(phone(), 20) as server:
        asked = {"endpoint": server.url, "model": "m", "templates": "", "episodes": 20}
        found = evaluated(tmp_path / "e", **asked, price_in=2, price_out=10)
    oracle = evaluated(tmp_path / "o", agent="oracle", templates="", episodes=20)
    assert found["all"] == oracle["all"]
    assert found["all"]["success"]["mean"] == 1
    assert found["all"]["steps_over_oracle"]["mean"] == 0
    answers = len(server.asked)
    spent = found["spent"]
    assert (spent["answers"], spent["counted"]) == (answers, answers)
    assert (spent["prompt_tokens"], spent["completion_tokens"]) == (100 * answers, 7 * answers)
    assert spent["cost"] == pytest.approx(answers * (100 * 2 + 7 * 10) / 1e6, abs=1e-6)
    assert 1 < server.most <= 8
    assert [r["episode"] for r in lines_of(tmp_path / "e")] == list(range(20))
    said = capsys.readouterr().out
    assert "| success | 1.000 [0.839, 1.000] | 20 |" in said  # Wilson: 20 of 20


def test_what_is_sent(tmp_path, monkeypatch):
    monkeypatch.setenv("PERLHF_AGENT_KEY", "of-agents")
    with serving(phone(), 0) as server:
        server.answers = {str(phone(templates=EASY).observe(s)["prompt"]): "done()" for s in
                          phone(templates=EASY).first_states(1)}  # fmt: skip
        evaluated(tmp_path, endpoint=server.url, model="m", episodes=1, request="top_p=0.5,temperature=null")
    (body,) = server.asked
    assert (body["model"], body["max_tokens"], body["top_p"]) == ("m", 1024, 0.5)
    assert "temperature" not in body
    assert [message["role"] for message in body["messages"]][:2] == ["system", "user"]
    assert body["messages"][0]["content"] == phone().instructions
    assert server.keys == ["Bearer of-agents"]
    assert all("of-agents" not in path.read_text() for path in tmp_path.iterdir())


def test_a_message_in_parts_is_read_as_its_text(tmp_path):
    parts = [{"type": "text", "text": "do"}, {"type": "text", "text": "ne()"}]
    with serving(phone(templates=EASY), 0) as server:
        server.faults = [{"choices": [{"message": {"content": parts}}]}]
        evaluated(tmp_path, endpoint=server.url, model="m", episodes=1)
    assert lines_of(tmp_path)[0]["steps"][0]["said"] == "done()"


@pytest.mark.parametrize("told", ["no: Bearer sk-of-agents", {"error": {"message": "no: sk-of-agents"}}])
def test_a_key_that_a_server_repeats_is_left_out(told, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-agents\n")  # as a file has it
    with serving(phone(templates=EASY), 2) as server:
        server.faults = [told]
        found = evaluated(tmp_path, endpoint=server.url, model="m", episodes=2, concurrency=1, tries=1)
    assert "no: " in found["lost"]["0"]
    assert set(server.keys) == {"Bearer sk-of-agents"}
    said = capsys.readouterr()
    assert all("of-agents" not in text for text in (said.out, said.err, *(p.read_text() for p in tmp_path.iterdir())))


@pytest.mark.parametrize("key", ["sk-of\nagents", "sk-of–agents"])
def test_a_key_that_no_header_can_hold_is_one_line_without_it(key, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match=r"^OPENAI_API_KEY holds a sign that no key has: .*$") as caught:
        evaluated(tmp_path, endpoint="http://127.0.0.1:9", model="m", episodes=1)
    assert "agents" not in str(caught.value)


def test_pictures_are_sent_as_data_urls(tmp_path):
    with serving(phone(templates=EASY, image=True), 2) as server:
        found = evaluated(tmp_path, endpoint=server.url, model="m", episodes=2, env_options="image=true")
    assert found["all"]["success"]["mean"] == 1
    text, picture = server.asked[0]["messages"][-1]["content"]
    assert text["text"].startswith("GOAL ")
    assert picture["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


def test_a_flaky_endpoint_changes_no_figure(tmp_path):
    with serving(phone(templates=EASY), 6) as server:
        whole = evaluated(tmp_path / "a", endpoint=server.url, model="m", episodes=6)
        calm = len(server.asked)
        server.asked.clear()
        garbage = ["<html>Bad gateway", "[" * 100_000, {"object": "list"}, {"choices": [{"message": {"content": 3}}]}]
        server.faults = [429, 500, *garbage[:2], 503, "silence", 529, *garbage[2:]]
        flaky = evaluated(tmp_path / "b", endpoint=server.url, model="m", episodes=6, timeout=1, concurrency=2)
    assert len(server.asked) == calm + 9
    assert {k: v for k, v in flaky.items() if k != "spent"} == {k: v for k, v in whole.items() if k != "spent"}
    assert without_times(tmp_path / "a") == without_times(tmp_path / "b")


def test_an_episode_without_an_answer_is_lost_and_played_by_the_next_run(tmp_path, capsys):
    with serving(phone(templates=EASY), 6) as server:
        server.faults = [400]
        asked = {"endpoint": server.url, "model": "m", "episodes": 6, "concurrency": 1}
        found = evaluated(tmp_path, **asked)
        assert list(found["lost"]) == ["0"]
        assert "400: come back later" in found["lost"]["0"]
        assert found["episodes"] == 5
        assert "1 more episodes were lost, and no figure counts them" in capsys.readouterr().out
        server.asked.clear()
        again = evaluated(tmp_path, **asked)
    assert (again["lost"], again["episodes"]) == ({}, 6)
    assert len(server.asked) == len(lines_of(tmp_path)[0]["steps"])


def test_an_endpoint_that_refuses_every_time_ends_the_run_in_a_line(tmp_path):
    with serving(phone(templates=EASY), 1) as server:
        server.faults = [401] * 100
        with pytest.raises(UserError) as caught:
            evaluated(tmp_path, endpoint=server.url, model="m", episodes=40, concurrency=2)
    assert str(caught.value).startswith("5 episodes in a row got no answer. The last: http://127.0.0.1:")
    assert "(the key is read from PERLHF_AGENT_KEY or OPENAI_API_KEY or VLLM_API_KEY)" in str(caught.value)
    assert "the same command goes on with them" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_killed_run_goes_on_and_asks_nothing_again(tmp_path):
    with serving(phone(templates=EASY), 12) as server:
        whole = evaluated(tmp_path / "whole", endpoint=server.url, model="m", episodes=12)
        server.asked.clear()
        server.pause = 0.1
        words = ["--endpoint", server.url, "--model", "m", "--templates", EASY, "--episodes", "12", "--concurrency",
                 "2", "--output-dir", str(tmp_path / "cut"), "--frames", "0"]  # fmt: skip
        command = subprocess.Popen(
            [sys.executable, "-m", "perlhf", "eval-agent", *words], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        log = tmp_path / "cut" / "episodes.jsonl"
        deadline = time.monotonic() + 60
        while not (log.exists() and log.read_text().count("\n") >= 3):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        command.send_signal(signal.SIGKILL)
        command.wait()
        kept = {record["episode"]: record for record in lines_of(tmp_path / "cut")}
        log.write_text(log.read_text() + '{"episode": 11, "verd')  # as a kill in the middle of a line leaves it
        assert 3 <= len(kept) < 12
        time.sleep(0.2)  # what was on its way has come
        server.asked.clear()
        server.pause = 0.0
        again = evaluated(tmp_path / "cut", endpoint=server.url, model="m", episodes=12)
    left = [record for record in lines_of(tmp_path / "cut") if record["episode"] not in kept]
    assert len(server.asked) == sum(len(record["steps"]) for record in left)
    assert {k: v for k, v in again.items() if k != "spent"} == {k: v for k, v in whole.items() if k != "spent"}
    assert without_times(tmp_path / "cut") == without_times(tmp_path / "whole")


def test_a_text_task_is_played_by_an_endpoint_and_judged_by_gold(tmp_path):
    task = task_of("perlhf/HH-v0", split="test")
    with serving(task, 6) as server:
        found = evaluated(tmp_path, env="HH-v0", templates="", endpoint=server.url, model="m", episodes=6)
    assert set(found["all"]) == {"success", "gold"}
    assert found["all"]["gold"]["mean"] == 1
    assert found["by_template"] == found["by_level"] == {}


# Callables


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of agents; gives its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def written(code):
        name = f"agents_of_{len(list(tmp_path.glob('*.py')))}_{tmp_path.name}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))
        return name

    return written


def plays_as_the_oracle(actions, tmp_path, monkeypatch, **of):
    """Whether the agent of examples/, before an endpoint that wraps the oracle, does what the oracle does."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    templates = {"templates": of["templates"]} if of["templates"] else {}
    with serving(phone(actions=actions, **templates), of["episodes"]) as server:
        monkeypatch.setenv("CHAT_URL", server.url)
        monkeypatch.setenv("CHAT_MODEL", "m")
        found = evaluated(tmp_path / "a", agent="chat_agent:ChatAgent", actions=actions, concurrency=2, **of)
    oracle = evaluated(tmp_path / "o", agent="oracle", actions=actions, **of)
    assert found["all"] == oracle["all"]
    assert found["all"]["success"]["mean"] == 1
    assert found["spent"]["answers"] == oracle["spent"]["answers"]
    assert server.most <= 2


@pytest.mark.parametrize("actions", DIALECTS)
def test_an_agent_of_twenty_lines_does_what_the_oracle_behind_it_does(actions, tmp_path, monkeypatch):
    code = (ROOT / "examples" / "chat_agent.py").read_text().split('"""', 2)[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    plays_as_the_oracle(actions, tmp_path, monkeypatch, episodes=3, templates=EASY)


@pytest.mark.long
@pytest.mark.parametrize("actions", DIALECTS)
def test_it_does_so_in_two_hundred_episodes(actions, tmp_path, monkeypatch):
    plays_as_the_oracle(actions, tmp_path, monkeypatch, episodes=200, templates="")


def test_agents_are_functions_classes_or_what_makes_them(module, tmp_path):
    name = module(
        """
        seen = []

        def function(observation, info):
            seen.append((observation, info))
            return "done()"

        class Agent:
            def __init__(self):
                self.episodes = 0

            def reset(self):
                self.episodes += 1

            def __call__(self, observation, info):
                return f"done({self.episodes})"

        def make():
            return Agent()
        """
    )
    evaluated(tmp_path / "f", agent=f"{name}:function", episodes=2)
    observation, info = sys.modules[name].seen[1]
    assert sorted(info) == ["episode", "goal", "instructions", "max_steps", "messages", "step", "template"]
    assert (info["episode"], info["step"], info["max_steps"]) == (1, 0, 20)
    assert info["messages"] == chat_messages(observation)
    assert info["goal"] in observation["prompt"]
    for kind in ("Agent", "make"):
        evaluated(tmp_path / kind, agent=f"{name}:{kind}", episodes=3)
        assert [r["steps"][0]["said"] for r in lines_of(tmp_path / kind)] == ["done(1)", "done(2)", "done(3)"]


def test_an_agent_that_raises_loses_the_episode_and_says_where(module, tmp_path):
    name = module(
        """
        import json
        import sys

        def agent(observation, info):
            if info["episode"] == 1:
                return json.loads("{")  # raises in another file
            return "done()"

        def always(observation, info):
            sys.exit("no luck")
        """
    )
    found = evaluated(tmp_path / "a", agent=f"{name}:agent", episodes=3)
    assert list(found["lost"]) == ["1"]
    assert found["lost"]["1"].startswith(f"agent {name}:agent raised JSONDecodeError: ")
    assert found["lost"]["1"].endswith(f" ({name}.py:7).")
    for at_a_time in (1, 2):
        with pytest.raises(UserError, match=r"5 episodes in a row got no answer. The last: .* raised SystemExit: no"):
            evaluated(tmp_path / f"b{at_a_time}", agent=f"{name}:always", episodes=9, concurrency=at_a_time)


def test_an_agent_may_change_what_it_gets(module, tmp_path):
    name = module(
        """
        def agent(observation, info):
            info.clear()
            return f"done({len(observation.pop('prompt'))})"
        """
    )
    evaluated(tmp_path / "a", agent=f"{name}:agent", episodes=1)
    (step,) = lines_of(tmp_path / "a")[0]["steps"]
    assert step["said"] == f"done({len(step['prompt'])})"


def test_halves_of_pairs_and_endless_answers_do_no_harm(module, tmp_path):
    name = module("def agent(observation, info):\n    return chr(0xD800) + 'x' * 50_000\n")
    evaluated(tmp_path / "a", agent=f"{name}:agent", episodes=1, env_options="max_steps=2")
    (record,) = lines_of(tmp_path / "a")
    assert record["steps"][0]["said"] == "\ufffd" + "x" * 19_999
    assert record["outcome"] == "out of steps"


def test_lenient_is_the_default_and_strict_an_option(module, tmp_path):
    name = module("def agent(observation, info):\n    return 'I think we are finished. ACTION: done().'\n")
    assert evaluated(tmp_path / "a", agent=f"{name}:agent", episodes=1)["outcomes"] == {"false completion": 1}
    strict = evaluated(tmp_path / "b", agent=f"{name}:agent", episodes=1, strict=True)
    assert strict["outcomes"] == {"out of steps": 1}
    assert "not an action" in lines_of(tmp_path / "b")[0]["steps"][0]["problem"]


# Built-in agents


def test_random_and_scripted_agents_speak_every_dialect_and_reach_what_they_do_in_elements(tmp_path):
    found = {
        (agent, actions): evaluated(tmp_path / f"{agent}-{actions}", agent=agent, actions=actions, episodes=6)
        for agent in ("random", "scripted")
        for actions in ("elements", "coordinates")
    }
    for agent in ("random", "scripted"):
        assert found[agent, "elements"]["all"]["success"] == found[agent, "coordinates"]["all"]["success"]
    assert (
        found["scripted", "elements"]["all"]["success"]["mean"] > found["random", "elements"]["all"]["success"]["mean"]
    )


def test_a_shipped_policy_gets_the_figure_of_the_evaluator(tmp_path):
    from backbones.backbone import Backbone
    from envs.reward_spec import resolve_reward
    from evaluation.evaluator import Evaluator

    task = task_of("perlhf/UINav-v0", split="test", max_steps=6)
    evaluator = Evaluator(task, resolve_reward("gold", task), 64, 8)
    golds = evaluator.answer(Backbone.load("tiny-uinav").reference, 0.0).golds
    of = {"agent": "backbone:tiny-uinav", "strict": True, "env_options": "max_steps=6", "templates": ""}
    found = evaluated(tmp_path, episodes=8, **of)
    assert [record["verdict"]["success"] for record in lines_of(tmp_path)] == (golds == 1).tolist()
    assert 0 < found["all"]["success"]["mean"] < 1


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "say who plays"),
        ({"agent": "oracle", "endpoint": "http://x"}, "say who plays"),
        ({"endpoint": "http://x"}, "--endpoint URL and --model NAME belong together"),
        ({"agent": "oracle", "model": "m"}, "--endpoint URL and --model NAME belong together"),
        ({"agent": "oracle", "request": "top_p=1"}, "--request says fields"),
        ({"agent": "orakel"}, "--agent 'orakel': expected MODULE:NAME, random, scripted, oracle"),
        ({"agent": "backbone:"}, "--agent 'backbone:': expected MODULE:NAME"),
        ({"agent": "oracle:me"}, "no module named 'oracle'"),
        ({"agent": "oracle", "temperature": 1.0}, "--temperature and --max-tokens are of models; agent oracle decides"),
        ({"agent": "no_such_module:f"}, "no module named 'no_such_module'"),
        ({"agent": "json:dumbs"}, "Did you mean 'dumps'?"),
        ({"endpoint": "localhost:8000", "model": "m"}, "--endpoint 'localhost:8000': expected the address of a server"),
        ({"endpoint": "http://a:b@x", "model": "m"}, "a key does not stand in the address"),
        ({"agent": "oracle", "env": "HH-v0", "templates": "star_email"}, "--templates is of the phone"),
        ({"agent": "oracle", "env": "HH-v0", "strict": True}, "--strict is of the phone"),
        ({"agent": "random", "env": "HH-v0"}, "--agent random acts on a phone, and HH has no screen"),
        ({"agent": "oracle", "env": "CartPole-v1"}, "CartPole-v1"),
        ({"agent": "oracle", "actions": "qwenn"}, "Did you mean 'qwen'?"),
        ({"agent": "oracle", "actions": "qwen", "env_options": "actions=qwen"}, "actions is decided by the command"),
        ({"agent": "oracle", "env_options": "split=test"}, "the command itself decides that"),
        ({"agent": "run:no_such_run"}, "no_such_run holds no run"),
        ({"agent": "json:dumps"}, "agent json:dumps raised TypeError"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_one_line(options, message, tmp_path):
    with pytest.raises(UserError) as caught:
        evaluate(Options(output_dir=str(tmp_path / "out"), episodes=20, **options))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_agent_has_to_return_text(module, tmp_path):
    name = module("def agent(observation, info):\n    return 3\n")
    with pytest.raises(UserError, match="must return text, got int: '3'"):
        evaluated(tmp_path / "a", agent=f"{name}:agent", episodes=1)


def test_other_options_need_another_folder_and_a_free_one_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluated("out", agent="oracle", episodes=1)
    with pytest.raises(UserError, match=r"out holds episodes with another --agent \('oracle', now 'random'\)"):
        evaluated("out", agent="random", episodes=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UserError, match="full holds files of something else"):
        evaluated("full", agent="oracle", episodes=1)
    for seed in (0, 1, 1):
        evaluate(Options(agent="oracle", episodes=1, templates=EASY, seed=seed))
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["UINav-v0-oracle", "UINav-v0-oracle-2"]


def test_a_line_that_is_no_episode_is_named(tmp_path):
    path = tmp_path / "episodes.jsonl"
    whole = {"goal": "", "template": "", "groups": [], "outcome": "failure", "verdict": {}, "steps": []}
    for odd in ({"episode": "one", **whole}, {"episode": 1}, [1], {"episode": 1, **whole, "verdict": None}):
        path.write_text("".join(json.dumps(each) + "\n" for each in ({"episode": 0, **whole}, odd)))
        with pytest.raises(UserError, match=r"episodes.jsonl:2: no episode of eval-agent"):
            EpisodeLog(path, 5)
    path.write_text("[" * 100_000 + "\n")
    with pytest.raises(UserError, match=r"episodes.jsonl:1: no episode of eval-agent"):
        EpisodeLog(path, 5)


# Figures


def test_figures_by_hand():
    verdicts = [
        {"success": True, "progress": 1.0, "side_effects": [], "answer_right": None, "level": 1},
        {"success": False, "progress": 0.5, "side_effects": ["a", "b"], "answer_right": False, "level": 1},
    ]
    found = figures_of(verdicts)
    assert list(found) == ["success", "progress", "side_effects", "answer_right"]
    assert {name: (value["mean"], value["n"]) for name, value in found.items()} == {
        "success": (0.5, 2), "progress": (0.75, 2), "side_effects": (0.5, 2), "answer_right": (0.0, 1),
    }  # fmt: skip


def test_wilsons_interval_by_hand():
    # z^2 = 3.8415: of none of 10 the upper end is z^2 / (10 + z^2) = 3.8415 / 13.8415
    assert share([False] * 10) == {"mean": 0.0, "low": 0.0, "high": pytest.approx(0.27754, abs=1e-5), "n": 10}
    # of 1 of 2: (1/2 + z^2/4 -+ z sqrt(1/8 + z^2/16)) / (1 + z^2/2) = (1.46037 -+ 1.18824) / 2.92073
    found = share([True, False])
    assert (found["low"], found["high"]) == (pytest.approx(0.09453, abs=1e-4), pytest.approx(0.90547, abs=1e-4))


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_a_share_lies_in_its_interval(holds):
    found = share(holds)
    assert 0 <= found["low"] <= found["mean"] + 1e-12
    assert found["mean"] - 1e-12 <= found["high"] <= 1
    mirrored = share([not one for one in holds])
    assert found["low"] == pytest.approx(1 - mirrored["high"])


def test_tokens_that_nobody_counted_are_no_zeros():
    step = {"prompt_tokens": None, "completion_tokens": None, "seconds": 0.5}
    record = {"verdict": {"success": True}, "outcome": "success", "template": "", "groups": [], "steps": [step]}
    assert results_of([record], (1.0, 1.0))["spent"] == {"answers": 1, "seconds_per_answer": 0.5}


# The explorer


class Page(HTMLParser):
    """Reads what a browser made of the page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.images, self.rows, self.shown = [], [], {}, ()
        self.title, self.said, self._inside = "", "", ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        self._inside = found.get("class", tag)
        if tag == "img":
            self.images.append(found["src"])
        if "data-verdict" in found:
            self.rows[found["data-verdict"]] = float(found["data-mean"]), int(found["data-n"])
        if found.get("id") == "shown":
            self.shown = int(found["data-shown"]), int(found["data-success"])

    def handle_data(self, data):
        if self._inside == "title":
            self.title += data
        elif self._inside == "said":
            self.said += data


EVIL = '</script><script>document.title = "owned"</script><img src=x onerror="document.title=1">&lt;'


def test_the_explorer_is_one_file_that_holds_no_html_of_an_agent(module, tmp_path):
    name = module(f"def agent(observation, info):\n    return {EVIL!r}\n")
    of = {"agent": f"{name}:agent", "episodes": 2, "frames": 1, "env_options": "max_steps=2"}
    evaluated(tmp_path / "a", **of)
    text = (tmp_path / "a" / "explorer.html").read_text()
    assert text.count("</script>") == 2  # of the data and of the page's own code
    assert "<script>document" not in text
    assert "http" not in text.partition('type="application/json"')[0].replace("http-equiv", "")
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert data["episodes"][0]["steps"][0]["said"] == EVIL
    assert data["results"] == json.loads((tmp_path / "a" / "results.json").read_text())
    assert [len(e["steps"]) for e in data["episodes"]] == [2, 2]
    assert "frame" in data["episodes"][0]["steps"][0]
    assert "frame" not in data["episodes"][1]["steps"][0]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt install chromium")
def test_a_browser_shows_the_numbers_of_the_results_and_runs_nothing_that_was_said(module, tmp_path):
    name = module(
        f"""
        answers = {{}}

        def agent(observation, info):
            if info["episode"] == 1:
                return {EVIL!r}
            return {EVIL!r} + "\\nACTION: " + answers[info["messages"][-1]["content"]]
        """
    )
    importlib.import_module(name).answers.update(Server(phone(templates=EASY), 3).answers)
    evaluated(tmp_path / "a", agent=f"{name}:agent", episodes=3, frames=2)
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    dom, console = opened(tmp_path / "a" / "explorer.html", tmp_path / "profile")
    assert console == []
    page = Page(dom)
    assert page.title.strip() == f"{name}:agent: UINav-v0"
    assert page.rows == {name: (value["mean"], value["n"]) for name, value in results["all"].items()}
    assert page.shown == (3, 2)
    assert results["all"]["success"]["mean"] == pytest.approx(2 / 3)
    assert page.tags.count("script") == 2
    assert page.images
    assert all(source.startswith("data:image/webp;base64,") for source in page.images)
    assert EVIL in page.said


# The command


def test_the_command_says_what_it_wrote_and_keeps_its_options(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "perlhf", "eval-agent", "--agent", "oracle", "--episodes", "2", "--templates", EASY,
         "--output-dir", str(tmp_path / "out"), "--frames", "1"],
        capture_output=True, text=True, timeout=120, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| success | 1.000 [0.342, 1.000] | 2 |" in done.stdout
    assert done.stdout.endswith("out: results.json, episodes.jsonl, explorer.html\n")
    assert yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())["episodes"] == 2
