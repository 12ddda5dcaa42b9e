"""`perlhf plan`: figures worked out by hand, what must hold for any workload, and what is refused."""

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig

from agents import train_ppo
from agents.hyperparameters import Hyperparameters
from agents.memory_report import describe_plan, plan_of
from agents.plan import costs
from agents.plan.__main__ import Options, main
from agents.plan.estimate import SHARE, estimate, sizes_of
from agents.plan.machines import GPUS, find_gpu
from agents.plan.models import KNOWN, find_model
from agents.plan.workload import Workload
from backbones.memory import RoleSettings, plan_memory, skeleton
from backbones.model.loading import SHIPPED
from backbones.passes import Shape
from backbones.roles import LoRASettings
from perlhf.errors import UserError
from perlhf.options import parse_options
from perlhf.run_folder import read_summary

DOCS = Path(__file__).parents[1] / "docs"
# Width 32, 3 layers, 4 heads of 8, feed-forward 64, 100 words.
SMALL = LlamaConfig(
    vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=4, tie_word_embeddings=False,
)  # fmt: skip
LAYER = 4 * 32 * 32 + 3 * 32 * 64 + 2 * 32  # weights
OUTSIDE = 2 * 100 * 32 + 32
ADAPTERS = RoleSettings(LoRASettings(8), LoRASettings(4), LoRASettings(4))
SHAPE = Shape(prompt=24, response=16, rows=8, micro_batch=4)


@pytest.fixture(scope="module")
def seven():
    """Llama-2-7B with an adapter of rank 8 on q and v alone, and a head on its states for V."""
    work = Workload("7B", lora_targets=r".*\.(q|v)_proj", value_adapter="shared")
    return work, sizes_of(work)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    SMALL.save_pretrained(folder)
    work = Workload(str(folder), prompt_tokens=24, response_tokens=16, shard_base=True, rollout="server")
    return work, sizes_of(work)


def figure(figures, name):
    return next(figure for figure in figures if figure.name.startswith(name))


# Formulas, by hand


def test_costs_by_hand():
    assert costs.forward_flop(layers=10, head=3, tokens=4, scored=2) == 2 * (10 * 4 + 3 * 2)
    assert costs.gather_seconds(800, shards=8, link=100) == 7.0  # seven of eight parts of 100 bytes
    assert costs.sum_seconds(800, 1, 1, 100, 10) == 0.0
    assert costs.sum_seconds(800, 8, 1, 100, 10) == 14.0  # a ring: 7 parts of 100 bytes to add up, 7 to hand around
    assert costs.sum_seconds(800, 8, 2, 100, 10) == 14.0 + 10.0  # and 100 bytes of each GPU, half there and half back
    assert costs.token_seconds(weights=100, cache=50, bandwidth=10) == 15.0
    assert costs.token_seconds(weights=100, cache=50, bandwidth=10, layers=20_000) == 20.0  # 1 ms each
    assert costs.gathered_bytes(rows=2, prompt=3, response=5) == 2 * (4 * 8 + 2 * 4 * 4 * 5)
    assert costs.gathered_bytes(rows=2, prompt=3, response=5, by_server=True) == 2 * (4 * 8 + 2 * 4 * 4 * 5 + 9 * 5)


@pytest.mark.parametrize(("weights", "most", "width"), [(13.5e9, 8, 1), (80e9, 8, 2), (141e9, 8, 4), (1e12, 6, 6)])
def test_an_engine_is_as_wide_as_its_weights_need(weights, most, width):
    assert costs.engine_width(weights, 80e9, most) == width


@pytest.mark.parametrize(
    ("size", "weights"),
    [("7B", 6_738_415_616), ("8B", 8_030_261_248), ("70B", 70_553_706_496), ("135M", 134_515_008)],
)
def test_built_in_models_have_the_weights_that_their_makers_count(size, weights):
    assert sum(p.numel() for p in skeleton(find_model(size)[1]).parameters()) == weights
    assert find_model(KNOWN[size].name.lower())[0] == KNOWN[size].name


def test_adapters_of_llama_2_7b_on_q_and_v(seven):
    work, sizes = seven
    adapter = 4 * 8 * (4096 + 4096) * 2 * 32  # bytes, rank, in + out, maps, layers
    assert adapter == 16_777_216
    assert sizes.plan.roles["policy"].weights == adapter
    assert sizes.plan.adapters == adapter + 4 * 4096  # and the head
    sent = estimate(work, sizes).sent
    assert figure(sent, "gradients").here == adapter + 4 * 4096
    assert figure(sent, "gradients").four == 2 * 2 * 6_738_415_616
    assert figure(sent, "rows").here == 8 * 64 * (4 * 768 + 32 * 256)


def test_seconds_of_llama_2_7b(seven):
    """On H100s: 0.4 of 989 TFLOP/s, 3.35 TB/s, 450 GB/s within a machine and 50 between."""
    work, sizes = seven
    layers, head = 6_738_415_616 - 2 * 32000 * 4096 - 4096, 32000 * 4096
    assert (sizes.of_layers, sizes.of_head, sizes.layers, sizes.top) == (layers, head, 32, 32)
    seconds = estimate(work, sizes).seconds
    rate, tokens = 0.4 * 989e12, 768
    scoring = 64 * (3 * 2 * layers * tokens + 2 * 2 * head * 256) / rate  # V is read off the policy's states
    training = 64 * (2 * 2 * layers * tokens + 2 * 2 * head * 256) / rate
    assert figure(seconds, "scoring").here == pytest.approx(scoring)
    assert figure(seconds, "training").here == pytest.approx(training)
    assert figure(seconds, "scoring").four == pytest.approx(64 * (4 * 2 * layers * tokens + 2 * 2 * head * 256) / rate)
    prompts = 64 * 2 * (layers * 512 + head) / rate
    assert figure(seconds, "sampling").here == pytest.approx(prompts + 256 * 32 * 1e-3)  # Python, not memory
    message = 2 * 7 / 8 * sizes.plan.adapters / 450e9
    rows = 8 * 64 * (4 * 768 + 32 * 256) / 50e9 + 8 * 64 * 80e-6
    assert figure(seconds, "messages").here == pytest.approx(4 * message + rows)
    assert seconds[-1].here == pytest.approx(sum(figure.here for figure in seconds[:-1]))


def test_a_server_reads_weights_and_cache_once_a_token(seven):
    work, sizes = seven
    kv = 2 * 2 * 32 * 4096  # bytes of a token: keys and values in bf16, layers, width
    assert sizes.plan.cache == kv * 768
    served = estimate(replace(work, rollout="server"), sizes)
    token = (2 * 6_738_415_616 + 64 * kv * (512 + 128)) / 3.35e12
    prompts = 64 * 2 * (sizes.of_layers * 512 + sizes.of_head) / (0.4 * 989e12)
    assert figure(served.seconds, "sampling").here == pytest.approx(prompts + 256 * token)
    assert figure(served.sent, "rows").here == 8 * 64 * (4 * 768 + 32 * 256 + 9 * 256)
    assert figure(served.sent, "policy").here == sizes.plan.roles["policy"].weights
    half = estimate(replace(work, rollout="server", server_gpus=4), sizes)  # 128 rows an engine, and room for 146
    token = (2 * 6_738_415_616 + 128 * kv * (512 + 128)) / 3.35e12
    assert figure(half.seconds, "sampling").here == pytest.approx(2 * prompts + 256 * token)


def test_layers_that_run_again_keep_their_input_in_its_precision_and_are_gathered_no_more_often(small):
    """Width 32, 3 layers, 40 tokens: all of two layers of three, and the input of each."""
    work, sizes = small
    again = replace(work, gradient_checkpointing=True)
    for precision, width in (("bf16", 2), ("fp32", 4)):
        work, again = replace(work, precision=precision), replace(again, precision=precision)
        kept = sizes.plan.activations
        found = estimate(again, sizes)
        assert figure(found.held, "activations").here == found.micro_batch * (kept * 2 // 3 + 3 * 40 * width * 32)
    gathers = 2 * 2 * 4 * costs.gather_seconds(sizes.plan.layers, 8, work.card.link)  # roles, passes, batches
    run = 64 * 2 * 3 * 2 * sizes.of_layers * 40 / again.rate  # forward, again, backward
    heads = 64 * 2 * 2 * sizes.of_head * 16 / again.rate
    assert figure(found.seconds, "training").here == pytest.approx(run + heads + gathers)


# Sharded bases


def test_what_a_process_holds_of_a_sharded_base():
    plan = plan_memory(SMALL, ADAPTERS, SHAPE, shards=2)
    assert plan.base == 4 * (OUTSIDE + 3 * LAYER // 2)
    assert (plan.layers, plan.outside) == (4 * 3 * LAYER, 4 * OUTSIDE)
    assert plan.gathered == 2 * 4 * LAYER
    assert plan.merged == 0
    whole = plan_memory(SMALL, ADAPTERS, SHAPE)
    assert (whole.base, whole.gathered) == (4 * (OUTSIDE + 3 * LAYER), 0)
    assert whole.adapters == plan.adapters == 4 * (3 * 4 * (8 + 4) * (32 + 32) + 32)
    assert whole.total - plan.total == 4 * 3 * LAYER // 2 - plan.gathered + whole.work - plan.work


def test_weights_that_cannot_be_cut_evenly_count_as_their_largest_part():
    plan = plan_memory(SMALL, ADAPTERS, SHAPE, shards=3)
    third = 4 * 11 * 32 + 2 * 22 * 32 + 11 * 64 + 2 * 11  # 32 rows: 11 at most; 64 rows: 22
    assert plan.base == 4 * (OUTSIDE + 3 * third)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_more_processes_never_hold_more_of_a_sharded_base(precision):
    plans = [plan_memory(SMALL, ADAPTERS, SHAPE, precision, shards) for shards in (1, 2, 8)]
    held = [plan.base for plan in plans]
    assert held == sorted(held, reverse=True)
    for plan, shards in zip(plans, (1, 2, 8), strict=True):
        assert (plan.base - plan.outside) * shards >= plan.layers
        assert plan.layers + plan.outside == held[0]


def test_the_memory_report_knows_processes(monkeypatch, tmp_path):
    SMALL.save_pretrained(tmp_path)
    options = train_ppo.Options(reward="gold", n_envs=16, batch_size=8, max_new_tokens=16, max_prompt_tokens=24)
    rows = Hyperparameters(batch_size=8)
    one = plan_of(options, rows, 16, "gold", str(tmp_path))
    monkeypatch.setattr("backbones.group.size", lambda: 4)
    of_each = plan_of(options, rows, 16, "gold", str(tmp_path))
    assert of_each.cache * 4 == one.cache  # 4 envs of 16
    assert of_each.activations * 4 == pytest.approx(one.activations, rel=0.01)  # 2 rows of 8
    assert of_each.base == one.base
    assert "in each of 4 processes" in describe_plan(of_each)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    cut = plan_of(replace(options, shard_base=True), rows, 16, "gold", str(tmp_path))
    assert cut.base == 4 * (OUTSIDE + 3 * LAYER // 2)  # over the two of a machine
    assert "of the sharded base whole at a time: 0.1" in describe_plan(cut)


@pytest.mark.long
def test_each_process_of_a_sharded_run_holds_what_was_planned(tmp_path):
    words = (
        "--standalone --nproc-per-node 2 -m agents.train_ppo HH-v0 --shard-base --memory-report --reward gold "
        "--total-timesteps 4 --n-envs 4 --batch-size 4 --eval-prompts 0 --max-new-tokens 4 --max-prompt-tokens 64"
    )
    environment = {**os.environ, "PYTHONPATH": str(DOCS.parent), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words.split(), "--output-dir", str(tmp_path / "run")],
        check=True, timeout=300, env=environment,
    )  # fmt: skip
    memory = read_summary(tmp_path / "run")["memory"]
    assert memory["processes"] == 2
    assert memory["held"] == memory["planned"]
    assert memory["planned_gathered"] > 0


# What holds for any workload

sizes_in_bytes, counts = st.floats(1, 1e15), st.integers(1, 1000)


@given(sizes_in_bytes, counts, counts, st.floats(1, 1e13), st.floats(1, 1e13))
def test_a_sum_takes_longer_on_more_machines_but_not_much(size, inside, machines, link, network):
    seconds = costs.sum_seconds(size, inside, machines, link, network)
    more = costs.sum_seconds(size, inside, machines + 1, link, network)
    assert seconds <= more * (1 + 1e-9)
    assert more <= (2 * size / link + 2 * size / inside / network) * (1 + 1e-9)
    assert costs.sum_seconds(2 * size, inside, machines, link, network) == pytest.approx(2 * seconds)


@given(sizes_in_bytes, st.floats(1e9, 1e12), counts)
def test_an_engine_has_room_for_its_weights_or_is_as_wide_as_may_be(weights, memory, most):
    width = costs.engine_width(weights, memory, most)
    assert 1 <= width <= most
    assert width == most or weights <= width * memory / 2
    assert width == 1 or weights > width / 2 * memory / 2


@given(st.integers(1, 200), st.integers(1, 64), st.integers(1, 4))
def test_more_gpus_send_more_and_hold_no_more(small, machines, rows, epochs):
    work, sizes = small
    fewer, more = (
        estimate(replace(work, gpus=8 * n, rows=rows, batch_rows=min(rows, 16), n_epochs=epochs), sizes)
        for n in (machines, machines + 1)
    )
    for name in ("frozen", "adapters", "at most"):
        before, after = figure(fewer.held, name), figure(more.held, name)
        assert before.here == after.here
        assert before.four >= after.four
    assert figure(fewer.sent, "gradients").here == figure(more.sent, "gradients").here == sizes.plan.adapters
    assert figure(more.sent, "rows").here * machines == figure(fewer.sent, "rows").here * (machines + 1)
    assert figure(fewer.seconds, "messages").here < figure(more.seconds, "messages").here
    assert figure(fewer.seconds, "training").here == figure(more.seconds, "training").here
    assert all(f.here >= 0 and f.formula for e in (fewer, more) for f in (*e.held, *e.sent, *e.seconds))


def test_from_its_limit_on_gathering_rollouts_takes_its_share(small):
    work, sizes = small
    limit = estimate(replace(work, gpus=8, rows=8, batch_rows=8), sizes).limit
    machines = -(-limit // 8)
    found = estimate(replace(work, gpus=8 * machines, rows=8, batch_rows=8), sizes)
    assert any(text.startswith("gathering whole rollouts: ") for text in found.breaks)
    assert figure(found.seconds, "messages").here > SHARE * found.seconds[-1].here * 0.99


def test_what_does_not_fit_breaks_first(seven):
    work, sizes = seven
    card = estimate(replace(work, gpu="RTX-4090"), sizes)
    assert card.micro_batch == 1
    assert card.breaks[0].startswith("memory: ")
    assert "--shard-base" in card.breaks[0]
    assert estimate(work, sizes).breaks[0].startswith("sampling in each process: ")


def test_half_of_the_layers_halves_training(tmp_path):
    SMALL.save_pretrained(tmp_path)
    work = Workload(str(tmp_path), prompt_tokens=24, response_tokens=16, lora_layers="1")
    sizes = sizes_of(work)
    of_all = sizes_of(replace(work, lora_layers="all"))
    assert (sizes.top, of_all.top) == (1, 3)
    heads = 2 * 2 * 64 * 100 * 32 * 16 / (0.4 * 989e12)
    ours, all_layers = (figure(estimate(work, s).seconds, "training").here - heads for s in (sizes, of_all))
    assert ours == pytest.approx(all_layers / 3)


# The command


def printed(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["plan", *words])
    main()
    return capsys.readouterr().out.splitlines()


def test_the_command_says_that_nothing_was_run_and_how_each_figure_is_reckoned(monkeypatch, capsys):
    lines = printed(monkeypatch, capsys, "tiny", "--gpus", "16", "--shard-base", "--formulas", "--rollout", "server")
    assert "an estimate, not run" in lines[1]
    (end,) = (i for i, line in enumerate(lines) if line.startswith("what breaks first: "))
    figures = [i for i, line in enumerate(lines[:end]) if line.startswith("  ") and line[2] != " "]
    assert len(figures) > 10
    assert all(lines[i + 1].startswith("      = ") for i in figures)
    assert any("NVIDIA H100" in line for line in lines)


def test_the_page_holds_what_the_command_prints():
    """Tables and picture of docs/scaling.md; `make scaling` makes them anew."""
    spec = importlib.util.spec_from_file_location("make_scaling", DOCS / "make_scaling.py")
    make_scaling = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_scaling)
    text = (DOCS / "scaling.md").read_text(encoding="utf-8")
    assert make_scaling.page(text) == text, "run `make scaling`"
    assert (DOCS / "scaling.svg").read_text(encoding="utf-8") == make_scaling.picture(), "run `make scaling`"
    (words,) = re.findall(r"This is `perlhf plan ([^`]+)`", text)
    said = parse_options(Options, words.split())
    assert {f.name: getattr(said, f.name) for f in fields(Workload)} == asdict(
        replace(make_scaling.WORK["70B"], gpus=64)
    )


def test_gpus_go_by_short_names():
    assert find_gpu("rtx 4090") is GPUS["RTX-4090"]
    assert find_gpu("h100") is GPUS["H100-80GB"]
    assert all(gpu.source and min(gpu[:6]) > 0 for gpu in GPUS.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gpus": 0}, "gpus must be >= 1"),
        ({"gpus": 12}, "--gpus 12 do not fill machines of 8; take 8 or 16, or another --gpus-per-node."),
        ({"gpu": "H1000"}, "unknown GPU 'H1000'. Did you mean 'H100-80GB'?"),
        ({"gpu": ""}, "unknown GPU ''. Known: "),
        ({"gpu": "a100"}, "--gpu 'a100' may be A100-80GB or A100-40GB; say which."),
        ({"gpus": 1, "shard_base": True}, "--shard-base cuts the base over the GPUs of a machine; a machine has one"),
        ({"shard_base": True, "precision": "int4"}, "--shard-base takes --precision bf16, mixed or fp32, got int4."),
        ({"rows": 8}, "--batch-rows 16 are more than the 8 --rows of a rollout."),
        ({"server_gpus": 8}, "--server-gpus needs --rollout server."),
        ({"efficiency": 1.5}, "efficiency must be <= 1 and > 0"),
        ({"network": float("nan")}, "network must be a finite number"),
    ],
)
def test_what_cannot_be_planned_is_one_line(settings, message):
    with pytest.raises(UserError) as caught:
        Workload(**settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_model_is_one_line(tmp_path):
    (tmp_path / "config.json").write_text("{")
    wrong = ["9B", "", str(tmp_path / "none"), str(tmp_path), str(tmp_path / "config.json")]
    for name in wrong:
        with pytest.raises(UserError) as caught:
            find_model(name)
        assert "\n" not in str(caught.value)
        assert "model" in str(caught.value)
    config = SHIPPED["tiny"] / "config.json"
    assert find_model(str(config))[1].to_dict()["hidden_size"] == find_model("tiny")[1].to_dict()["hidden_size"]
