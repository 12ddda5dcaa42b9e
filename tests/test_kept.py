"""Tables of kept cells: what is taken, what is made anew and when, rates that are chosen, and what the tables say."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from command_modules import command_module
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import gemma

import evaluation.kept.make as making
import evaluation.reproduce.__main__ as reproduce
from backbones.roles import LoRASettings
from evaluation.kept import algorithms, lora_factors, paper_cells, paper_tables, reward_metrics
from evaluation.kept.cells import SEEDS, Book, Cell, Experiment
from evaluation.kept.forgetting import losses
from evaluation.kept.make import filled, make
from evaluation.kept.rates import LADDER, best, to_try
from evaluation.kept.rows import beside, command_lines, over
from evaluation.labs.cells import weights_hash
from evaluation.metrics import interquartile_mean, rank_correlation, ranks, stratified_interval
from perlhf.errors import UserError
from perlhf.options import parse_options

PLANS = {
    "paper": paper_cells.plan, "lora": lora_factors.plan, "algorithms": algorithms.plan,
    "reward-metrics": reward_metrics.plan,
}  # fmt: skip


# Rates


def test_rates_go_on_where_the_best_is_at_the_edge():
    start = (0.3, 1.0, 3.0)
    assert to_try(start, {}) == [0.3, 1.0, 3.0]
    assert to_try(start, {0.3: 0.5}) == [1.0, 3.0]
    assert to_try(start, {0.3: 0.5, 1.0: 0.7, 3.0: 0.6}) == []
    assert to_try(start, {0.3: 0.5, 1.0: 0.6, 3.0: 0.7}) == [10.0]
    assert to_try(start, {0.3: 0.5, 1.0: 0.6, 3.0: 0.7, 10.0: 0.8}) == []  # there is nothing beyond
    assert to_try(start, {0.3: 0.9, 1.0: 0.6, 3.0: 0.7}) == [0.1]
    assert best({0.3: 0.5, 1.0: 0.7, 0.1: 0.7}) == 0.1  # of equal ones the lowest


@given(st.lists(st.floats(0, 1), min_size=len(LADDER), max_size=len(LADDER)), st.integers(0, len(LADDER) - 3))
def test_the_chosen_rate_has_no_better_neighbour(values, first):
    worth, found = dict(zip(LADDER, values, strict=True)), {}
    while tried := to_try(LADDER[first : first + 3], found):
        assert not set(tried) & set(found)
        found |= {factor: worth[factor] for factor in tried}
    at = LADDER.index(best(found))
    assert worth[LADDER[at]] == max(worth[factor] for factor in LADDER[max(0, at - 1) : at + 2])


# Cells


def cell(name, *words, **more):
    return Cell(name, ("agents.train_ppo", "--env", "HH-v0", *words), lambda folder: {}, 1.0, **more)


def test_figures_are_taken_for_what_they_are_of(tmp_path):
    book, one = Book(tmp_path / "cells.json"), cell("one", "--seed", "0")
    book.put(one, {}, {"figure": 1})
    again = Book(tmp_path / "cells.json")
    assert again.found(one, {}) == {"figure": 1}
    assert again.found(cell("one", "--seed", "1"), {}) is None
    assert again.found(one._replace(then=("--samples", "4")), {}) is None
    assert again.found(one._replace(ready=False), {}) is None
    held = json.loads((tmp_path / "cells.json").read_text())["one"]["asked"]
    assert held["command"] == list(one.words)
    assert held["defaults"]["training"][0]["kl_coef"] == 0.15  # the recipe's, so another recipe is another cell
    assert set(held["weights"]) == {"tiny/model.safetensors", "hh/adapter_model.safetensors", "hh/perlhf.json"}


def test_a_cell_on_a_backbone_that_is_a_cell_is_of_its_weights(tmp_path):
    book, one = Book(tmp_path / "cells.json"), cell("one", "--backbone", "backbone-XS", base="backbone XS")
    book.put(one, {"backbone XS": {"sha256": "a"}}, {"figure": 1})
    assert book.found(one, {"backbone XS": {"sha256": "a"}}) == {"figure": 1}
    assert book.found(one, {"backbone XS": {"sha256": "b"}}) is None
    assert book.found(one, {}) is None


def test_cells_that_follow_from_others_are_known_after_them(tmp_path):
    def plan(known):
        return [cell("first"), *([cell("second", "--seed", str(known["first"]["seed"]))] if "first" in known else [])]

    book = Book(tmp_path / "cells.json")
    assert book.known(plan) == {}
    book.put(plan({})[0], {}, {"seed": 3})
    book.put(cell("second", "--seed", "3"), {}, {"figure": 1})
    assert book.known(plan) == {"first": {"seed": 3}, "second": {"figure": 1}}
    book.put(plan({})[0], {}, {"seed": 4})
    assert book.known(plan) == {"first": {"seed": 4}}


@pytest.fixture
def at_work(tmp_path, monkeypatch):
    """Commands are not run: each writes a summary with its seed, fails, or writes weights; pages lie in a folder."""
    done = SimpleNamespace(words=[], fails={}, docs=tmp_path / "docs")

    def fake(words, stdout, **kwargs):
        seed, folder = words[words.index("--seed") + 1], Path(words[words.index("--output-dir") + 1])
        done.words.append(words[2:])
        if seed in done.fails:
            stdout.write(done.fails[seed])
            stdout.flush()
            return SimpleNamespace(returncode=1)
        (folder / "summary.json").write_text(json.dumps({"seed": int(seed)}))
        (folder / "model.safetensors").write_bytes(seed.encode())
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", fake)
    monkeypatch.setattr(making, "DOCS", done.docs)
    done.docs.mkdir()
    (done.docs / "page.md").write_text(
        "# Page\n\nSaid by hand.\n\n<!-- seeds: made by python -m evaluation.reproduce --tables some -->\n"
        "<!-- end of seeds -->\n"
    )
    return done


def keep(folder):
    return {"seed": json.loads((folder / "summary.json").read_text())["seed"]}


def seeded(known, seeds, quick):
    return [cell(f"run, seed {seed}", "--seed", str(seed))._replace(keep=keep) for seed in seeds]


SOME = Experiment("some", "page.md", seeded, lambda known: {"seeds": [f"{len(known)} of {len(SEEDS)}", *sorted(known)]})


def options(tmp_path, **more):
    return reproduce.Options(output_dir=str(tmp_path / "runs"), **more)


def test_what_is_missing_is_made_seed_by_seed_and_written_into_the_page(tmp_path, at_work, capsys):
    make("some", SOME, options(tmp_path, seeds="0"), time.monotonic() + 60)
    assert "0 of 1 runs are there, the others take about 0 minutes" in capsys.readouterr().out
    page = (at_work.docs / "page.md").read_text()
    assert "Said by hand." in page
    assert "-->\n\n1 of 3\nrun, seed 0\n\n<!-- end" in page
    make("some", SOME, options(tmp_path), time.monotonic() + 60)
    assert [words[words.index("--seed") + 1] for words in at_work.words] == ["0", "1", "2"]
    assert "3 of 3" in (at_work.docs / "page.md").read_text()
    assert not (tmp_path / "runs" / "run-seed-0").exists()  # the figures are kept, and no run
    kept = json.loads((at_work.docs / "reproduction" / "some.json").read_text())
    assert kept["run, seed 1"]["found"]["seed"] == 1
    assert kept["run, seed 1"]["found"]["process_cpu_seconds"] >= 0


def test_when_the_time_is_over_the_page_alone_is_written(tmp_path, at_work):
    make("some", SOME, options(tmp_path), time.monotonic())
    assert at_work.words == []
    assert "0 of 3" in (at_work.docs / "page.md").read_text()
    assert json.loads((at_work.docs / "reproduction" / "some.json").read_text()) == {}


def test_two_processes_lose_no_figure(tmp_path):
    one, other = Book(tmp_path / "cells.json"), Book(tmp_path / "cells.json")
    one.put(cell("one"), {}, {"figure": 1})
    other.put(cell("two"), {}, {"figure": 2})
    assert Book(tmp_path / "cells.json").found(cell("one"), {}) == {"figure": 1}


def test_a_command_that_fails_ends_it_and_what_was_made_is_kept(tmp_path, at_work):
    at_work.fails["1"] = "error: no space left on device\n"
    with pytest.raises(UserError, match=r"seed 1 .*failed"):
        make("some", SOME, options(tmp_path), time.monotonic() + 60)
    assert "1 of 3" in (at_work.docs / "page.md").read_text()


def test_a_rate_at_which_numbers_are_lost_is_a_figure(tmp_path, at_work):
    at_work.fails["0"] = "error: the gradient is nan in adapter 3 after step 12, expected a number.\n"
    make("some", SOME, options(tmp_path, seeds="0"), time.monotonic() + 60)
    kept = json.loads((at_work.docs / "reproduction" / "some.json").read_text())
    assert kept["run, seed 0"]["found"]["failed"] is True
    assert kept["run, seed 0"]["found"]["chosen_by"] < 0


def test_a_backbone_that_is_not_there_is_made_before_what_is_on_it(tmp_path, at_work):
    def keep_base(folder):
        return {"sha256": weights_hash([folder])}

    base = cell("backbone XS", "--seed", "7")._replace(keep=keep_base)
    on = cell("on it", "--backbone", "backbone-XS", "--seed", "0", base="backbone XS")._replace(keep=keep)
    both = Experiment("both", "page.md", lambda known, seeds, quick: [base, on], SOME.tables)
    at_work.fails["0"] = "error: stopped\n"
    with pytest.raises(UserError):
        make("some", both, options(tmp_path), time.monotonic() + 60)
    (tmp_path / "runs" / "backbone-XS" / "model.safetensors").unlink()  # as in a fresh checkout, where figures are kept
    at_work.fails.clear()
    (tmp_path / "runs" / "backbone-XS" / "reproduce.json").write_text("{}")
    make("some", both, options(tmp_path), time.monotonic() + 60)
    assert [words[words.index("--seed") + 1] for words in at_work.words] == ["7", "0", "7", "0"]
    assert at_work.words[-1][at_work.words[-1].index("--backbone") + 1] == str(tmp_path / "runs" / "backbone-XS")


def test_a_page_without_the_place_of_a_table_is_named():
    with pytest.raises(UserError, match="the table 'b'"):
        filled("<!-- a: made by python -m evaluation.reproduce --tables x -->\n<!-- end of a -->\n", "x", {"b": []})


# The three experiments


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("quick", [False, True])
def test_every_command_of_a_plan_is_one(name, quick):
    cells = PLANS[name]({}, SEEDS, quick)
    assert len({each.name for each in cells}) == len(cells)
    assert len({each.folder for each in cells}) == len(cells)
    for each in cells:
        module, words = command_module(each.words[0]), list(each.words[1:])
        module.read_options(words) if hasattr(module, "read_options") else parse_options(module.Options, words)


def chosen_at(factor, stage="reward", task="HH", size="S", kind="LoRA"):
    """What is known where a rate is best, and its neighbours are worse."""
    at = LADDER.index(factor)
    values = {LADDER[at - 1]: 0.6, factor: 0.7, LADDER[at + 1]: 0.5}
    return {f"{stage} {task} {size} {kind}, rate x{f:g}": {"chosen_by": value} for f, value in values.items()}


def test_seeds_are_asked_at_the_rate_that_was_best_on_validation():
    known = chosen_at(1.0)
    cells = {each.name: each for each in paper_cells.plan(known, SEEDS, False)}
    assert cells["reward HH S LoRA 16, seed 2"].ready
    assert not cells["reward HH S full, seed 2"].ready
    words = cells["reward HH S LoRA 16, seed 2"].words
    assert words[words.index("--learning-rate") + 1] == "0.0102"  # 1.3 / 128
    searched = cells["reward HH S LoRA, rate x1"].words
    assert searched[searched.index("--eval-split") + 1] == "validation"
    assert searched[searched.index("--seed") + 1] not in map(str, SEEDS)
    on_small = cells["policy HH XXS full, rate x0.1"]
    assert (on_small.base, on_small.words[on_small.words.index("--backbone") + 1]) == ("backbone XXS", "backbone-XXS")


def test_the_tables_set_ours_beside_the_papers():
    known = chosen_at(1.0) | chosen_at(0.1, kind="full")
    for seed, accuracy in zip(SEEDS, (0.70, 0.72, 0.74), strict=True):
        for setting, seconds, peak in (("LoRA 4", 20.0, 600.0), ("full", 30.0, 800.0)):
            known[f"reward HH S {setting}, seed {seed}"] = {
                "accuracy": {"mean": accuracy}, "cpu_seconds": seconds, "peak_rss_mb": peak,
            }  # fmt: skip
    rows = paper_tables.tables(known)
    row = next(line for line in rows["reward models"] if line.startswith("| HH | S | LoRA 4 |"))
    # The mean of three is 0.72 with a standard deviation of 0.02: 4.303 * 0.02 / sqrt(3) to each side.
    assert "| 0.720 [0.670, 0.770] | 3 | 78.7 | 0.0102 | 20 | 0.67 | 600 | 0.75 |" in row
    assert "| HH | S | LoRA 1 | not run yet | 0 | 76 | 0.0102 |" in "\n".join(rows["reward models"])
    table_1 = next(line for line in rows["costs"] if line.startswith("| reward HH |"))
    assert "| 76.6 and 78.7 | 0.75 | 0.431 | 1.50 | 1.6 |" in table_1
    assert "0.00305: not run yet, 0.0102: 0.700" not in "\n".join(rows["rates"])
    assert any(line.startswith("| reward HH S LoRA | 0.0102 |") for line in rows["rates"])
    assert any("perlhf train-reward-model --env HH-v0 --pairs 2000" in line for line in rows["commands"])


def policy_run(gold, sft=0.5, tries=0.9):
    side = {"gold": gold, "gold_greedy": gold, "score": 1.0}
    return {
        "sft": {**side, "gold": sft}, "policy": side, "kl": 1.0, "cpu_seconds": 10.0, "adapter_mb": 0.1,
        "beyond_sharpening": {"mean": 0.1}, "forgotten": {"prompts": 0.01, "responses": 0.2},
        "pass_at": {"sft": {"16": tries}, "policy": {"16": tries}},
    }  # fmt: skip


def test_effects_of_factors_are_seed_by_seed():
    known = {f"HH default, seed {seed}": policy_run(0.80 + seed / 100) for seed in (0, 1)}
    known["HH rank: 1, seed 1"] = policy_run(0.71)
    assert lora_factors.effects(known, "HH", "rank: 1") == pytest.approx([-0.10])
    rows = lora_factors.tables(known)["hh"]
    assert any(line.startswith("| rank: 1 | 0.710 | -0.100 |") for line in rows)
    assert rows[-1] == "The seeds of the default are 0.010 apart in gold, sampled (n = 2)."


def test_what_did_not_stay_finite_is_told_and_in_no_mean():
    known = {"HH rate: x 3, seed 0": {"failed": True, "chosen_by": -1.0}, "HH rate: x 3, seed 1": policy_run(0.7)}
    row = next(line for line in lora_factors.tables(known)["hh"] if line.startswith("| rate: x 3 |"))
    assert row.startswith("| rate: x 3 | 0.700 |")
    assert row.endswith("| 2, 1 of them diverged |")


def test_algorithms_are_compared_by_the_room_that_they_gain():
    assert algorithms.room_gained(policy_run(0.75)) == pytest.approx(0.5)
    assert algorithms.room_gained(policy_run(0.4)) == pytest.approx(-0.2)
    known = {
        f"{task} ppo, seed 0": policy_run(gold) for task, gold in zip(algorithms.TASKS, (0.6, 0.8, 1.0), strict=True)
    }
    rows = algorithms.tables(known)["together"]
    # Of 0.2, 0.6, 1.0 the middle half is 0.6 and a quarter of each of the others.
    assert any(line.startswith("| ppo | 0.600 | 0.200 | 0.600 | 1.000 | 3 |") for line in rows)
    assert any(line.startswith("| rloo | not run yet |") for line in rows)


def test_ranks_by_hand():
    assert ranks([3.0, 1.0, 2.0, 1.0]).tolist() == [3.0, 0.5, 2.0, 0.5]
    assert rank_correlation([1, 2, 3], [10, 100, 50]) == pytest.approx(0.5)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0


@given(st.lists(st.floats(-9, 9).map(lambda value: round(value, 3)), min_size=2, max_size=9), st.data())
def test_ranks_do_not_see_what_keeps_the_order(values, data):
    other = data.draw(st.permutations(values))
    assert ranks([value**3 + 1 for value in values]).tolist() == ranks(values).tolist()
    assert rank_correlation(values, other) == pytest.approx(rank_correlation(other, [v**3 for v in values]))


def test_reward_models_of_as_much_data_are_compared_among_themselves():
    # Over all six the figure goes along with gold; of each three it orders two pairs rightly and one wrongly, then all.
    values, gold = np.array([1.0, 2.0, 3.0, 7.0, 8.0, 9.0]), np.array([0.2, 0.1, 0.3, 0.7, 0.8, 0.9])
    assert reward_metrics.within(values, gold, np.array([0, 0, 0, 1, 1, 1])) == pytest.approx((0.5 * 2 + 2) / 4)
    assert reward_metrics.within(values, gold, np.arange(6)) == 0  # nothing to compare


def test_what_goes_along_with_gold_stands_first():
    known = {}
    for number, data in enumerate(reward_metrics.DATA):
        known[data.name("report", 0)] = {
            "best of 4": number / 10, "ECE": 0.5 - number / 10, "flat": 1.0, "accuracy on pairs": 0.6,
            "agreement with gold": 0.7, "process_cpu_seconds": number,
        }  # fmt: skip
        known[data.name("policy", 0)] = policy_run(0.5 + number / 20)
    rows = reward_metrics.tables(known)
    assert rows["correlations"][2].startswith("| best of 4 | +1.000 [+1.000, +1.000] |")
    assert rows["correlations"][3].startswith("| ECE | -1.000 ")
    assert not any("process" in row for row in rows["correlations"])
    assert rows["reward models"][2] == "| 100 + 0 | 0.600 | 0.700 | 0.000 | 0.500 | 1 |"
    assert "--output-dir runs/reproduce/model-3000-and-1500-seed-0" in rows["commands"][1]
    assert "--reward runs/reproduce/model-3000-and-1500-seed-0" in rows["commands"][3]
    del known[reward_metrics.DATA[0].name("policy", 0)]
    assert "| all | not run yet | not run yet | 7 |" in reward_metrics.tables(known)["correlations"]


def test_what_is_not_known_is_left_open():
    assert over([]) == "not run yet"
    assert over([0.5]) == "0.500"
    assert over([0.5, 0.7], with_sign=True) == "+0.600 [-0.671, +1.871]"  # 12.706 * 0.1414 / sqrt(2) to each side
    assert beside([1.0], []) == ""
    assert beside([1.0, 3.0], [4.0]) == "0.50"


def test_commands_are_those_of_a_terminal():
    base = cell("backbone XS", base="")._replace(words=("agents.pretrain", "tiny", "--layers", "3"))
    on = cell("on it", "--backbone", "backbone-XS", base="backbone XS", then=("--samples", "16"))
    assert command_lines([base, on]) == [
        "    # backbone XS",
        "    perlhf pretrain tiny --layers 3 --output-dir runs/reproduce/backbone-XS",
        "    # on it",
        "    perlhf train-ppo --env HH-v0 --backbone runs/reproduce/backbone-XS",
        "    perlhf evaluate RUN --samples 16",
    ]


# Figures


def test_the_interquartile_mean_by_hand():
    assert interquartile_mean([5, 1, 3, 100]) == pytest.approx(4)  # of 3 and 5
    assert interquartile_mean([1, 2, 6]) == pytest.approx((0.25 * 1 + 2 + 0.25 * 6) / 1.5)
    assert interquartile_mean([7]) == 7
    with pytest.raises(ValueError, match="non-empty"):
        interquartile_mean([])


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=12), st.floats(-3, 3))
def test_the_interquartile_mean_lies_in_the_middle_and_moves_along(values, by):
    low, high = np.quantile(values, [0, 1])
    assert low - 1e-9 <= interquartile_mean(values) <= high + 1e-9
    moved = interquartile_mean([value + by for value in values])
    assert moved == pytest.approx(interquartile_mean(values) + by, abs=1e-9)


def test_intervals_keep_the_number_of_runs_of_each_group():
    # One group always has 0, the other 1: whatever is drawn, half of the values are 1.
    found = stratified_interval([[0, 0], [1, 1]], lambda values: float(values.mean()))
    assert found == {"mean": 0.5, "low": 0.5, "high": 0.5, "n": 4}
    wide = stratified_interval([[0, 1], [0, 1]], lambda values: float(values.mean()))
    assert (wide["low"], wide["high"]) == (0.0, 1.0)


def test_what_is_forgotten_is_the_loss_on_every_token(tmp_path):
    backbone = gemma(tmp_path / "model")
    prompt, response = "Human: Hello there.", "Yes, I can help you."
    found = losses(backbone.reference, [prompt], [response])
    asked, said = backbone.encode_prompt(prompt), backbone.encode_response(response)
    with torch.no_grad():
        logits = backbone.model(torch.tensor([[*asked, *said]])).logits[0]
    each = F.cross_entropy(logits[:-1], torch.tensor([*asked, *said][1:]), reduction="none")
    assert found["prompts"] == pytest.approx(each[: len(asked) - 1].mean().item(), rel=1e-4)
    assert found["responses"] == pytest.approx(each[len(asked) - 1 :].mean().item(), rel=1e-4)
    fresh = backbone.add_role("policy", LoRASettings(2), seed=0)
    assert losses(fresh, [prompt], [response]) == pytest.approx(found)


@pytest.mark.parametrize("name", ["paper", *(pytest.param(n, marks=pytest.mark.long) for n in list(PLANS)[1:])])
def test_the_command_goes_through_in_quick(name, tmp_path):
    words = ["-m", "evaluation.reproduce", "--tables", name, "--quick", "--output-dir", str(tmp_path), "--seeds", "0"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "quick" / f"{name}.json").read_text())
    assert list(kept) == [each.name for each in PLANS[name]({}, [0], True)]
    assert not any("failed" in of["found"] for of in kept.values())
