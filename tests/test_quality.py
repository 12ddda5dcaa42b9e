"""Time to quality: its figures by hand, its page from verdicts, and the judge on a run of train_ppo."""

import json

import pytest

from benchmarks.quality.cells import SETTINGS, place_of
from benchmarks.quality.figures import Batch, level_at, rate, seconds_to, windowed
from benchmarks.quality.page import page
from benchmarks.quality.samples import upto_end
from benchmarks.quality.side_by_side import chosen
from benchmarks.quality.verdict import batches_of
from perlhf.errors import UserError

RUN = [Batch(2.0, 4, 0.5), Batch(4.0, 4, 0.7), Batch(7.0, 4, 0.9), Batch(9.0, 4, 0.8)]


def test_a_window_has_the_last_completions_and_waits_until_there_are_as_many():
    assert windowed(RUN, 8) == [(4.0, pytest.approx(0.6)), (7.0, pytest.approx(0.8)), (9.0, pytest.approx(0.85))]
    assert windowed(RUN, 16) == [(9.0, pytest.approx(0.725))]
    assert windowed(RUN, 17) == []


def test_a_window_that_no_number_of_batches_fills_exactly_takes_the_smallest_one_above():
    assert windowed(RUN, 6) == windowed(RUN, 8)


def test_a_gold_is_reached_where_the_window_first_has_it():
    assert seconds_to(RUN, 0.8 - 1e-9, 8) == 7.0
    assert seconds_to(RUN, 0.86, 8) is None


def test_the_level_is_that_of_the_last_window_before_then():
    assert level_at(RUN, 8.9, 8) == pytest.approx(0.8)
    assert level_at(RUN, 100.0, 8) == pytest.approx(0.85)
    assert level_at(RUN, 3.0, 8) is None


def test_completions_per_cpu_second_leave_out_the_first_batch():
    assert rate(RUN) == pytest.approx(12 / 7)


def write(folder, setting, seed, to, level=0.8):
    verdict = {
        "seconds_to": {"0.75": to, "0.88": None}, "level": level, "sampled": {"mean": 0.8}, "greedy": {"mean": 0.99},
        "kl": 1.5, "rate": 20.0,
    }  # fmt: skip
    place = place_of(folder, "HH-v0", setting, seed)
    place.mkdir(parents=True)
    (place / "judged.json").write_text(json.dumps(verdict))


def test_the_page_compares_with_the_fastest_that_gets_there_in_every_seed(tmp_path):
    for seed, (ours, grpo, ppo) in enumerate([(30.0, 60.0, 90.0), (40.0, 50.0, 80.0), (20.0, None, 100.0)]):
        write(tmp_path, "ppo", seed, ours)
        write(tmp_path, "trl-grpo", seed, grpo)
        write(tmp_path, "trl-ppo", seed, ppo)
    text = page(tmp_path, ["HH-v0", "TLDR-v0"], [0, 1, 2])
    assert "| TRL 1.16, GRPO, beta 0 | 60, 50, never |" in text
    text = " ".join(text.split())
    assert (
        "To gold 0.75, beside the fastest setting of TRL that gets there in every seed (TRL 1.12, PPO), the default "
        "takes 0.33 (0.20 to 0.50, 3 seeds) of the CPU seconds."
    ) in text
    assert "Gold 0.88 was not reached by perlhf's default in every seed." in text
    assert "## TLDR-v0" not in text


def test_the_page_names_the_fastest_of_perlhf_where_it_is_not_the_default(tmp_path):
    for seed in range(2):
        write(tmp_path, "ppo", seed, 30.0)
        write(tmp_path, "rloo", seed, 15.0)
        write(tmp_path, "trl-rloo", seed, 60.0)
    text = " ".join(page(tmp_path, ["HH-v0"], [0, 1]).split())
    assert "the default takes 0.50 (0.50 to 0.50, 2 seeds) and perlhf, RLOO takes 0.25 (0.25 to 0.25, 2 seeds)" in text


def test_where_trl_was_not_measured_the_page_says_so_once(tmp_path):
    write(tmp_path, "ppo", 0, 30.0)
    assert page(tmp_path, ["HH-v0"], [0]).count("TRL was not measured here.") == 1


def test_an_unknown_setting_is_one_line():
    assert chosen("rloo,ppo") == [SETTINGS["rloo"], SETTINGS["ppo"]]
    with pytest.raises(UserError, match="unknown setting 'pp'"):
        chosen("pp")


def test_the_log_of_a_run_is_read(tmp_path):
    rows = [{"step": n, "time/cpu_seconds": n / 8, "time/total_timesteps": n, "rollout/gold": 0.5} for n in (64, 128)]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert batches_of(tmp_path) == [Batch(8.0, 64, 0.5), Batch(16.0, 64, 0.5)]
    (tmp_path / "metrics.jsonl").write_text('{"step": 64, "rollout/gold": 0.5}\n')
    with pytest.raises(UserError, match="no log with time/cpu_seconds"):
        batches_of(tmp_path)


def test_a_response_ends_with_its_first_end_token():
    assert upto_end([5, 6, 2, 7, 2], [2]) == [5, 6, 2]
    assert upto_end([5, 6], [2]) == [5, 6]
