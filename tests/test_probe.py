"""Probes: what is read off responses, the fit, the choice, what is saved, and adapters that begin there."""

import json
import math
import random

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import AutoPeftModelForSequenceClassification
from safetensors.torch import load_file
from tiny_models import TEXTS, gemma, save_architecture
from transformers import AutoModelForCausalLM

from agents.pretrain.build import build_tokenizer
from agents.value_start import obstacle
from backbones.backbone import Backbone
from backbones.fit import FitSettings, fit
from backbones.forward import log_probs_of
from backbones.model.anatomy import decoder_layers
from backbones.pooled import Reading, check_reading, like_shapes, read_responses, rows_to_read
from backbones.roles import LoRASettings
from envs.corpora.records import LabelledRecord, Record
from envs.turn import Turn
from evaluation.probes import cross_validated, table
from perlhf.errors import UserError
from rewards import probe as probe_command
from rewards.from_probe import Start, adapt, centre_of, describe_choice, losses_at_best_scale, probe_first
from rewards.linear_fit import Examples, Linear, fit_path, grouped_folds, out_of_fold
from rewards.preferences import Labels, Learned, Pairs, learned_of
from rewards.probing import (
    Choice,
    Probe,
    ReadingOptions,
    Tried,
    alone,
    choose,
    fit_log_prob_weight,
    fit_probe,
    layer_of,
    put_into,
    readings_to_try,
)
from rewards.reward_model import RewardModel
from rewards.rows import pairwise_loss
from rewards.states import States, read_states
from rewards.train_reward_model import Options, train

ROWS = [([3, 4, 5, 6], [7, 8]), ([3, 4, 5, 6], [9, 10, 11]), ([5, 3], [8, 7, 6]), ([5, 3], [12])]
READINGS = [Reading(pooling, layer) for pooling in ("last", "mean") for layer in (1, None)]
WORDS = "yes no maybe good bad".split()


@pytest.fixture(scope="module", params=["Gemma3", "Llama", "GPT2", "Bloom"])
def backbone(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    if request.param == "Gemma3":
        return gemma(folder)
    return Backbone.load(str(save_architecture(request.param, folder)))


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """A random Llama of four layers whose end token says little of the words before it."""
    folder, tokenizer = tmp_path_factory.mktemp("counting"), build_tokenizer(TEXTS, 320)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.LlamaConfig(
                hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64,
                num_key_value_heads=2, vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=1, bos_token_id=None,
                initializer_range=0.3, max_position_embeddings=256,
            )
        )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Backbone.load(str(folder))


def sayings(count, seed=0):
    """Pairs of which the better response says "yes" more often, each to a prompt of its own."""
    rng, pairs = random.Random(seed), []
    while len(pairs) < count:
        texts = [[rng.choice(WORDS) for _ in range(rng.randint(8, 14))] for _ in range(2)]
        bad, good = sorted(texts, key=lambda words: words.count("yes"))
        if good.count("yes") > bad.count("yes"):
            prompt = f"Human: {seed} {len(pairs)} Hello"
            pairs.append(Record(prompt, " ".join(good), " ".join(bad), {}))
    return pairs


@pytest.fixture(scope="module")
def data(counting):
    return learned_of(Pairs(), sayings(90), counting)


@pytest.fixture(scope="module")
def states(counting, data):
    return read_states(counting.reference, data.rows, readings_to_try(counting, "auto", "auto"), with_log_probs=60)


# What is read.


@torch.no_grad()
def read_plainly(model, reading, layers=2):
    """What transformers' own hidden states are, one response at a time."""
    found = []
    for prompt, response in ROWS:
        ids = torch.tensor([[*prompt, *response]])
        of_layers = model(input_ids=ids, output_hidden_states=True).hidden_states
        of_response = of_layers[layers if reading.layer is None else reading.layer][0, len(prompt) :]
        found.append(of_response[-1] if reading.pooling == "last" else of_response.mean(0))
    return torch.stack(found)


@pytest.mark.parametrize("kept", [0, 1])
@pytest.mark.parametrize("with_log_probs", [False, True])
@pytest.mark.parametrize("per_prompt", [1, 2])
@torch.no_grad()
def test_states_are_those_of_transformers_whatever_else_is_read(backbone, per_prompt, with_log_probs, kept):
    log_probs = log_probs_of(backbone.reference, *zip(*ROWS, strict=True)).sum(1)
    with backbone.frozen_states.kept(kept), backbone.reference.active() as model:
        for readings in (READINGS, READINGS[2:3], READINGS[3:]):
            tokens = rows_to_read(backbone, ROWS, per_prompt)
            found, sums = read_responses(model, tokens, readings, with_log_probs)
            for reading, each in zip(readings, found, strict=True):
                torch.testing.assert_close(each, read_plainly(model, reading), atol=1e-4, rtol=1e-4)
            if with_log_probs:
                torch.testing.assert_close(sums, log_probs, atol=1e-4, rtol=1e-4)


def test_the_first_forward_of_a_backbone_may_be_above_kept_states(tmp_path):
    backbone = gemma(tmp_path)
    with torch.no_grad(), backbone.frozen_states.kept(1), backbone.reference.active() as model:
        ((found,), _) = read_responses(model, rows_to_read(backbone, ROWS, 1), [Reading("mean")])
        torch.testing.assert_close(found, read_plainly(model, Reading("mean")), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_layers_above_the_highest_that_is_read_do_not_run(counting):
    ran, layers = [], decoder_layers(counting.model)
    with counting.reference.active() as model:
        read_responses(model, rows_to_read(counting, ROWS, 1), [Reading()])  # so that what the model can do is known
    hooks = [layer.self_attn.register_forward_hook(lambda *_, n=n: ran.append(n)) for n, layer in enumerate(layers, 1)]
    with counting.reference.active() as model:
        for readings in ([Reading("mean", 1)], [Reading("mean", 1), Reading("last", 3)], [Reading("mean")]):
            ran.clear()
            read_responses(model, rows_to_read(counting, ROWS, 1), readings)
            assert ran == list(range(1, (readings[-1].layer or 4) + 1))
    for hook in hooks:
        hook.remove()


def test_gradients_reach_the_layers_below_and_none_above(counting):
    role = counting.add_role("reward", LoRASettings(2), head=True)
    model = RewardModel(role, reading=Reading("mean", 2))
    with torch.no_grad():
        for name, parameter in role.parameters().items():
            if "lora_B" in name:
                parameter.add_(0.1)
    with role.active():
        model.score_rows(ROWS, per_prompt=2).sum().backward()
    touched = {
        int(name.split(".layers.")[1].split(".")[0]) for name, p in role.body_parameters().items() if p.grad is not None
    }
    assert touched == {0, 1}


@pytest.mark.parametrize("weight", [0.0, 0.3])
@pytest.mark.parametrize("reading", [Reading("mean"), Reading("mean", 1), Reading("last", 1)])
def test_packed_scores_are_those_of_rows_alone(backbone, reading, weight):
    role = backbone.add_role("reward", LoRASettings(2), head=True)
    model = RewardModel(role, reading=reading, log_prob_weight=weight, bias=0.5)
    with torch.no_grad():
        together = model.score_rows(ROWS, per_prompt=2)
        alone_ = torch.cat([model.score_rows([row]) for row in ROWS])
        torch.testing.assert_close(together, alone_, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(model.raw_scores_of([ROWS[:2], ROWS[2:]]).flatten(), alone_, atol=1e-4, rtol=1e-4)


def test_batches_of_like_shapes_hold_every_record_once_and_little_padding():
    rng = np.random.default_rng(0)
    rows = [[([1] * int(p), [2] * int(a)), ([1] * int(p), [2] * int(b))] for p, a, b in rng.integers(4, 90, (200, 3))]
    batches = like_shapes(rows, torch.device("cpu"))
    assert sorted(i for batch in batches for i in batch) == list(range(200))
    widths = [
        [
            max(column)
            for column in zip(*((len(rows[i][0][0]), *(len(r) for _, r in rows[i])) for i in batch), strict=True)
        ]
        for batch in batches
    ]
    assert all(sum(w) * len(batch) <= 256 or len(batch) == 1 for w, batch in zip(widths, batches, strict=True))
    real = sum(len(of_one[0][0]) + sum(len(r) for _, r in of_one) for of_one in rows)
    assert sum(sum(w) * len(batch) for w, batch in zip(widths, batches, strict=True)) < 1.35 * real


@pytest.mark.parametrize(
    ("layer", "message"),
    [("5", "expected 1 to 4, as many layers as the backbone has, got 5"), ("0", "expected 1 to 4"),
     ("top", "expected 'auto', 'last' or the number of a layer, got 'top'")],
)  # fmt: skip
def test_a_layer_that_is_none_is_one_line(counting, layer, message):
    with pytest.raises(UserError, match=message) as error:
        layer_of(counting, layer)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "wrong", [{"read_layer": "x"}, {"read_layer": "9"}, {"lora_targets": "("}, {"lora_targets": "no"}]
)
def test_what_the_backbone_does_not_have_is_refused_before_anything_is_sampled(wrong, monkeypatch):
    monkeypatch.setattr("rewards.train_reward_model.drawn", lambda *_: pytest.fail("it went on"))
    with pytest.raises(UserError, match=r"read_layer: expected|lora_targets"):
        train(Options(env="HH-v0", device="cpu", **wrong))


def test_the_last_layer_has_one_name(counting):
    assert check_reading(counting.model, 4) is None
    assert layer_of(counting, "3") == 3
    assert [str(r) for r in readings_to_try(counting, "mean", "auto")] == [
        "mean, layer 1", "mean, layer 2", "mean, layer 3", "mean, layer last",
    ]  # fmt: skip
    assert readings_to_try(counting, "last", "2") == [Reading("last", 2)]


def test_states_below_a_projection_cannot_be_read(tmp_path):
    model = Backbone.load(str(save_architecture("OPT of two widths", tmp_path))).model
    with pytest.raises(UserError, match="read_layer 1: the layers of OPTForCausalLM cannot be read one by one"):
        check_reading(model, 1)


# The fit.


def test_one_feature_by_hand():
    # All differences are 2 and, standardised, 1. The least penalised loss has sigmoid(-w) = w / 2: found by bisection.
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / (1 + math.exp(middle)) > 0.5 * middle else (low, middle)
    ones = torch.ones(5, dtype=torch.float64)
    (linear,) = fit_path(Examples(2 * ones[:, None], ones, 0 * ones, intercept=False), [0.5])
    assert linear.weights.item() == pytest.approx(low / 2, abs=1e-4)
    assert linear.bias == 0


def test_an_intercept_alone_is_the_logit_of_the_share():
    targets = torch.tensor([1.0, 1, 1, 0, 0.5, 0.5], dtype=torch.float64)  # 4 of 6
    examples = Examples(torch.zeros(6, 1, dtype=torch.float64), targets, torch.zeros(6, dtype=torch.float64), True)
    (linear,) = fit_path(examples, [1.0])
    assert linear.bias == pytest.approx(math.log(2), abs=1e-4)
    # An offset of 1 on each is taken off again.
    (moved,) = fit_path(examples._replace(offsets=torch.ones(6, dtype=torch.float64)), [1.0])
    assert moved.bias == pytest.approx(math.log(2) - 1, abs=1e-4)


@pytest.mark.parametrize("intercept", [False, True])
def test_the_gradient_is_zero_at_the_fit(intercept):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(50, 4, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 10.0, 0.1, 1.0]) + 1
    targets = torch.rand(50, generator=generator, dtype=torch.float64)
    offsets = torch.randn(50, generator=generator, dtype=torch.float64)
    examples = Examples(inputs, targets, offsets, intercept)
    (linear,) = fit_path(examples, [0.2])
    mean = inputs.mean(0) if intercept else torch.zeros(4, dtype=torch.float64)
    spread = (inputs - mean).square().mean(0).sqrt()
    weights = (linear.weights * spread).requires_grad_()
    bias = torch.tensor(linear.bias + float((linear.weights * mean).sum()), requires_grad=True, dtype=torch.float64)
    logits = (inputs - mean) / spread @ weights + (bias if intercept else 0) + offsets
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets) + 0.1 * weights.square().sum()
    gradients = torch.autograd.grad(loss, [weights, bias] if intercept else [weights])
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-4
    torch.testing.assert_close(linear.logits(examples), logits.detach())


def test_sparse_inputs_give_what_dense_ones_give():
    generator = torch.Generator().manual_seed(1)
    dense = torch.randn(30, 6, generator=generator, dtype=torch.float64) * (
        torch.rand(30, 6, generator=generator) > 0.5
    )
    ones = torch.ones(30, dtype=torch.float64)
    examples = Examples(dense, ones, 0 * ones, intercept=False, standardise=False)
    for one, other in zip(fit_path(examples), fit_path(examples._replace(inputs=dense.to_sparse())), strict=True):
        torch.testing.assert_close(one.weights, other.weights, atol=1e-3, rtol=1e-2)


def test_stronger_penalties_hold_weights_down():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 5, generator=generator, dtype=torch.float64) + 0.3
    examples = Examples(inputs, torch.ones(40, dtype=torch.float64), torch.zeros(40, dtype=torch.float64), False)
    lengths = [float(linear.weights.norm()) for linear in fit_path(examples)]
    assert lengths == sorted(lengths)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(2, 6), st.integers(0, 3))
def test_folds_keep_groups_together_and_leave_none_empty(numbers, count, seed):
    groups = [str(number) for number in numbers]
    folds = grouped_folds(groups, count, seed).tolist()
    assert set(folds) == set(range(min(count, len(set(groups)))))
    assert len({*zip(groups, folds, strict=True)}) == len(set(groups))


def test_logits_out_of_fold_are_of_fits_that_have_not_seen_them():
    # Two groups that contradict each other: whoever is held out is judged by the other, and wrongly.
    inputs = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]], dtype=torch.float64)
    examples = Examples(inputs, torch.ones(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64), False)
    logits = out_of_fold(examples, torch.tensor([0, 0, 1, 1]), [0.1])
    assert (logits < 0).all()


# The choice.


def test_it_finds_what_a_middle_layer_says_and_the_end_token_does_not(counting, data, states):
    choice = choose(data, states)
    accuracy = {tried.reading: float((tried.scores > 0).double().mean()) for tried in choice.tried}
    assert accuracy[Reading("last", None)] < 0.72
    assert choice.best.reading.pooling == "mean"
    assert choice.best.reading.layer in (1, 2)
    assert accuracy[choice.best.reading] > 0.8
    model = alone(fit_probe(data, states, choice), counting)
    unseen = learned_of(Pairs(), sayings(60, seed=1), counting)
    scores = model.raw_scores_of(unseen.rows)
    assert float((scores[:, 0] > scores[:, 1]).float().mean()) > 0.8


def log_prob_case(seed, weight):
    """Records of which a reading says nothing, and log p something or nothing."""
    generator = torch.Generator().manual_seed(seed)
    log_probs = torch.randn(400, generator=generator) * 10
    better = weight * (log_probs[0::2] - log_probs[1::2]) + torch.randn(200, generator=generator) > 0
    records = [Record(f"p {i}", "a", "b", {}) for i in range(200)]
    flipped = log_probs.view(200, 2)
    flipped = torch.where(better[:, None], flipped, flipped.flip(1)).flatten()
    states = States({Reading("mean", 1): torch.randn(400, 3, generator=generator)}, flipped)
    choice = Tried(Reading("mean", 1), 1.0, torch.zeros(200, dtype=torch.float64), torch.zeros(200))
    return Learned(Pairs(), records, [[([1], [2])] * 2] * 200), states, choice


def test_log_p_counts_where_it_tells_something():
    data, states, choice = log_prob_case(0, weight=0.1)
    assert 0.08 < fit_log_prob_weight(data, states, choice) < 0.3  # probit noise of 1 is about 1.7 logits
    assert fit_log_prob_weight(data, states._replace(log_probs=None), choice) == 0


def test_log_p_does_not_count_by_chance_or_where_less_likely_is_better():
    for seed in range(3):
        assert fit_log_prob_weight(*log_prob_case(seed, weight=0.0)) < 0.02
    data, states, choice = log_prob_case(0, weight=0.1)
    assert fit_log_prob_weight(data, states._replace(log_probs=-states.log_probs), choice) == 0


def test_a_given_weight_of_log_p_is_in_every_score(counting, data):
    start = probe_first(counting, data, ReadingOptions("mean", "1", 0.2))
    assert start.choice.given
    assert start.probe.log_prob_weight == 0.2
    model = alone(start.probe, counting)
    torch.testing.assert_close(
        model.raw_scores_of(data.rows).flatten(), start.probe.scores(start.states).float(), atol=1e-3, rtol=1e-3
    )


def test_log_p_is_measured_of_the_first_records_alone(counting, data, states):
    assert states.log_probs[:120].isfinite().all()
    assert states.log_probs[120:].isnan().all()
    rows = [row for of_one in data.rows[:60] for row in of_one]
    plain = log_probs_of(counting.reference, *zip(*rows, strict=True)).sum(1)
    torch.testing.assert_close(states.log_probs[:120], plain, atol=1e-3, rtol=1e-4)


def test_log_p_that_counts_is_a_part_of_every_score(counting, data, monkeypatch):
    monkeypatch.setattr("rewards.from_probe.MEASURED", 20)
    monkeypatch.setattr("rewards.probing.fit_log_prob_weight", lambda *_: 0.3)
    start = probe_first(counting, data, ReadingOptions("mean", "1"))
    assert start.probe.log_prob_weight == 0.3
    scores = alone(start.probe, counting).raw_scores_of(data.rows).flatten()
    torch.testing.assert_close(start.probe.scores(start.states).float(), scores, atol=1e-3, rtol=1e-3)


def test_the_table_leaves_log_p_aside_where_it_is_known_of_some_records_alone(data, states, monkeypatch):
    without = cross_validated(data, states._replace(log_probs=None), None, 3)
    monkeypatch.setattr(
        "rewards.probing.fit_log_prob_weight", lambda _, known, *__: 0.0 if known.log_probs is None else 9
    )
    figures = cross_validated(data, states, None, 3)
    assert figures.pop("log p")["n"] == 60
    assert figures == without


# Labels.


def test_a_probe_of_labels_has_a_bias_and_says_log_odds(counting):
    records = [
        LabelledRecord(pair.prompt, text, label, {})
        for pair in sayings(30)
        for text, label in ((pair.chosen, 1.0), (pair.rejected, 0.0))
    ]
    data = learned_of(Labels(), records, counting)
    start = probe_first(counting, data, ReadingOptions("mean", "1", 0.0))
    model = alone(start.probe, counting)
    assert model.bias != 0
    scores = model.raw_scores_of(data.rows).flatten()
    assert Labels().loss(scores, records)[0] < 0.6
    assert abs(float(scores.sigmoid().mean()) - 0.5) < 0.02  # an intercept that is not held down
    figures = cross_validated(data, start.states, 0.0, 3)
    assert figures["chosen"]["mean"] > 0.7
    assert {"length", "keyword", "tfidf"} < set(figures)


# What is saved.


@pytest.fixture(scope="module")
def probe(counting, data, states):
    return fit_probe(data, states, choose(data, states, 0.0))


TURNS = [Turn("Human: Hello", "yes no yes"), Turn("Human: Hello there", "no maybe"), Turn("Human:", "")]


def test_a_probe_is_saved_and_loaded_with_equal_scores(counting, probe, tmp_path):
    model = alone(probe, counting, centre=0.25, score_limit=3.0)
    model.bias = 0.125
    before = model(TURNS)
    model.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.safetensors", "perlhf.json"]
    again = RewardModel.load(tmp_path)
    assert (again.reading, again.bias, again.centre, again.score_limit) == (probe.reading, 0.125, 0.25, 3.0)
    assert again(TURNS) == before
    with again.role.active():
        assert not any(p.requires_grad for p in again.role.parameters().values())


def plain_scores(model, weight, backbone, reading):
    """Scores by transformers alone: the mean over the response of hidden_states[layer], and one product."""
    found = []
    for turn in TURNS:
        prompt = backbone.encode_prompt(turn.prompt)
        ids = torch.tensor([[*prompt, *backbone.encode_response(turn.response), backbone.end_ids[0]]])
        with torch.no_grad():
            states = model(input_ids=ids, output_hidden_states=True).hidden_states[reading.layer]
        found.append(float(states[0, len(prompt) :].mean(0) @ weight[0]))
    return found


def test_plain_transformers_computes_the_score_of_a_probe(counting, probe, tmp_path):
    assert probe.reading.pooling == "mean"
    assert probe.reading.layer is not None
    model = alone(probe, counting, centre=0.25)
    model.save(tmp_path)
    weight = load_file(tmp_path / "head.safetensors")["score.weight"]
    plain = plain_scores(AutoModelForCausalLM.from_pretrained(counting.path), weight, counting, probe.reading)
    assert plain == pytest.approx([score + 0.25 for score in model(TURNS)], abs=1e-4)


def test_plain_peft_opens_an_adapter_that_reads_a_middle_layer_and_has_its_head(counting, probe, tmp_path):
    role = counting.add_role("reward", LoRASettings(2), head=True)
    model = put_into(probe, role)
    with torch.no_grad():
        for parameter in role.body_parameters().values():
            parameter.add_(0.05)
    model.save(tmp_path)
    assert RewardModel.load(tmp_path)(TURNS) == model(TURNS)
    plain = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path, num_labels=1).eval()
    weight = plain.base_model.model.score.modules_to_save["default"].weight
    assert plain_scores(plain, weight, counting, probe.reading) == pytest.approx(model(TURNS), abs=1e-4)


@pytest.mark.parametrize(
    "change", [{"pooling": "max"}, {"pooling": None}, {"read_layer": "2"}, {"read_layer": True}, {"bias": "x"},
               {"bias": math.inf}]
)  # fmt: skip
def test_what_save_did_not_write_is_one_line(counting, probe, tmp_path, change):
    alone(probe, counting).save(tmp_path)
    file = tmp_path / "perlhf.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(UserError, match=r"perlhf\.json is damaged") as error:
        RewardModel.load(tmp_path)
    assert "\n" not in str(error.value)


# Adapters from there.


def test_training_begins_at_the_probe_and_what_is_kept_is_not_worse(counting, data, tmp_path):
    start = probe_first(counting, data, ReadingOptions("mean", "2", 0.0))
    role = counting.add_role("reward", LoRASettings(4), head=True)
    how = FitSettings(epochs=4, batch_size=16, learning_rate=5e-3, micro_batch_size=4, warmup_steps=1)
    adapted = adapt(start, data, role, how, np.random.default_rng(0), tmp_path / "log")
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log").read_text().splitlines()]
    assert losses[0] < math.log(2) + 0.1
    assert [figures["step"] for figures in adapted.history] == [0, 5, 10, 15, 20]  # 72 of 90, 16 a step
    kept = next(f for f in adapted.history if f["step"] == (adapted.best or 0))
    assert kept["loss"] <= adapted.history[0]["loss"]
    line = describe_choice(adapted)
    assert ("the probe is kept" in line) == (adapted.best is None)


def test_the_adapter_is_the_one_of_its_best_pass(counting, data, states, tmp_path):
    """A probe that says nothing, so that training is better at once; a rate that then destroys what it found."""
    nothing = Tried(Reading("mean", 1), 1e3, torch.zeros(90, dtype=torch.float64), torch.zeros(90))
    choice = Choice([nothing], nothing, 0.0, given=True)
    start = Start(states, choice, fit_probe(data, states, choice))
    role = counting.add_role("reward", LoRASettings(4), head=True)
    how = FitSettings(3, 16, learning_rate=2e-2, micro_batch_size=8, warmup_steps=1, head_learning_rate=0.05)
    adapted = adapt(start, data, role, how, np.random.default_rng(0), tmp_path / "log")
    assert adapted.best is not None
    best = min(adapted.history, key=lambda figures: figures["loss"])
    assert best["step"] == adapted.best
    folds = grouped_folds(data.groups, 5, 0)
    unseen = data.at((folds == 0).nonzero().squeeze(1).tolist())
    scores = adapted.model.raw_scores_of(unseen.rows).flatten()
    assert float(losses_at_best_scale(unseen, scores).mean()) == pytest.approx(best["loss"], abs=1e-4)
    assert adapted.model.centre == pytest.approx(centre_of(unseen, scores), abs=1e-4)


def test_scores_are_compared_at_their_best_scale():
    records = [Record(f"p {i}", "a", "b", {}) for i in range(4)]
    data = Learned(Pairs(), records, [[([1], [2])] * 2] * 4)
    # Three of four right by as much as the fourth is wrong: at the best scale each is said with odds of 3 to 1.
    for scale in (0.01, 1.0, 50.0):
        found = losses_at_best_scale(data, scale * torch.tensor([1.0, 0, 1, 0, 1, 0, 0, 1]))
        assert found.tolist() == pytest.approx([math.log(4 / 3)] * 3 + [math.log(4)], abs=2e-3)
    wrong = losses_at_best_scale(data, torch.tensor([0.0, 1] * 4))
    assert wrong.tolist() == pytest.approx([math.log(2)] * 4)


def test_a_head_has_a_rate_of_its_own(counting, data, tmp_path):
    role = counting.add_role("reward", LoRASettings(2), head=True)
    before = role.head.weight.detach().clone()
    how = FitSettings(1, 32, learning_rate=1e-2, warmup_steps=1, head_learning_rate=0.0)
    seen = []

    def check(step):
        seen.append((step, len((tmp_path / "log").read_text().splitlines())))

    fit(role, data.lengths, data.loss(RewardModel(role)), how, np.random.default_rng(0), tmp_path / "log", check)
    assert torch.equal(role.head.weight, before)
    assert any(p.abs().max() > 0 for name, p in role.body_parameters().items() if "lora_B" in name)
    assert seen == [(3, 3)]  # the log has every step as soon as it is done


@pytest.mark.parametrize(
    ("share", "rows", "shipped", "steps"),
    [(None, 240, True, 20), (None, 240, False, 1), (None, 3200, False, 10), (None, 32000, False, 20),
     (0.1, 32000, False, 100), (0.1, 240, True, 1), (0.5, 240, False, 4)],
)  # fmt: skip
def test_warm_up_is_a_share_of_the_steps(share, rows, shipped, steps):
    assert FitSettings(1, 32, 1e-3).warmed_up(share, rows, shipped).warmup_steps == steps


def write_pairs(path, pairs):
    lines = [
        json.dumps(
            {
                "chosen": f"\n\n{p.prompt}\n\nAssistant: {p.chosen}",
                "rejected": f"\n\n{p.prompt}\n\nAssistant: {p.rejected}",
            }
        )
        for p in pairs
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_the_commands_take_a_probe_on_a_backbone_that_is_not_shipped(counting, tmp_path, capsys):
    file = write_pairs(tmp_path / "pairs.jsonl", sayings(120))
    given = {"data": file, "backbone": counting.path}
    train(Options(**given, output_dir=str(tmp_path / "run"), epochs=2, batch_size=16))
    said = capsys.readouterr().out
    assert "probe (mean, layer 1), on training records that it had not seen: accuracy" in said
    assert "loss on a fifth of the records, held out: probe" in said
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["accuracy"]["mean"] > 0.7
    assert summary["log_prob_weight"] == 0
    assert (summary["pooling"], summary["read_layer"]) == ("mean", 1)
    assert summary["validation"][0]["step"] == 0
    assert "tfidf" in summary["baselines"]
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["loss"] < math.log(2) + 0.1
    assert RewardModel.load(tmp_path / "run").reading == Reading("mean", 1)
    assert (tmp_path / "run" / "head.safetensors").exists() == (summary["kept_step"] is None)

    model = probe_command.fit(probe_command.Options(**given, folds=3, output_dir=str(tmp_path / "probe")))
    said = capsys.readouterr().out
    assert "mean, layer 1     " in said
    assert "tfidf" in said
    assert RewardModel.load(tmp_path / "probe")(TURNS) == model(TURNS)
    summary = json.loads((tmp_path / "probe" / "summary.json").read_text())
    assert set(summary["cross_validated"]["chosen"]) == {"mean", "low", "high", "n"}


def test_a_run_that_is_stopped_leaves_the_probe(counting, tmp_path, monkeypatch, capsys):
    file = write_pairs(tmp_path / "pairs.jsonl", sayings(120))

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("rewards.train_reward_model.adapt", stop)
    with pytest.raises(KeyboardInterrupt):
        train(Options(data=file, backbone=counting.path, output_dir=str(tmp_path / "run")))
    assert f"{tmp_path / 'run'} is a reward model, the probe that training began from" in capsys.readouterr().err
    assert len(RewardModel.load(tmp_path / "run")(TURNS)) == 3


# What there is nothing to learn from.


def one_line_of(function, *arguments):
    with pytest.raises(UserError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_pairs_of_equal_responses_are_left_out_and_alone_refused(counting, capsys):
    tie, pair = Record("Human: Hello", "yes", " yes ", {}), Record("Human: Hello", "yes", "no", {})
    assert learned_of(Pairs(), [tie, pair], counting).records == [pair]
    assert capsys.readouterr().out == "1 of 2 pairs have two equal responses and are left out\n"
    assert one_line_of(learned_of, Pairs(), [tie, tie], counting).startswith("the two responses are equal in each of 2")


def test_labels_of_one_kind_are_refused(counting):
    records = [LabelledRecord("Human: Hello", word, 1.0, {}) for word in WORDS]
    assert one_line_of(learned_of, Labels(), records, counting).startswith("all 5 labels are 1, so there is nothing")
    soft = [record._replace(label=0.6 + i / 10) for i, record in enumerate(records[:3])]
    assert len(learned_of(Labels(), soft, counting).records) == 3


def test_records_of_one_prompt_and_fewer_than_folds_are_refused(counting, data, states):
    same = learned_of(Pairs(), [pair._replace(prompt="Human: Hello") for pair in data.records[:6]], counting)
    few = states.at(torch.arange(6), 2)
    assert one_line_of(choose, same, few).startswith("6 records of one first user turn: none can be held out")
    message = one_line_of(cross_validated, data.at(range(6)), few, 0.0, 10)
    assert message.startswith("6 records of 6 different first user turns cannot be dealt out to 10 folds; give --folds")


def test_too_few_tokens_are_refused(counting, tmp_path):
    file = write_pairs(tmp_path / "pairs.jsonl", sayings(60))
    options = probe_command.Options(data=file, backbone=counting.path, max_tokens=3, output_dir=str(tmp_path / "run"))
    assert "has at most 3 tokens; raise --max-tokens" in one_line_of(probe_command.fit, options)


# Margins and soft labels.


def test_a_margin_is_what_the_better_one_has_to_lie_above():
    # -log sigmoid(2 - 1 - 0.5) = log(1 + e^-0.5), as TRL's RewardTrainer
    loss = pairwise_loss(torch.tensor([2.0]), torch.tensor([1.0]), torch.tensor([0.5]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-0.5)))
    records = [Record("p", "a", "b", {"margin": 0.5}), Record("p", "a", "b", {})]
    both, right = Pairs().loss(torch.tensor([2.0, 1.0, 1.0, 1.0]), records)
    assert both.item() == pytest.approx((math.log(1 + math.exp(-0.5)) + math.log(2)) / 2)
    assert right == 1
    targets, offsets = Pairs().targets(records)
    assert targets.tolist() == [1, 1]
    assert offsets.tolist() == [-0.5, 0]


def test_a_probe_knows_of_margins():
    # Differences of 1, and of 3 where the margin is 2: with margins the better ones have to lie further above.
    records = [Record(f"p {i}", "a", "b", {"margin": 2.0 * (i % 2)}) for i in range(20)]
    values = torch.tensor([[1.0 + 2 * (i % 2), 0.0] for i in range(20)]).flatten()[:, None]
    states = States({Reading("mean", 1): values}, None)
    tried = Tried(Reading("mean", 1), 0.1, torch.zeros(20, dtype=torch.float64), torch.zeros(20))
    weights = []
    for meta in ({"margin": 2.0}, {}):
        marked = [record._replace(meta=meta if i % 2 else {}) for i, record in enumerate(records)]
        data = Learned(Pairs(), marked, [[([1], [2])] * 2] * 20)
        weights.append(fit_probe(data, states, Choice([tried], tried, 0.0, given=True)).linear.weights.item())
        scores = choose(data, states, 0.0).best.scores
        assert (scores > 0).all()  # without the margin, which is no part of what a response is worth
    assert weights[0] > weights[1] > 0


def test_soft_labels_pull_to_what_they_say(counting):
    data = Learned(Labels(), [LabelledRecord(f"p {i}", "a", 0.75, {}) for i in range(8)], [[([1], [2])]] * 8)
    states = States({Reading("mean", 1): torch.randn(8, 2, generator=torch.Generator().manual_seed(0))}, None)
    tried = Tried(Reading("mean", 1), 1.0, torch.zeros(8, dtype=torch.float64), torch.zeros(8))
    found = fit_probe(data, states, Choice([tried], tried, 0.0, given=True))
    assert found.scores(states).sigmoid().tolist() == pytest.approx([0.75] * 8, abs=1e-3)


# V.


def test_v_says_why_it_does_not_start_as_a_reward_model(counting, probe, tmp_path):
    def why(model, backbone=counting, full=False):
        return obstacle(model, backbone, full)

    def adapter(**given):
        return RewardModel(counting.add_role("reward", LoRASettings(2), head=True), **given)

    assert why(adapter()) is None
    assert why(adapter(log_prob_weight=0.1)) == "its score is not the head's alone (log-prob weight 0.1)"
    assert why(adapter(reading=Reading("mean", 2))).startswith("its head reads other states (mean, layer 2) than V")
    assert why(adapter(), full=True) == "it is an adapter, and V trains all weights"
    assert why(alone(Probe(Reading(), Linear(torch.zeros(32, dtype=torch.float64)), 0.0, 1.0), counting)) == (
        "it is a head alone, and V trains an adapter"
    )
    other = gemma(tmp_path)
    assert why(adapter(), backbone=other) == "it is on another backbone"


def test_the_table_has_a_line_for_each_score():
    figure = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 10}
    assert table({"a": figure, "longer": figure}, "accuracy").splitlines() == [
        "score   accuracy", "a       0.500 [0.400, 0.600], n = 10", "longer  0.500 [0.400, 0.600], n = 10",
    ]  # fmt: skip
