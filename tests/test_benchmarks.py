"""The benchmark's figures by hand, and a run of it on tiny models."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks import gpu_check
from benchmarks.performance import measure, tables
from benchmarks.performance.__main__ import chosen, measure_all
from benchmarks.performance.cases import (
    AGILERL_PPO,
    MATMUL,
    PERLHF_PPO,
    PERLHF_PROFILE,
    PERLHF_REWARD,
    SIZES,
    TRL_PPO,
    TRL_REWARD,
    Case,
    MatmulWork,
    PPOWork,
    RewardWork,
)
from benchmarks.performance.environments import ROOT
from benchmarks.performance.figures import (
    cpu_seconds,
    exponent,
    gigaflops_needed,
    memory_mb,
    phases,
    rate,
    ratios,
    spread,
)
from benchmarks.performance.page import page
from benchmarks.performance.perlhf_profile import shares
from benchmarks.performance.plan import PARTS, QUICK, WHOLE, others_ppo, restricted, schedule
from benchmarks.performance.runner import MeasurementError, Runner
from benchmarks.performance.store import Store
from perlhf.errors import UserError

WORK = PPOWork("8.4M", 32, 4, 16)
OWN, TRL = Case(PERLHF_PPO, "own", WORK), Case(TRL_PPO, "LoRA", WORK)


def result(total, peak=400.0, count=32, **phase):
    return {"count": count, "iterations": [{"total": total, **phase}], "peak_mb": peak}


# Figures.


def test_spread_is_median_and_range():
    assert spread([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)


def test_rate_takes_the_median_iteration():
    measured = {"count": 32, "iterations": [{"total": 4.0}, {"total": 8.0}, {"total": 5.0}]}
    assert cpu_seconds(measured) == 5.0
    assert rate(measured) == 6.4


def test_memory_is_what_the_work_adds_to_the_imports():
    assert memory_mb({"peak_mb": 900.0}, {"peak_mb": 400.0}) == 500.0


def test_ratios_are_taken_within_a_round():
    assert ratios({0: 6.0, 1: 9.0, 2: 5.0}, {0: 3.0, 1: 3.0}) == (2.5, 2.0, 3.0)
    assert ratios({0: 6.0}, {1: 3.0}) is None


def test_phases_are_medians_over_all_rounds():
    rounds = [result(9.0, sampling=2.0, scoring=3.0, optimizing=4.0) for _ in range(2)]
    rounds.append(result(10.0, sampling=3.0, scoring=3.0, optimizing=4.0))
    assert phases(rounds) == {"sampling": 2.0, "scoring": 3.0, "optimizing": 4.0, "total": 9.0}


def test_exponent_is_the_power_of_a_power_law():
    assert exponent([1, 10, 100], [2.0, 20.0, 200.0]) == pytest.approx(1.0)
    assert exponent([1, 4], [3.0, 6.0]) == pytest.approx(0.5)


@pytest.mark.parametrize(("setting", "flops"), [("own", 20_819_968), ("shared", 14_331_904), ("best", 6_959_104)])
def test_products_of_an_iteration_by_hand(setting, flops):
    # A token costs a layer 8 * 32 * 32 + 6 * 32 * 64 = 8,192 + 12,288 (MLP), the LM head 2 * 32 * 256 = 16,384.
    # 72 tokens, 8 of them said. Sampling: 72 * 2 * 20,480 + 8 * 16,384 = 3,080,192.
    # States of a role: 72 * 2 * 20,480 less the top MLP on 64 tokens of prompt = 2,162,688; of one layer 688,128.
    # A reward: the same less the top MLP on 71 tokens = 2,076,672; of one layer 602,112. Two roles score with a head.
    # Own: 3 * 2,162,688 + 2,076,672 + 262,144 = 8,826,880 scoring, 2 * (2 * 2,162,688 + 131,072) = 8,912,896 training.
    # Shared: 6,664,192 and 4,587,520. Best, with adapters on 1 of 2 layers: 2,240,512 and 1,638,400.
    assert gigaflops_needed(PPOWork("tiny", 1, 1, 1, 8), setting) == pytest.approx(flops / 1e9)


def test_sizes_are_what_they_are_called():
    assert SIZES["8.4M"].parameters == 6 * (4 * 256 * 256 + 3 * 256 * 1024) + 2 * 256 * 4096 == 8_388_608
    assert round(SIZES["60M"].parameters / 1e6) == 60
    assert round(SIZES["342M"].parameters / 1e6) == 342
    # SmolLM2-135M: three heads of nine have keys and values, 2 * 576^2 + 2 * 576 * 192; one matrix of tokens.
    assert SIZES["135M"].attention == 2 * 576 * 576 + 2 * 576 * 192
    assert SIZES["135M"].parameters == 30 * (884_736 + 3 * 576 * 1536) + 576 * 49152 == 134_479_872


def test_what_samples_prompt_by_prompt_is_left_out_on_a_large_model():
    small, large = (work for work in WHOLE.ppo if work.model in ("60M", "135M"))
    assert [program for program, _ in others_ppo(small)] == [TRL_PPO, TRL_PPO, AGILERL_PPO]
    assert [program for program, _ in others_ppo(large)] == [TRL_PPO, TRL_PPO]


# Tables.


def test_a_table_in_markdown():
    assert tables.markdown(("a", "b"), [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"


def test_spreads_are_shown_with_their_range_where_there_is_one():
    assert tables.shown(spread([2.0])) == "2.00"
    assert tables.shown(spread([1.0, 2.0, 4.0]), 1) == "2.0 (1.0..4.0)"
    assert tables.shown(None) == "-"


def filled(folder, *entries):
    store = Store(folder / "results.json")
    for case, number, measured in entries:
        store.put(case, number, measured)
    return store


def test_a_comparison_shows_ratios_beside_what_is_wanted(tmp_path):
    imports = [(case.imports, 0, {"peak_mb": 400.0}) for case in (OWN, TRL)]
    measured = [(TRL, 0, result(16.0, 1400.0)), (TRL, 1, result(16.0, 1400.0))]
    measured += [(OWN, 0, result(8.0, 1100.0)), (OWN, 1, result(10.0, 1100.0))]
    store = filled(tmp_path, *imports, *measured)
    rows = tables.comparison(store, "ppo", [TRL, OWN]).splitlines()[2:]
    assert rows[0] == "| TRL | 2.00 | 1 |  | 1000 | 1 |  |"
    # 32 / 8 = 4 and 32 / 10 = 3.2 samples per CPU second, twice and 1.6 times TRL's 2; 700 of 1000 MB.
    name, *cells = [cell.strip() for cell in rows[1].strip("|").split("|")]
    assert name == "perlhf, own value adapter, fp32"
    assert cells == ["3.60 (3.20..4.00)", "1.80 (1.60..2.00)", ">= 1.4", "700", "0.70", "<= 0.6, missed"]


def test_a_comparison_goes_without_what_could_not_be_measured(tmp_path):
    store = filled(tmp_path, (OWN.imports, 0, {"peak_mb": 400.0}), (OWN, 0, result(8.0, 1100.0)))
    rows = tables.comparison(store, "ppo", [TRL, OWN]).splitlines()[2:]
    assert rows[0].startswith("| TRL (not measured) | - |")
    assert "| 4.00 | - | >= 1.4, missed | 700 | - |" in rows[1]
    assert tables.comparison(Store(tmp_path / "none.json"), "ppo", [TRL, OWN]) == ""


def test_the_limit_is_what_the_products_take_at_the_peak(tmp_path):
    work = PPOWork("tiny", 1, 1, 1, 8)
    peak = {"gigaflops": {"square": {"fp32": 0.020819968, "bf16": 1.0}}}
    entries = [(Case(MATMUL, "", MatmulWork("tiny")), 0, peak), (Case(PERLHF_PPO, "own", work), 0, result(4.0))]
    last = tables.limits(filled(tmp_path, *entries), work, ["own"]).splitlines()[-1]
    assert last == "| perlhf, own value adapter, fp32 | 1.00 | - | 4.00 | - |"


def test_the_limit_stands_beside_what_is_wanted(tmp_path):
    peak, shares = {"square": {"fp32": 100.0, "bf16": 1.0}}, {"matrix products": 0.5, "attention": 0.25, "copies": 0.1}
    store = filled(
        tmp_path, (Case(MATMUL, "", MatmulWork("8.4M")), 0, {"gigaflops": peak}), (OWN, 0, result(8.0)),
        (TRL, 0, result(14.0)), (Case(PERLHF_PROFILE, "own", WORK), 0, {"shares": shares}),
    )  # fmt: skip
    last = tables.limits(store, WORK, ["own"]).splitlines()[-1]
    assert last.endswith(" | 6.00 | 8.00 | 10.00 |")  # 0.75 of 8; 14 / 1.4


def test_operators_are_grouped_by_their_names():
    seconds = {"aten::mm": 2.0, "aten::addmm": 1.0, "aten::_scaled_dot_product_attention": 0.5, "aten::mul": 0.25}
    not_of_torch = {"autograd::engine::evaluate_function: AddmmBackward0": 0.1, "Optimizer.zero_grad#Adam": 0.05}
    assert shares({**seconds, "aten::expand": 0.05, **not_of_torch}, 4.0) == pytest.approx(
        {
            "matrix products": 0.75,
            "attention": 0.125,
            "element by element": 0.0625,
            "other operators": 0.0125,
            "Python": 0.05,
        }
    )
    assert list(shares(seconds, 5.0)) == ["matrix products", "attention", "element by element", "Python"]


def test_operators_stand_beside_each_other(tmp_path):
    recorded = {
        "own": {"matrix products": 0.7, "Python": 0.3},
        "best": {"copies": 0.5, "matrix products": 0.4, "Python": 0.1},
    }
    entries = [(Case(PERLHF_PROFILE, name, WORK), 0, {"shares": found}) for name, found in recorded.items()]
    lines = tables.operators(filled(tmp_path, *entries), WORK, ["own", "shared", "best"]).splitlines()
    assert lines[0] == "| share of an iteration | matrix products | copies | Python |"
    assert [line.split(" | ", 1)[1] for line in lines[2:]] == ["70% | 0% | 30% |", "40% | 50% | 10% |"]
    assert tables.operators(Store(tmp_path / "none.json"), WORK, ["own"]) == ""


def test_an_empty_page_has_no_section(tmp_path):
    text = page(Store(tmp_path / "none.json"), WHOLE)
    assert text.startswith("# Performance\n")
    assert "## " not in text


# What is measured, and in which order.


def test_what_is_compared_takes_turns():
    cases = [(number, case.setting) for number, case in schedule(restricted(WHOLE, ["8.4M"]), ["ppo"], 2)]
    once = ["own", "shared", "best", "learns", "LoRA", "value LoRA", "LoRA"]
    assert cases == [(0, setting) for setting in once] + [(1, setting) for setting in once]


def test_full_tuning_is_measured_in_turns_with_what_it_is_compared_with():
    cases = [case.setting for _, case in schedule(restricted(WHOLE, ["60M"]), ["reward", "full"], 1)]
    assert cases[:6] == ["shared", "best", "half", "LoRA", "bf16", "full"]


def test_large_models_and_curves_are_measured_once():
    numbers = [number for number, case in schedule(WHOLE, PARTS, 3) if case.work.model == "342M"]
    assert set(numbers) == {0}
    lengths = [number for number, case in schedule(WHOLE, ["curves"], 3) if case.work.model == "8.4M"]
    assert set(lengths) == {0}


def test_the_same_work_in_two_parts_is_measured_once():
    scheduled = list(schedule(WHOLE, PARTS, 2))
    assert len(scheduled) == len(set(scheduled))


def test_unknown_names_get_the_nearest():
    assert chosen("ppo, peak", PARTS, "part") == ["ppo", "peak"]
    with pytest.raises(UserError, match=r"unknown part 'curvs'. Did you mean 'curves'\?"):
        chosen("curvs", PARTS, "part")


class FakeRunner:
    """Measures nothing, and cannot measure TRL."""

    def __init__(self):
        self.measured = []

    def measure(self, case):
        self.measured.append(case)
        if case.program == TRL_PPO:
            raise MeasurementError("no TRL here")
        return result(1.0)


def test_what_cannot_be_measured_is_tried_once_and_the_rest_goes_on(tmp_path, capsys):
    runner, store = FakeRunner(), Store(tmp_path / "results.json")
    failed = measure_all(runner, store, restricted(WHOLE, ["8.4M"]), ["ppo"], 2)
    assert runner.measured.count(TRL) == 1
    assert runner.measured.count(OWN) == 2
    assert len(failed) == 3  # imports, LoRA, value LoRA
    assert all(reason.endswith("no TRL here") for reason in failed)
    assert "no TRL here" in capsys.readouterr().out


def test_finished_measurements_are_kept(tmp_path):
    path, plan = tmp_path / "results.json", restricted(WHOLE, ["8.4M"])
    measure_all(FakeRunner(), Store(path), plan, ["ppo"], 1)
    again = FakeRunner()
    measure_all(again, Store(path), plan, ["ppo"], 1)
    assert {case.program for case in again.measured} == {TRL_PPO}
    afresh = FakeRunner()
    measure_all(afresh, Store(path, fresh=True), plan, ["ppo"], 1)
    assert OWN in afresh.measured


def test_a_damaged_file_of_measurements_is_one_line(tmp_path):
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(UserError, match=r"results\.json: not valid JSON .* measure anew with --fresh"):
        Store(tmp_path / "results.json")


def test_a_failing_process_says_its_last_line(tmp_path):
    runner = Runner(tmp_path)
    with pytest.raises(MeasurementError, match=r"No module named benchmarks\.performance\.nothing"):
        runner.measure(Case("nothing"))


# Inside a measuring process.


def test_the_clock_splits_an_iteration_into_phases(monkeypatch):
    # Begins at 0; samples from 1 to 3, trains from 6 to 10, ends at 11: two seconds, four, and five for the rest.
    times = iter([0.0, 1.0, 3.0, 6.0, 10.0, 11.0])
    monkeypatch.setattr(measure.time, "process_time", lambda: next(times))
    clock = measure.PhaseClock()
    clock.mark()
    clock.timed("sampling", lambda: None)()
    clock.timed("optimizing", lambda: None)()
    clock.mark()
    assert clock.iterations == [{"sampling": 2.0, "optimizing": 4.0, "scoring": 5.0, "total": 11.0}]


def test_the_first_iteration_only_warms_up():
    clock = measure.PhaseClock()
    for _ in range(4):
        clock.mark()
    assert len(clock.iterations) == 3
    assert clock.result(32) == {"count": 32, "iterations": clock.iterations[1:]}


# Real runs on tiny models.


def quick_run(folder, parts):
    """The page and the output of these parts on a tiny model."""
    words = ["--quick", "--parts", parts, "--folder", str(folder), "--output", str(folder / "page.md")]
    command = [sys.executable, "-m", "benchmarks.performance", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "not measured:" not in done.stdout
    return (folder / "page.md").read_text()


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder and the page of perlhf's own curves."""
    folder = tmp_path_factory.mktemp("bench")
    return folder, quick_run(folder, "curves")


@pytest.mark.long
def test_a_quick_run_shows_where_the_time_goes(tmp_path):
    assert "| share of an iteration | " in (text := quick_run(tmp_path, "profile,peak"))
    assert "## The limit" in text


@pytest.mark.long
def test_a_quick_run_measures_and_writes_the_page(quick):
    folder, text = quick
    assert "## What the cost depends on" in text
    assert "## PPO beside others" not in text or "TRL (not measured)" in text
    assert str(ROOT) not in text
    assert (folder / ".gitignore").read_text() == "*\n"
    kept = json.loads((folder / "quick.json").read_text())
    curve = Case(PERLHF_PPO, QUICK.curve_setting, QUICK.curves)
    assert kept[curve.key]["0"]["response_tokens"] == QUICK.curves.max_new_tokens
    assert kept[curve.key]["0"]["peak_mb"] > kept[curve.imports.key]["0"]["peak_mb"]


@pytest.mark.long
def test_reward_models_are_adapters_with_a_drawn_head_as_those_of_others(quick):
    # By default one on a model that is not shipped begins at a probe, which may read a lower layer and be all there is.
    adapted = [folder / "adapter_model.safetensors" for folder in quick[0].glob("models/tiny/rewards/*lora_layers*")]
    assert adapted
    assert all(file.is_file() for file in adapted)


@pytest.mark.long
def test_texts_have_as_many_tokens_as_they_are_to_have_and_no_model_ends(quick):
    folder = quick[0] / "models/tiny"
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    rows = [json.loads(line) for line in (folder / "data/train.jsonl").read_text().splitlines()]
    ids = torch.tensor(tokenizer([row["chosen"] for row in rows[:8]])["input_ids"])
    assert ids.shape == (8, 64 + 48)
    assert not (ids == tokenizer.unk_token_id).any()
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    with torch.no_grad():
        probabilities = model(ids).logits.softmax(-1)
    assert probabilities[..., :3].max() < 1e-6
    assert probabilities[..., 3:].max() < 0.1


@pytest.mark.long
def test_reward_model_training_is_measured(quick):
    measured = Runner(quick[0]).measure(Case(PERLHF_REWARD, "shared", RewardWork("tiny", 8, 2, 4)))
    assert measured["count"] == 16
    assert measured["iterations"][0]["total"] > 0


@pytest.mark.parametrize(
    "case", [Case(TRL_PPO, "LoRA", QUICK.ppo[0]), Case(TRL_REWARD, "LoRA", QUICK.reward[0])], ids=["ppo", "reward"]
)
def test_trl_is_measured_where_it_is_installed(case):
    version = {TRL_PPO: "trl-1.12.0", TRL_REWARD: "trl-1.16.0"}[case.program]
    if not Path(ROOT / ".bench" / version / "installed").is_file():
        pytest.skip(f"{version} is not installed under .bench; `make bench` does it")
    assert rate(Runner(ROOT / ".bench").measure(case)) > 0


# The check on a GPU.


def test_the_gpu_check_says_plainly_that_there_is_no_gpu_and_measures_nothing_large(tmp_path):
    lines = gpu_check.of_machine(real=False)
    assert "NO GPU HERE" in lines[0]
    assert [(case.backbone, case.device) for case in gpu_check.cases(tmp_path, real=False)] == [
        ("tiny", "cpu"), ("tiny", "cuda")
    ]  # fmt: skip


def test_the_gpu_check_gives_up_on_tests_that_do_not_end(monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "TEST_SECONDS", 0.01)
    assert not gpu_check.run_tests("pretend")
    assert capsys.readouterr().out == "tests on pretend: not done after 0.01 s\n"


def test_the_gpu_check_measures_a_case():
    case = gpu_check.Case("tiny", "tiny", "cpu", "fp32", new_tokens=2)
    lines = gpu_check.measured(case)
    done = ("sample", "update", "reward")
    assert [line.split()[:4] for line in lines] == [["tiny", "cpu", "fp32", word] for word in done]
