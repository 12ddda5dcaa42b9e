"""perlhf report and compare: pages whose numbers are those of the files, and that run nothing which was said."""

import json
import re
import sys
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
import torch
import yaml
from chromium import CHROMIUM, opened
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import gemma

from backbones.backbone import Backbone
from backbones.roles import HeadRole, LoRASettings
from envs.hh.task import HH
from envs.reward_spec import resolve_reward
from envs.uinav.task import UINav
from envs.vqav2.task import VQAv2
from evaluation.compare import compare, write_report
from evaluation.evaluator import Evaluator
from evaluation.finished_run import load_value
from evaluation.reporting.curves import smoothed, window_of
from evaluation.reporting.samples import Turned, chosen_of
from evaluation.reporting.sentences import part_of_ways, peak_of
from evaluation.reporting.tokens import Scale, scale_of, texts_of, tokens_of
from evaluation.side_by_side import extremes
from perlhf.errors import UserError
from perlhf.run_folder import read_summary, update_summary, write_json

pytest.importorskip("matplotlib", reason="pages need the extra: pip install 'perlhf[report]'")
pytest.importorskip("jinja2")

from evaluation import compare_runs, report

EVIL = '</script><script>document.title = "owned"</script><img src=x onerror="document.title=1">&lt;'
OFFSET = 0.25


# Folders of runs


def write_run(folder, env, **config):
    """A run that has logged twenty rollouts, in which gold rises and falls again while the score goes on rising."""
    folder.mkdir(parents=True)
    options = {
        "env": env, "env_options": "", "data": "miniature", "backbone": "tiny", "reward": "gold", "algorithm": "ppo",
        "seed": 0, "max_new_tokens": 12, "eval_split": "test", "total_timesteps": 160, **config,
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(options))
    golds = [0.1 * min(k, 12 - k // 2) for k in range(20)]
    rows = [
        {"step": 8 * k + 8, "rollout/gold": gold, "rollout/score": 0.1 * k, "train/kl_coef": 0.1, "own/figure": k * k}
        for k, gold in enumerate(golds)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def without_env(config, **more):
    return {name: value for name, value in {**config, **more}.items() if name != "env"}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A run on HH-v0 with a policy and values of random weights, evaluated on twelve prompts."""
    root = tmp_path_factory.mktemp("real")
    backbone = gemma(root / "base")
    policy, value = (backbone.add_role(n, LoRASettings(2), head=n == "value", seed=1) for n in ("policy", "value"))
    with torch.no_grad():
        for parameter in [*policy.body_parameters().values(), *value.body_parameters().values()]:
            parameter += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    folder = write_run(root / "run", "HH-v0", backbone=backbone.path)
    policy.save(folder / "policy")
    value.save(folder / "value", {"offset": OFFSET})
    sides = [HH(split=split) for split in ("test", "validation")]
    evaluators = [Evaluator(task, resolve_reward("gold", task), 12, 12, 0, split) for task, split in
                  zip(sides, ("test", "validation"), strict=True)]  # fmt: skip
    write_report(folder, compare(*evaluators, policy, samples=2))
    update_summary(
        folder,
        turns=160,
        seconds=12.5,
        diagnosis=[{"turns": 8, "said": "the policy has not moved"}],
        ended="it was late",
    )
    return folder


def answer(text, gold, score=None, **more):
    return {"text": text, "score": gold if score is None else score, "gold": gold, **more}


def write_evaluation(folder, prompts, sides, **more):
    """An evaluation with these answers of SFT and policy, sampled and greedy alike."""
    samples = [
        {"episode": k, "prompt": prompt, "sft_sampled": sft, "policy_sampled": mine, "sft_greedy": sft,
         "policy_greedy": mine}
        for k, (prompt, (sft, mine)) in enumerate(zip(prompts, sides, strict=True))
    ]  # fmt: skip
    write_json(folder / "evaluation.json", {"policy": {"n": len(samples)}, "split": "test", "samples": samples, **more})
    return folder


def make(module, monkeypatch, *words):
    monkeypatch.setattr("sys.argv", [module.__name__, *map(str, words)])
    module.main()


def page_of(folder, monkeypatch, *words):
    make(report, monkeypatch, folder, *words)
    return (folder / "report.html").read_text(encoding="utf-8")


def fault(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Page(HTMLParser):
    """Reads the numbers, the text and the films of a page."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.tags, self.films, self.images, self.text, self.title, self._cell = [], [], [], [], "", "", None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        if "data-path" in found:
            self._cell = [int(found["data-run"]), tuple(json.loads(found["data-path"])), ""]
            self.cells.append(self._cell)
        if "data-film" in found:
            self.films.append((json.loads(found["data-film"]), found["data-end"]))
        if tag == "img":
            self.images.append(found["src"])

    def handle_endtag(self, tag):
        if tag == "td":
            self._cell = None

    def handle_data(self, data):
        if self.tags[-1:] == ["title"]:
            self.title += data
        if self.tags[-1:] not in (["script"], ["style"]):
            self.text += data
        if self._cell is not None:
            self._cell[2] += data


def number_at(summary, path):
    for key in path:
        summary = summary[key]
    return summary


def check_numbers(page, summaries):
    """Every number in a cell is what the summary has there, to the places that are shown, and so are intervals."""
    for run, path, text in page.cells:
        found = number_at(summaries[run], path)
        if isinstance(found, dict):
            expected = [found["mean"], found["low"], found["high"]]
        elif f"{path[-1]}_low" in (beside := number_at(summaries[run], path[:-1])):
            expected = [found, beside[f"{path[-1]}_low"], beside[f"{path[-1]}_high"]]
        else:
            expected = [found]
        shown = re.findall(r"[+-]?\d[\d,]*(?:\.\d+)?", text)
        assert len(shown) == len(expected), (path, text)
        for one, value in zip(shown, expected, strict=True):
            places = len(one.partition(".")[2])
            assert float(one.replace(",", "")) == pytest.approx(value, abs=0.5 * 10**-places + 1e-9), (path, text)


# A page of a run


@pytest.fixture(scope="module")
def page(real):
    """The page of the real run, made by the command."""
    with pytest.MonkeyPatch.context() as patch:
        return page_of(real, patch)


def test_every_number_of_the_tables_is_that_of_the_summary(real, page):
    summary, found = read_summary(real), Page(page)
    check_numbers(found, [summary])
    paths = {path for _, path, _ in found.cells}
    assert paths >= {
        ("sft", "gold"), ("sft", "gold_greedy"), ("sft", "best"), ("policy", "score"), ("policy", "gold_greedy"),
        ("oracle", "gold"), ("gain", "sampled"), ("gain", "greedy"), ("beyond_sharpening",), ("win_rate",), ("kl",),
        ("best_of", "gold"), ("pass_at", "policy", "1"), ("best_at", "gain", "1"), ("policy", "length"),
        ("sft_temperature", "by_temperature", "0.35"), ("beyond_sharpening", "groups", "harmful"), ("seconds",),
        ("turns",),
    }  # fmt: skip


def test_a_page_loads_nothing_and_all_its_names_are_its_own(page):
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page
    assert not re.search(r"@import|url\((?!#)", page)
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(names)
    assert not re.search("#0[ab]0[ab]0", page)  # colours of a page in place of those that are drawn with
    assert "var(--s0)" in page


def test_it_says_what_the_run_knows_of_itself(real, page):
    text = Page(page).text
    assert "After 8 turns the policy has not moved." in text
    assert "It ended early: it was late." in text
    assert "Gold was highest after 80 turns (0.740) and is 0.380 at the end, while the score rose by 0.800: " in text
    assert "The log has one value alone of:\ntrain/kl_coef 0.1" in text
    assert "own/figure" in text  # a figure that somebody else logs
    assert "Beyond sharpening: " in text


def test_answers_say_why_they_are_there_and_tokens_what_they_cost(real, page):
    evaluation = json.loads((real / "evaluation.json").read_text())
    text = Page(page).text
    assert "6 of the first 12 held-out episodes, drawn by lot, and those that stand out among all 12." in text
    for row in evaluation["extremes"]:
        assert re.search(rf"episode {row['episode']}: (drawn by lot; )?{re.escape(', '.join(row['why']))}", text)
    assert text.count("(end)") == 12  # six answers, by KL and by value
    assert len(re.findall(r'data-kl="[+-]\d+\.\d{3}" data-value="[+-]\d+\.\d{3}"', page)) > 12


def test_without_tokens_no_model_is_loaded(real, tmp_path, monkeypatch):
    config = yaml.safe_load((real / "config.yaml").read_text())
    moved = write_run(tmp_path / "moved", "HH-v0", **without_env(config, backbone=str(tmp_path / "gone")))
    for name in ("summary.json", "evaluation.json"):
        (moved / name).write_bytes((real / name).read_bytes())
    text = page_of(moved, monkeypatch, "--tokens", 0)
    assert "data-kl=" not in text
    assert "Left out" not in text
    assert "Left out is what more there would be to see: " in page_of(moved, monkeypatch)
    check_numbers(Page(text), [read_summary(real)])


def test_a_run_that_is_still_on_has_a_page_of_curves(tmp_path, monkeypatch):
    folder = write_run(tmp_path / "run", "HH-v0")
    found = page_of(folder, monkeypatch)
    assert "The run is not finished: its log ends after 160 turns." in Page(found).text
    assert Page(found).cells == []
    assert found.count("<svg") == 3
    update_summary(folder, turns=160)
    assert "was not compared with SFT" in Page(page_of(folder, monkeypatch)).text


def test_what_was_said_is_text(tmp_path, monkeypatch):
    prompts = [HH(split="test").observe(k)["prompt"] for k in HH(split="test").first_states(2)]
    folder = write_run(tmp_path / "<b>run", "HH-v0", stop=EVIL)
    write_evaluation(folder, prompts, [(answer(EVIL, 0.0), answer(EVIL, 0.0))] * 2)
    found = page_of(folder, monkeypatch, "--tokens", 0)
    assert "<script>document" not in found
    assert "<b>run" not in found
    assert found.count("</script>") == 2
    assert EVIL in Page(found).text


def test_two_makings_are_one(real, page, tmp_path, monkeypatch):
    make(report, monkeypatch, real, "--output", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == page


# Films and pictures


def played(task, state, responses):
    """The verdict at the end of these responses, and all of them that it took."""
    for response in responses:
        step = task.play(state, response)
        state = step.state
    assert step.terminated or step.truncated
    return task.judge(step.turn)


def by_oracle(task, state):
    said, over = [], False
    while not over:
        said.append(task.oracle(state))
        step = task.play(state, said[-1])
        state, over = step.state, step.terminated or step.truncated
    return said


@pytest.fixture
def phone(tmp_path):
    """A run on UINav-v0: SFT gives up at once, the policy does what the oracle does."""
    task = UINav(split="test")
    states = task.first_states(2)
    prompts = [task.observe(state)["prompt"] for state in states]
    sides = []
    for state in states:
        mine, sft = by_oracle(task, state), ["done()"]
        golds = [played(task, state, said) for said in (sft, mine)]
        sides.append((answer("done()", golds[0]), answer("; ".join(mine), golds[1], responses=mine)))
    return write_evaluation(write_run(tmp_path / "run", "UINav-v0"), prompts, sides), sides


def test_films_show_each_screen_with_what_was_said_to_it(phone, monkeypatch):
    folder, sides = phone
    found = page_of(folder, monkeypatch, "--tokens", 0)
    films = Page(found).films
    assert len(films) == 4
    for (sft, mine), (before, after) in zip(sides, list(zip(films[::2], films[1::2], strict=True)), strict=True):
        assert [screen["said"] for screen in before[0]] == ["done()", ""]
        assert [screen["said"] for screen in after[0]] == [*mine["responses"], ""]
        assert before[1] == ("goal reached" if sft["gold"] else "goal not reached")
        assert after[1] == "goal reached"
        assert before[0][0]["frame"] == after[0][0]["frame"]  # one picture of the first screen
        assert any(screen["tap"] for screen in after[0])
    frames = json.loads(found.partition('id="frames">')[2].partition("</script>")[0])
    assert all(frame.startswith("data:image/webp;base64,") for frame in frames)
    assert {screen["frame"] for film, _ in films for screen in film} == set(range(len(frames)))


def test_an_evaluation_that_does_not_say_where_turns_end_has_films_where_they_end_the_same(phone, monkeypatch):
    folder, _ = phone
    path = folder / "evaluation.json"
    evaluation = json.loads(path.read_text())
    for row in evaluation["samples"]:
        for name in ("policy_sampled", "policy_greedy"):
            del row[name]["responses"]
    evaluation["samples"][0]["policy_sampled"]["text"] = "wait(); done()"  # which does not reach the goal
    path.write_text(json.dumps(evaluation))
    text = page_of(folder, monkeypatch, "--tokens", 0)
    assert len(Page(text).films) == 3
    assert "1 of the policy's episodes do not end again as they did" in Page(text).text


def test_other_episodes_than_were_evaluated_are_no_films(phone, monkeypatch):
    folder, _ = phone
    path = folder / "evaluation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "split": "validation"}))
    text = page_of(folder, monkeypatch, "--tokens", 0)
    assert Page(text).films == []
    assert re.search(r"episode \d of split .*validation.* is another one than was evaluated", text)


def test_a_question_has_its_picture_and_what_people_said(tmp_path, monkeypatch):
    task = VQAv2(split="test")
    turn = task.turn(0)
    right = answer(task.oracle(0), task.judge(task.turn(0, task.oracle(0))))
    folder = write_run(tmp_path / "run", "VQAv2-v0")
    write_evaluation(folder, [task.observe(0)["prompt"]], [(answer("nothing", 0.0), right)])
    found = Page(page_of(folder, monkeypatch, "--tokens", 0))
    assert [source.partition(";")[0] for source in found.images] == ["data:image/webp", "data:image/png"]
    answers = turn.reference["answers"]
    for said in set(answers):
        assert f"{said}: {answers.count(said)}" in found.text


# In a browser


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt install chromium")
def test_a_browser_shows_the_numbers_and_says_nothing_on_its_console(real, page, tmp_path):
    (tmp_path / "report.html").write_text(page)
    dom, console = opened(tmp_path / "report.html", tmp_path / "profile")
    assert console == []
    found = Page(dom)
    check_numbers(found, [read_summary(real)])
    assert len(found.cells) == len(Page(page).cells)
    assert found.tags.count("svg") == 3


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt install chromium")
def test_a_browser_plays_films_and_runs_nothing_that_was_said(phone, tmp_path, monkeypatch):
    folder, _ = phone
    path = folder / "evaluation.json"
    evaluation = json.loads(path.read_text())
    evaluation["samples"][1]["policy_greedy"]["text"] = EVIL
    said = [EVIL, "done()"]
    task = UINav(split="test")
    gold = played(task, task.first_states(2)[1], said)
    evaluation["samples"][1]["policy_sampled"] = answer(EVIL, gold, responses=said)
    path.write_text(json.dumps(evaluation))
    page_of(folder, monkeypatch, "--tokens", 0)
    dom, console = opened(folder / "report.html", tmp_path / "profile")
    assert console == []
    found = Page(dom)
    assert found.title.strip() == "run"
    assert len(found.films) == 4
    assert len(found.images) == 4  # a screen each
    assert EVIL in found.text
    assert found.tags.count("script") == 2


# Runs beside each other


def test_runs_stand_beside_each_other(real, tmp_path, monkeypatch):
    config = yaml.safe_load((real / "config.yaml").read_text())
    other = write_run(tmp_path / "other", "HH-v0", **without_env(config, seed=7))
    for name in ("summary.json", "evaluation.json"):
        (other / name).write_bytes((real / name).read_bytes())
    update_summary(other, kl=9.5)
    make(compare_runs, monkeypatch, real, other, "--output", tmp_path / "both.html", "--samples", 3)
    text = (tmp_path / "both.html").read_text()
    found = Page(text)
    check_numbers(found, [read_summary(real), read_summary(other)])
    assert {run for run, path, _ in found.cells if path == ("kl",)} == {0, 1}
    assert "run beside other" in found.text
    assert "All are runs on HH-v0." in found.text
    differ = text.partition("Options that differ")[2].partition("</table>")[0]
    assert re.findall(r'<td class="text">([^<]*)</td>', differ) == ["seed", "0", "7"]
    assert text.count('<article class="sample">') == 3
    assert text.count('<div class="side">') == 9  # SFT and two policies
    assert "var(--s0)" in text
    assert "var(--s1)" in text
    assert "http" not in text.replace("http-equiv", "")


def test_runs_of_two_tasks_share_no_answers(real, phone, tmp_path, monkeypatch):
    make(compare_runs, monkeypatch, real, phone[0], "--output", tmp_path / "both.html")
    found = Page((tmp_path / "both.html").read_text())
    assert "These are runs on HH-v0 and UINav-v0: their figures are not of one kind." in found.text
    assert "Answers side by side" not in found.text
    assert f"{real} beside {phone[0]}" in found.text  # both folders are called run


# Mistakes


def test_mistakes_are_one_line(tmp_path, monkeypatch):
    folder = write_run(tmp_path / "run", "HH-v0")

    def said(module, *words):
        return fault(make, module, monkeypatch, *words)

    assert said(report) == "give the run folder: report DIR, or --run DIR."
    assert said(report, tmp_path).startswith(f"{tmp_path} holds no run (no config.yaml)")
    assert said(report, folder, "--output", tmp_path) == f"--output {tmp_path} is a folder; give the name of a file."
    assert said(compare_runs, folder) == "give two run folders or more: compare RUN RUN ..."
    assert said(compare_runs, folder, folder) == f"{folder} is given twice; give other runs beside it."
    assert said(compare_runs, folder, tmp_path / "no").startswith(f"{tmp_path / 'no'} holds no run")
    (folder / "evaluation.json").write_text("[1")
    assert said(report, folder).startswith(f"{folder / 'evaluation.json'}: not valid JSON: ")
    (folder / "metrics.jsonl").write_text("")
    assert said(report, folder).startswith(f"{folder} has no line in metrics.jsonl yet")
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "config.yaml").write_text(yaml.safe_dump({"env": "HH-v0", "records": 3}))
    assert "is a run of agents.train_sft" in said(report, tmp_path / "sft")


@pytest.mark.parametrize(("name", "start"), [("matplotlib", "curves need"), ("jinja2", "pages of runs need")])
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, name, start):
    folder = write_run(tmp_path / "run", "HH-v0")
    monkeypatch.setitem(sys.modules, name, None)
    message = fault(make, report, monkeypatch, folder)
    assert message.startswith(start)
    assert message.endswith("pip install 'perlhf[report]'")


# Tokens and values


def test_tokens_have_the_log_ratio_and_the_value_of_a_plain_forward(real):
    backbone = Backbone.load(yaml.safe_load((real / "config.yaml").read_text())["backbone"])
    from backbones.roles import load_role

    policy = load_role(real / "policy", "policy", False, backbone)[0]
    value, offset = load_value(real, policy)
    assert offset == OFFSET
    turns = [Turned("\n\nHuman: Hello\n\nAssistant:", None, "Yes, I can help."), Turned("No", None, "")]
    found = tokens_of(policy, (value, offset), turns)
    assert [token.text for token in found[1]] == ["(end)"]  # an answer without a word
    prompt = backbone.encode_prompt(turns[0].prompt)
    response = [*backbone.encode_response(turns[0].response), backbone.end_ids[0]]
    ids, first = torch.tensor([[*prompt, *response]]), len(prompt) - 1

    def chosen(role):
        with torch.no_grad(), role.active() as model:
            return model(input_ids=ids).logits[0, first:-1].log_softmax(-1)[range(len(response)), response]

    ratios = (chosen(policy) - chosen(backbone.reference)).tolist()
    assert [token.kl for token in found[0]] == pytest.approx(ratios, abs=1e-4)
    with torch.no_grad(), value.active() as model:
        states = model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0, first:-1]
        values = states @ value.head.weight[0] + OFFSET
    assert [token.value for token in found[0]] == pytest.approx(values.tolist(), abs=1e-4)
    assert "".join(token.text for token in found[0][:-1]).strip() == turns[0].response
    assert all(token.value is None for token in tokens_of(policy, None, turns)[0])


def test_values_that_read_the_policys_states_are_loaded_with_them(tmp_path):
    backbone = gemma(tmp_path / "base")
    policy = backbone.add_role("policy", LoRASettings(2))
    assert load_value(tmp_path, policy) is None
    shared = HeadRole(backbone, "value", policy)
    torch.nn.init.constant_(shared.head.weight, 0.5)
    shared.save(tmp_path / "value", {"offset": 0.0})
    value, offset = load_value(tmp_path, policy)
    assert offset == 0.0
    assert isinstance(value, HeadRole)
    assert value.head.weight.tolist() == shared.head.weight.tolist()


@settings(max_examples=25)
@given(st.text(alphabet="ab é日本🙂.", min_size=1, max_size=12))
def test_texts_of_tokens_are_the_text(text):
    backbone = texts_backbone()
    ids = backbone.encode_response(text)
    pieces = texts_of(backbone, [*ids, backbone.end_ids[0]])
    assert len(pieces) == len(ids) + 1
    whole = backbone.tokenizer.decode(ids)
    assert "".join(pieces[:-1]) == whole or whole.endswith("\N{REPLACEMENT CHARACTER}")


def texts_backbone(kept={}):  # noqa: B006 - loaded once
    if not kept:
        kept["tiny"] = Backbone.load("tiny")
    return kept["tiny"]


def test_colours_are_warm_above_and_cold_below_and_stay_readable():
    scale = Scale(1.0, 2.0)
    assert scale.colour(1.0) == "rgba(var(--cold), 0.00)"
    assert scale.colour(2.0) == "rgba(var(--hot), 0.30)"
    assert scale.colour(-9.0) == "rgba(var(--cold), 0.60)"
    assert scale_of([0.0, 0.0], 0.0).span > 0


# Sentences and choices


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_a_smoothed_curve_stays_between_its_values(values):
    found = smoothed(values)
    assert len(found) == len(values)
    assert all(min(values) - 1e-9 <= value <= max(values) + 1e-9 for value in found)


def test_a_smoothed_curve_by_hand():
    assert smoothed([0, 10, 20, 30, 40, 50], 3) == [5, 10, 20, 30, 40, 45]
    assert smoothed([7.0]) == [7.0]
    assert [window_of(count) for count in (1, 20, 149, 150, 480)] == [5, 5, 5, 7, 19]


def test_the_peak_by_hand():
    values = [0, 0, 0, 5, 5, 5, 5, 5, 0, 0, 0, 0, 0]
    peak = peak_of(list(range(8, 8 * 14, 8)), values)
    assert (peak.row, peak.turn, peak.value, peak.last) == (5, 48, 5.0, 0.0)


def rows_of(golds, scores):
    return [{"step": 8 * k, "rollout/gold": g, "rollout/score": s} for k, (g, s) in
            enumerate(zip(golds, scores, strict=True))]  # fmt: skip


def test_gold_that_fell_while_the_score_rose_is_said():
    golds = [*np.linspace(0, 1, 15), *np.linspace(1, 0.5, 15)]
    rising = part_of_ways(rows_of(golds, np.linspace(0, 3, 30)))
    assert "while the score rose by" in rising
    assert rising.endswith("the policy learns what the reward likes and the judge does not.")
    assert "the score fell by" in part_of_ways(rows_of(golds, golds))
    assert part_of_ways(rows_of(np.linspace(0, 1, 30), np.linspace(0, 1, 30))) is None
    assert part_of_ways(rows_of(golds[:14], golds[:14])) is None  # too few rows
    noise = np.random.default_rng(0).normal(0.5, 0.1, 200)
    assert part_of_ways(rows_of(noise, noise)) is None


def test_episodes_that_stand_out_by_hand():
    sft, golds = [0.5, 0.5, 0.5, 0.5], [1.0, 0.5, 0.0, 0.25]
    scores = [1.0, 4.0, 3.0, -2.0]
    assert extremes([0, 0, 0, 0], scores, sft, golds) == {
        0: ["gained most gold"],
        2: ["lost most gold", "score rose most where gold fell", "highest score of the policy"],
        3: ["lost most gold", "lowest score of the policy"],
        1: ["highest score of the policy"],
        **{0: ["gained most gold", "lowest score of the policy"]},
    }
    assert extremes([0, 0], [0, 0]) == {0: ["highest score of the policy", "lowest score of the policy"]} | {
        1: ["highest score of the policy", "lowest score of the policy"]
    }
    assert extremes([1, 1, 1], [3, 1, 0])[0][0] == "gained most score"
    assert extremes([1, 1, 1], [3, 1, 0])[2][0] == "lost most score"


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=30))
def test_what_stands_out_is_few_and_in_order(pairs):
    before, after = zip(*pairs, strict=True)
    found = extremes(before, after)
    highest = [k for k, whys in found.items() if "highest score of the policy" in whys]
    assert 1 <= len(highest) <= 2
    assert max(after) in [after[k] for k in highest]
    assert sum(len(whys) for whys in found.values()) <= 8


def test_answers_are_drawn_by_lot_and_those_that_stand_out_are_there_once():
    rows = [{"prompt": str(k), **{f"{side}_sampled": answer("", g) for side, g in (("sft", 0.0), ("policy", k / 9))}}
            for k in range(10)]  # fmt: skip
    evaluation = {"policy": {"n": 500}, "samples": rows}
    found, said = chosen_of(evaluation, 4)
    assert said.startswith(
        "4 of the first 10 held-out episodes, drawn by lot, and those that stand out among these 10."
    )
    assert [each.why.startswith("drawn by lot") for each in found[:4]] == [True] * 4
    assert all(a < b for a, b in pairwise(each.episode for each in found[:4]))
    assert len({each.episode for each in found}) == len(found)
    assert {9, 8, 0, 1} <= {each.episode for each in found}
    assert chosen_of(evaluation, 4, seed=1)[0] != found
    assert chosen_of(evaluation, 0) == ([], "")
    assert len(chosen_of({**evaluation, "extremes": []}, 99)[0]) == 10
    assert "among all 500." in chosen_of({**evaluation, "extremes": []}, 99)[1]
