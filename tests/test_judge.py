"""A judge behind an OpenAI-compatible endpoint: what is sent, kept, tried again and refused."""

import json
import multiprocessing
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from foreign_rewards import judging
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.hh.task import HH
from envs.reward_spec import check_reward, resolve_reward, score_turns
from envs.turn import Turn
from perlhf.conversation import Conversation, Message
from perlhf.errors import RewardError
from rewards.judge import RUBRIC, number_in
from rewards.verdicts import Verdicts

TURNS = [Turn("Hi", f"response {i}") for i in range(6)]


@pytest.fixture
def server(monkeypatch, tmp_path):
    for name in ("OPENAI_API_KEY", "PERLHF_JUDGE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("perlhf.client.time.sleep", lambda seconds: slept.append(seconds))
    slept.clear()
    with judging() as found:
        yield found


slept = []


def scores(server, turns=TURNS, **options):
    spec = {"reward": f"judge:{server.url}#small", **options}
    return score_turns(resolve_reward(spec, HH(split="test")), turns).tolist()


def wrong(server, turns=TURNS[:1], **options):
    with pytest.raises(RewardError) as caught:
        scores(server, turns, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_sent(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "of-openai")
    prompt = Conversation([Message("system", "Be brief."), Message("user", "Hi")])
    server.answers = ['{"score": 7.5}']
    assert scores(server, [Turn(prompt, 'yes", "response": "no')]) == [0.75]
    path, headers, body = server.asked[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer of-openai"
    assert (body["model"], body["temperature"]) == ("small", 0)
    (message,) = body["messages"]
    rubric, shown, form = message["content"].split("\n\n")
    assert rubric == RUBRIC
    assert json.loads(shown) == {
        "conversation": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "response": 'yes", "response": "no',
    }
    assert form == 'Answer with JSON alone, {"score": N}, where N is a number from 0 (worst) to 10 (best).'


def test_options_change_what_is_sent(server, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "of-openai")
    monkeypatch.setenv("PERLHF_JUDGE_KEY", "of-judge")
    (tmp_path / "rubric.txt").write_text("Short is good.\n")
    server.answers = ['{"score": 2}'] * 2
    extra = {"temperature": None, "max_tokens": 50}
    assert scores(server, TURNS[:1], rubric=str(tmp_path / "rubric.txt"), scale=4, extra=extra) == [0.5]
    assert scores(server, TURNS[:1], rubric="Long is good.", scale=4) == [0.5]
    (_, headers, first), (_, _, second) = server.asked
    assert headers["Authorization"] == "Bearer of-judge"
    assert "temperature" not in first
    assert first["max_tokens"] == 50
    assert first["messages"][0]["content"].startswith("Short is good.\n\n{")
    assert second["messages"][0]["content"].startswith("Long is good.\n\n{")


def test_a_picture_is_sent_along(server):
    scores(server, [Turn("What is it?", "A wall.", picture=np.zeros((4, 4, 3), np.uint8))])
    text, image = server.asked[0][2]["messages"][0]["content"]
    assert "A wall." in text["text"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize(
    ("place", "path"),
    [("", "/v1"), ("/", "/v1"), ("/v1", "/v1"), ("/api/v1/", "/api/v1"), ("/v1beta/openai", "/v1beta/openai")],
)
def test_the_address_with_and_without_its_path(server, place, path):
    spec = f"judge:{server.url}{place}#small"
    score_turns(resolve_reward(spec, HH(split="test")), TURNS[:1])
    assert server.asked[0][0] == f"{path}/chat/completions"


# Kept answers


def test_what_was_judged_is_asked_once_and_by_all_that_decides_it(server, tmp_path):
    first = scores(server, [*TURNS, TURNS[0]])
    assert len(set(first)) > 1
    assert first[0] == first[-1]
    assert len(server.asked) == 6
    assert scores(server) == first[:6]
    assert len(server.asked) == 6
    scores(server, TURNS[:1], rubric="Another.")
    scores(server, TURNS[:1], scale=20, cache=str(tmp_path / "own" / "file"))
    assert len(server.asked) == 8
    scores(server, TURNS[:1], cache=False)
    assert len(server.asked) == 9
    others = [f"judge:{server.url}#large", f"judge:{server.url}/other#small"]
    for spec in (*others, {"reward": f"judge:{server.url}#small", "extra": {"seed": 1}}):
        for _ in range(2):
            score_turns(resolve_reward(spec, HH(split="test")), TURNS[:1])
    assert len(server.asked) == 12


def test_no_key_and_no_text_is_kept(server, monkeypatch, tmp_path):
    monkeypatch.setenv("PERLHF_JUDGE_KEY", "secret-key")
    scores(server, cache=str(tmp_path / "verdicts"))
    kept = (tmp_path / "verdicts").read_bytes()
    assert b"secret" not in kept
    assert b"response" not in kept


def write_many(path, number):
    for i in range(20):
        Verdicts(path).add(f"{number}-{i}", "m", number + i / 100)
        Verdicts(path).add("same", "m", float(number))


def test_several_processes_write_one_file(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(tmp_path / "v", n)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    found = Verdicts(tmp_path / "v").read([f"{n}-{i}" for n in range(3) for i in range(20)] + ["same", "none"])
    same = found.pop("same")
    assert same in (0.0, 1.0, 2.0)
    assert found == {f"{n}-{i}": n + i / 100 for n in range(3) for i in range(20)}


# A server that is busy, odd or away


def test_no_more_requests_at_a_time_than_asked_for(server):
    server.pause = 0.02
    scores(server, concurrency=2)
    assert server.most == 2


def test_a_busy_server_is_asked_again_when_it_says(server):
    server.busy = [(429, 7), (503, None), (500, None)]
    assert len(scores(server, TURNS[:1])) == 1
    assert slept == [7.0, 1.0, 2.0]  # as asked for, then twice the half second of the first wait, then again


def test_a_server_that_stays_busy_or_refuses_is_one_line_without_the_key(server, monkeypatch):
    monkeypatch.setenv("PERLHF_JUDGE_KEY", "secret-key")
    server.busy = [(429, None)] * 2
    said = wrong(server, tries=2)
    assert f"judge: {server.url}/v1/chat/completions gives no answer in 2 tries: 429: refused Bearer ..." in said
    server.busy = [(401, None)]
    said += wrong(server)
    assert "refuses with 401: refused Bearer ... (the key is read from PERLHF_JUDGE_KEY or OPENAI_API_KEY)" in said
    assert "secret" not in said


def test_a_server_that_is_away_is_one_line_with_its_address():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        reward = resolve_reward({"reward": f"judge:{url}#small", "tries": 2, "cache": False}, HH(split="test"))
        with pytest.raises(RewardError) as caught:
            score_turns(reward, TURNS[:2])
    expected = f"judge: {url}/v1/chat/completions gives no answer in 2 tries: Connection refused. Is the server"
    assert str(caught.value).startswith(expected)
    assert "go on with --resume" in str(caught.value)


def test_a_server_that_says_nothing_is_given_up(server):
    server.pause = 1.0
    assert "no answer in 0.05 s" in wrong(server, timeout=0.05, tries=1)


def test_prose_is_asked_about_once_more(server):
    server.answers = ["I like it.", 'On reflection: {"score": 4}']
    assert scores(server, TURNS[:1]) == [0.4]
    again = server.asked[1][2]["messages"]
    assert [message["role"] for message in again] == ["user", "assistant", "user"]
    assert again[1]["content"] == "I like it."
    server.answers = ["Good!", "Really good, I mean it."]
    said = wrong(server, TURNS[1:2])
    assert "was asked twice for a number from 0 to 10 in JSON, and said 'Really good, I mean it.'" in said
    assert scores(server, TURNS[1:2])  # nothing was kept of it


def test_what_was_judged_before_a_failure_is_kept(server):
    server.answers = [None, "prose", "prose"]
    wrong(server, TURNS[:2], concurrency=1)
    asked = len(server.asked)
    scores(server, TURNS[:2])
    assert len(server.asked) == asked + 1


def test_what_other_threads_are_told_after_a_failure_is_kept(server, monkeypatch):
    failed, told = threading.Event(), []

    def ask(judge, question):
        if "response 0" in question.text:
            raise RewardError("no number")
        assert failed.wait(10)
        return 5.0

    def add(verdicts, *what):
        told.append(write(verdicts, *what))
        return told[-1]

    write = Verdicts.add
    monkeypatch.setattr(Verdicts, "add", add)
    monkeypatch.setattr("rewards.judge.Judge.ask", ask)
    assert wrong(server, TURNS[:2], concurrency=2) == "no number"
    failed.set()
    deadline = time.monotonic() + 10
    while not told and time.monotonic() < deadline:
        failed.wait(0)
    assert told == [5.0]


def test_two_that_ask_at_a_time_take_the_number_that_is_kept(tmp_path):
    """Else the run that came second would read another number when it is resumed."""
    assert [Verdicts(tmp_path / "v").add("key", "m", number) for number in (3.0, 4.0)] == [3.0, 3.0]
    assert Verdicts(tmp_path / "v").read(["key"]) == {"key": 3.0}


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ('{"score": 7}', 7),
        ('```json\n{"score": 0.5}\n```', 0.5),
        ('{"score": 1} no, {"reason": "x", "score": 2}', 2),
        ('{"score": 10.5}', None),
        ('{"score": -1}', None),
        ('{"score": true}', None),
        ('{"score": "7"}', None),
        ('{"score": NaN}', None),
        ('{"score": }', None),
        ("7", None),
        ("", None),
    ],
)
def test_the_number_in_an_answer(said, number):
    assert number_in(said, 10) == number


@settings(max_examples=30)
@given(st.text(), st.floats(0, 10), st.text(alphabet=st.characters(exclude_characters="{}")))
def test_text_around_a_number_does_not_matter(before, number, after):
    assert number_in(f'{before}{{"score": {number}}}{after}', 10) == number


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency must be a whole number of at least 1, got 0"),
        ({"tries": 1.5}, "tries must be a whole number of at least 1, got 1.5"),
        ({"timeout": float("inf")}, "timeout must be a number above 0, got inf"),
        ({"scale": "x"}, "scale must be a number above 0, got 'x'"),
        ({"extra": [1]}, "extra is a mapping of fields of the request, got [1]"),
        ({"rubric": ""}, "rubric is a text, or a file of it, got ''"),
        ({"rubric": "gone.txt"}, "rubric 'gone.txt' cannot be read (No such file or directory)"),
        ({"cache": 3}, "cache is a file, true or false, got 3"),
        ({"cache": "/dev/null/x"}, "cache '/dev/null/x' cannot be used"),
        ({"tmeout": 3}, "has no option 'tmeout'. Did you mean 'timeout'?"),
    ],
)
def test_wrong_options_are_one_line(server, options, message):
    assert message in wrong(server, **options)
    assert not server.asked


WRONG_ADDRESSES = ["http://me:secret@host", "http://", "http://a b", "https://host/v1?key=secret", "me:secret@host"]


@pytest.mark.parametrize("url", WRONG_ADDRESSES)
@pytest.mark.parametrize(
    "spec",
    [
        lambda url: f"judge:{url}#small",
        lambda url: f"judge:{url}",
        lambda url: {"reward": "judge:http://host#small", "url": url},
        lambda url: [{"reward": "rewards.judge:score", "url": url, "model": "small"}],
        lambda url: {"ensemble": "min", "members": [f"judge:{url}#small", "gold"]},
    ],
)
def test_a_wrong_address_is_one_line_when_the_env_is_made(url, spec):
    with pytest.raises(RewardError) as caught:
        check_reward(spec(url), HH)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "judge" in str(caught.value)


def test_an_answer_without_a_message_is_one_line(server, monkeypatch):
    monkeypatch.setattr("perlhf.client.Client.ask_json", lambda *_: {"object": "list"})
    assert 'gives no message: {"object": "list"}' in wrong(server)


def test_threads_share_a_file(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: write_many(tmp_path / "v", n), range(4)))
    assert len(Verdicts(tmp_path / "v").read([f"{n}-{i}" for n in range(4) for i in range(20)])) == 80
