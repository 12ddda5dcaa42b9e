"""Rows with one prompt share a line of a batch: the same figures and gradients as of each row alone, for less."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import gemma, save_architecture, save_gemma, seeing_gemma

from agents import PPO, make_vec_env
from backbones.backbone import Backbone
from backbones.forward import (
    log_probs_of,
    response_logits,
    response_states,
    speak,
)
from backbones.model.anatomy import decoder_layers
from backbones.model.loading import LoadSettings
from backbones.model.tokens import like_lengths
from backbones.roles import LoRASettings
from backbones.shortcuts.shared_lines import shared_lines

LONG, SHORT = [5 + i % 20 for i in range(30)], [8, 9, 10]
PROMPTS = [LONG, SHORT, LONG, LONG, SHORT, LONG, SHORT, LONG]
RESPONSES = [[20, 21, 1], [30], [22, 1], [], [31, 32], [23, 24, 25, 26], [30], [22, 1]]
ARCHITECTURES = ["Gemma3", "Llama", "Qwen3", "OPT", "OPT of two widths", "GPTNeoX", "Phi", "GPT2"]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def backbone(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_gemma(folder) if request.param == "Gemma3" else save_architecture(request.param, folder)
    return Backbone.load(str(folder))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return gemma(tmp_path_factory.mktemp("small"))


def perturbed(role):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in role.parameters().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return role


def close(one, other):
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def figures_and_gradients(role, batch, temperature=0.7):
    """All that is computed of a batch, and the gradients of a sum of it."""
    mask = batch.response_mask
    with role.active() as model:
        spoken = speak(model, batch, temperature, with_entropy=True)
        values = role.head(response_states(model, batch)).squeeze(-1)
        found = [spoken.log_probs * mask, spoken.entropies * mask, spoken.states * mask[..., None], values * mask]
        sum((figure * (1 + torch.arange(figure.numel()).view(figure.shape) % 5)).sum() for figure in found).backward()
    gradients = [p.grad for p in role.parameters().values()]
    for parameter in role.parameters().values():
        parameter.grad = None
    scale = max(float(gradient.abs().max()) for gradient in gradients)
    return [figure.detach() for figure in found], [gradient / scale for gradient in gradients]


def test_figures_and_gradients_are_those_of_rows_alone(backbone):
    role = perturbed(backbone.add_role("policy", LoRASettings(4), head=True))
    plain, shared = backbone.batch(PROMPTS, RESPONSES), shared_lines(backbone, PROMPTS, RESPONSES)
    assert shared.input_ids.shape == (2, 30 + 9)
    assert torch.equal(shared.response_ids * shared.response_mask, plain.response_ids * plain.response_mask)
    assert torch.equal(shared.response_mask, plain.response_mask)
    found = [figures_and_gradients(role, batch) for batch in (plain, shared)]
    for of_plain, of_shared in zip(*found, strict=True):
        for one, other in zip(of_plain, of_shared, strict=True):
            close(one, other)


def test_above_frozen_layers_too(backbone):
    role = perturbed(backbone.add_role("policy", LoRASettings(4, layers=1), head=True))
    plain, expected = figures_and_gradients(role, backbone.batch(PROMPTS, RESPONSES))
    with backbone.frozen_states.kept(role.frozen_layers):
        for _ in range(2):
            found, gradients = figures_and_gradients(role, shared_lines(backbone, PROMPTS, RESPONSES))
            for one, other in zip([*plain, *expected], [*found, *gradients], strict=True):
                close(one, other)


def test_logits_are_those_of_rows_alone(small):
    mask = small.batch(PROMPTS, RESPONSES).response_mask[..., None]
    with small.reference.active() as model, torch.no_grad():
        plain, shared = (
            response_logits(model, make(PROMPTS, RESPONSES), 0.5) * mask
            for make in (small.batch, partial(shared_lines, small))
        )
    close(plain, shared)


rows = st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(3, 60), max_size=5)), min_size=1, max_size=10)


def test_with_gradient_checkpointing_too(tmp_path):
    path = str(save_architecture("Llama", tmp_path))
    test_figures_and_gradients_are_those_of_rows_alone(
        Backbone.load(path, settings=LoadSettings(gradient_checkpointing=True))
    )


@given(rows, st.lists(st.lists(st.integers(3, 60), min_size=1, max_size=12), min_size=3, max_size=3, unique_by=tuple))
@settings(max_examples=40, deadline=None)
def test_any_rows_can_share_lines(small, rows, prompts):
    prompts, responses = [prompts[i] for i, _ in rows], [response for _, response in rows]
    together = log_probs_of(small.reference, prompts, responses, batches=[range(len(rows))])
    for i, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        alone = log_probs_of(small.reference, [prompt], [response])[0]
        close(together[i, : len(response)], alone[: len(response)])
        assert not together[i, len(response) :].any()
    batch = shared_lines(small, prompts, responses)
    plain = small.batch(prompts, responses)
    assert batch.input_ids.numel() <= plain.input_ids.numel()
    assert batch.places is None or len(batch.input_ids) < len(prompts)


def test_a_batch_by_hand(small):
    batch = shared_lines(small, [[5, 6, 7]] * 3 + [[8]], [[20, 1], [21], [20, 1], [22]])
    assert batch.input_ids.tolist() == [[5, 6, 7, 20, 1, 21], [0, 0, 8, 22, 0, 0]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 4, 3], [0, 0, 0, 1, 1, 1]]
    assert batch.response_ids.tolist() == [[20, 1], [21, 0], [20, 1], [22, 0]]
    assert batch.places.lines.tolist() == [[0], [0], [0], [1]]
    # Of the first row: its first token after the prompt's last, in column 0 of these, and its second after its first.
    assert batch.places.columns.tolist() == [[0, 1], [0, 0], [0, 1], [0, 0]]
    seen = batch.attention_mask[0, 0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [1, 1, 1, 0, 0, 1],
    ]


def test_a_prompt_is_computed_once_and_equal_rows_are(small):
    widths = []
    hook = decoder_layers(small.model)[0].register_forward_hook(lambda _, given, __: widths.append(given[0].shape[:2]))
    assert small.packs
    widths.clear()
    log_probs_of(small.reference, [LONG] * 4, [[20, 1], [21, 1], [20, 1], [22, 23]])
    log_probs_of(small.reference, [LONG, [*LONG, 9], SHORT], [[20, 1]] * 3)
    hook.remove()
    assert widths == [(1, 30 + 6), (3, 31 + 2)]


def test_rows_have_lines_of_their_own_where_that_is_less(small):
    # Of width 32 a position is as much work as 192 pairs. 4 rows of 3 + 40 tokens: 4 * 43 * (192 + 43) = 40,420;
    # one line of 3 + 160: 163 * (192 + 163) = 57,865. Responses of 12: 4 * 15 * 207 = 12,420 and 51 * 243 = 12,393.
    long = [[number, *range(3, 42)] for number in range(3, 7)]
    assert shared_lines(small, [SHORT] * 4, long).places is None
    assert shared_lines(small, [SHORT] * 4, [row[:12] for row in long]).places is None
    # Of 8: 4 * 11 * 203 = 8,932 and 35 * 227 = 7,945, which is below nine tenths of it.
    assert shared_lines(small, [SHORT] * 4, [row[:8] for row in long]).input_ids.shape == (1, 35)
    assert shared_lines(small, [SHORT] * 4, long[:1] * 4).input_ids.shape == (1, 43)  # of one response


def test_where_it_is_not_possible_every_row_has_its_line(small, monkeypatch, tmp_path):
    def lines(backbone):
        return len(shared_lines(backbone, [LONG] * 3, [[20, 1], [21], [22]]).input_ids)

    assert lines(small) == 1
    with monkeypatch.context() as patch:
        patch.setitem(vars(small), "packs", False)
        assert lines(small) == 3
    with monkeypatch.context() as patch:
        patch.setattr(small.model.config.get_text_config(), "sliding_window", 31)
        assert lines(small) == 3
    assert lines(Backbone.load(small.path, settings=LoadSettings("mixed"))) == 3
    assert (
        lines(Backbone.load(str(save_architecture("Bloom", tmp_path / "bloom")))) == 3
    )  # its positions are the mask's
    sees = seeing_gemma(tmp_path / "sees")
    assert lines(sees) == 3


def test_large_vocabularies_too(small, monkeypatch):
    monkeypatch.setattr("backbones.log_probs.LARGE", 1)
    test_figures_and_gradients_are_those_of_rows_alone(small)


@pytest.mark.parametrize("settings", [{"full": True}, {"lora_layers": "half"}, {"value_adapter": "shared"}])
def test_an_update_of_groups_is_that_of_rows_alone(small, settings, monkeypatch):
    """Of eight rows with two prompts."""

    def updated(shares):
        with monkeypatch.context() as patch:
            patch.setitem(vars(small), "packs", shares)
            env = make_vec_env(
                "toy_tasks:test/OneTurn-v0", 8, seed=0, reward="toy_tasks:starts_with_i"
            )  # of two prompts
            kwargs = {"backbone": small.path, "max_new_tokens": 6, **settings}
            model = PPO("LoRAPolicy", env, 1e-2, batch_size=8, policy_kwargs=kwargs, seed=0, device="cpu", ent_coef=0.1)
            model.learn(8)
        return model.rollout, [parameter.detach().clone() for parameter in model.policy.parameters()]

    (one, weights), (other, others) = updated(False), updated(True)
    assert one.responses == other.responses
    for name in ("old_log_probs", "reference_log_probs", "values", "entropy"):
        close(getattr(one, name), getattr(other, name))
    for weight, shared in zip(weights, others, strict=True):
        # Adam's first step moves a weight by the rate whatever its gradient, so where that is rounding it may differ.
        assert (weight - shared).abs().gt(1e-3).float().mean() < 0.01


def test_batches_hold_equal_prompts_together():
    #         prompt  0  1  2  0  2  1  0
    lengths, equal = [4, 9, 3, 5, 3, 6, 5], [0, 1, 2, 0, 2, 1, 0]
    assert like_lengths(lengths, 3, equal) == [[2, 4, 0], [3, 6, 5], [1]]
    assert like_lengths(lengths, 3, range(7)) == like_lengths(lengths, 3)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=20), st.integers(1, 5))
def test_batches_hold_every_row_once(rows, size):
    batches = like_lengths([length for length, _ in rows], size, [number for _, number in rows])
    order = [i for batch in batches for i in batch]
    assert sorted(order) == list(range(len(rows)))
    numbers = [rows[i][1] for i in order]
    assert len({number for number, before in zip(numbers, [None, *numbers], strict=False) if number != before}) == sum(
        number != before for number, before in zip(numbers, [None, *numbers], strict=False)
    )  # no number comes back after another one
