"""Generation and scoring: the same tokens and the same numbers whatever shares the batch."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import gemma, save_architecture

from backbones.backbone import Backbone
from backbones.draws import row_seeds
from backbones.forward import last_token_scores, log_probs_of, map_batches
from backbones.generate import generate
from backbones.model.tokens import TokenBatch, like_lengths
from backbones.model.vision import ImagePrompt
from backbones.roles import LoRASettings
from backbones.shortcuts.equal_prompts import distinct_prompts, first_of_each
from backbones.shortcuts.shared_prefix import SHORTEST, prefix_length
from perlhf.errors import UserError

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12, 13, 14, 15], [30], [40, 41, 42, 43]]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return gemma(tmp_path_factory.mktemp("gemma"))


def seeds(count, seed=0):
    return row_seeds(seed, range(count), 0)


def test_greedy_is_what_transformers_generates(backbone):
    for prompt in PROMPTS:
        theirs = backbone.model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), max_new_tokens=12,
            do_sample=False, eos_token_id=backbone.end_ids, pad_token_id=0,
        )[0, len(prompt) :].tolist()  # fmt: skip
        assert generate(backbone.reference, [prompt], 12, temperature=0) == [theirs]


def test_a_greedy_response_does_not_depend_on_what_shares_its_batch(backbone):
    alone = [generate(backbone.reference, [p], 12, temperature=0)[0] for p in PROMPTS]
    assert generate(backbone.reference, PROMPTS, 12, temperature=0) == alone
    assert generate(backbone.reference, PROMPTS, 12, temperature=0, batch_size=2) == alone


@pytest.mark.parametrize("name", ["Llama", "GPT2", "OPT", "Bloom", "Phi"])
def test_what_prompts_begin_with_is_read_once_and_changes_nothing(name, tmp_path):
    backbone = Backbone.load(str(save_architecture(name, tmp_path)))
    assert backbone.shares_prefixes
    begin = [3 + i % 50 for i in range(SHORTEST)]
    prompts = [begin + prompt for prompt in PROMPTS]
    alone = [generate(backbone.reference, [p], 12, temperature=0)[0] for p in prompts]
    read = []
    hook = backbone.model.register_forward_pre_hook(
        lambda _, __, given: read.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    assert generate(backbone.reference, prompts, 12, temperature=0) == alone
    hook.remove()
    assert read[:3] == [(1, SHORTEST), (4, 8), (4, 1)]
    backbone.release()


def test_a_short_beginning_is_not_worth_it():
    begin = list(range(3, 3 + SHORTEST))
    assert prefix_length([[*begin, 1], [*begin, 2, 3]]) == SHORTEST
    assert prefix_length([[*begin[1:], 1], [*begin[1:], 2, 3]]) == 0
    assert prefix_length([[*begin, 1]]) == 0
    assert prefix_length([begin, [*begin, 4]]) == 0  # something of every prompt is left to read


@pytest.fixture
def read(backbone, monkeypatch):
    """The shapes of the ids that forwards read, as a list that grows."""
    shapes = []
    hook = backbone.model.register_forward_pre_hook(
        lambda _, __, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    assert backbone.repeats_rows  # asked for now, so that it is not among them
    shapes.clear()
    monkeypatch.setattr(backbone, "end_ids", [-1])  # no row leaves
    yield shapes
    hook.remove()


def test_equal_prompts_are_read_once(backbone, read):
    generate(backbone.reference, [PROMPTS[i] for i in (0, 1, 0, 3, 1, 0)], 2, 1.0, seeds(6))
    assert read == [(3, 8), (6, 1)]


def test_equal_prompts_stand_in_one_batch(backbone, read):
    same = [[5, 6], [7, 8]] * 4
    generate(backbone.reference, same, 1, 1.0, seeds(8), batch_size=4)
    assert read == [(1, 2), (1, 2)]


def test_of_equal_prompts_the_likeliest_response_is_sampled_once(backbone, read):
    first, second, again = generate(backbone.reference, [PROMPTS[0], PROMPTS[1], PROMPTS[0]], 3, temperature=0)
    assert first == again
    assert first is not again  # whoever changes one leaves the other
    assert read == [(2, 8), (2, 1), (2, 1)]
    assert second == generate(backbone.reference, [PROMPTS[1]], 3, temperature=0)[0]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 12), st.sampled_from([0.0, 1.5]), st.data())
@settings(max_examples=20, deadline=None)
def test_equal_prompts_say_what_each_says_alone(backbone, numbers, batch_size, temperature, data):
    begin = [9] * data.draw(st.sampled_from([0, SHORTEST]))
    prompts, of_rows = [begin + PROMPTS[i] for i in numbers], seeds(len(numbers), data.draw(st.integers(0, 99)))
    together = generate(backbone.reference, prompts, 5, temperature, of_rows, batch_size)
    alone = [generate(backbone.reference, [p], 5, temperature, [s])[0] for p, s in zip(prompts, of_rows, strict=True)]
    assert together == alone


@pytest.mark.parametrize("name", ["Llama", "GPT2", "OPT", "Bloom"])
def test_models_of_other_kinds_read_equal_prompts_once_too(name, tmp_path):
    backbone = Backbone.load(str(save_architecture(name, tmp_path)))
    assert backbone.repeats_rows
    prompts, of_rows = PROMPTS * 3, seeds(12)
    alone = [generate(backbone.reference, [p], 6, 1.5, [s])[0] for p, s in zip(prompts, of_rows, strict=True)]
    assert generate(backbone.reference, prompts, 6, 1.5, of_rows) == alone
    backbone.release()


def test_a_model_that_keeps_more_than_a_cache_reads_each_prompt(backbone, read, monkeypatch):
    monkeypatch.setitem(vars(backbone), "repeats_rows", False)
    generate(backbone.reference, [PROMPTS[0]] * 3, 2, 1.0, seeds(3))
    assert read == [(3, 3), (3, 1)]


def test_prompts_are_equal_by_tokens_and_image():
    image = np.zeros((2, 3, 3), dtype=np.uint8)
    other, reshaped = image.copy(), image.reshape(3, 2, 3)
    other[0, 0, 0] = 1
    shown = [ImagePrompt([5, 6], i, None) for i in (image, other, reshaped, image.copy())]
    assert first_of_each([[5, 6], (5, 6), [5], *shown]) == [0, 0, 2, 3, 4, 5, 3]
    assert distinct_prompts([[5], [6], [5]]) == ([[5], [6]], [0, 1, 0])


def test_sampling_repeats_with_its_seeds_and_leaves_the_global_state_alone(backbone):
    state = torch.get_rng_state()
    first = generate(backbone.reference, PROMPTS, 12, seeds=seeds(4))
    assert generate(backbone.reference, PROMPTS, 12, seeds=seeds(4)) == first
    assert generate(backbone.reference, PROMPTS, 12, seeds=seeds(4, 1)) != first
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("begin", [0, SHORTEST])
def test_a_sampled_response_does_not_depend_on_what_shares_its_batch(backbone, begin, monkeypatch):
    monkeypatch.setattr(backbone, "end_ids", list(range(0, len(backbone.tokenizer), 12)))  # so that rows leave
    prompts = [[9] * begin + prompt for prompt in PROMPTS * 16]
    of_rows = seeds(64)
    together = generate(backbone.reference, prompts, 12, 1.5, of_rows)
    assert len({len(row) for row in together}) > 5
    assert len({tuple(row) for row in together}) > 50
    alone = [generate(backbone.reference, [p], 12, 1.5, [seed])[0] for p, seed in zip(prompts, of_rows, strict=True)]
    assert together == alone
    assert generate(backbone.reference, prompts, 12, 1.5, of_rows, batch_size=7) == alone
    order = [(37 * i + 5) % 64 for i in range(64)]
    permuted = generate(backbone.reference, [prompts[i] for i in order], 12, 1.5, [of_rows[i] for i in order])
    assert permuted == [alone[i] for i in order]


def test_a_shorter_response_is_the_begin_of_the_longer_one(backbone):
    longer = generate(backbone.reference, PROMPTS, 12, seeds=seeds(4))
    assert generate(backbone.reference, PROMPTS, 5, seeds=seeds(4)) == [row[:5] for row in longer]


def test_what_may_not_follow_is_never_sampled(backbone):
    only = torch.zeros(len(backbone.tokenizer), dtype=torch.bool)
    only[[20, 21]] = True
    said = generate(backbone.reference, PROMPTS * 8, 6, 1.0, seeds(32), allowed=lambda _: only)
    assert {token for row in said for token in row} == {20, 21}


@pytest.mark.parametrize(("given", "got"), [(None, "none"), ([1, 2], "2")])
def test_sampling_without_a_seed_for_each_prompt_is_one_line(backbone, given, got):
    with pytest.raises(UserError, match=f"^generate needs a seed for each of 4 prompts, got {got}; or temperature=0.$"):
        generate(backbone.reference, PROMPTS, 3, seeds=given)


def test_logits_that_are_no_numbers_are_one_line(backbone, monkeypatch):
    monkeypatch.setattr(sys.modules[generate.__module__], "sayable", lambda model, logits: logits * torch.nan)
    with pytest.raises(UserError, match="the model's logits are not finite"):
        generate(backbone.reference, PROMPTS, 3, seeds=seeds(4))


def test_a_response_stops_at_its_end_token_or_where_it_is_cut(backbone):
    responses = generate(backbone.reference, PROMPTS * 30, 10, seeds=seeds(120))
    ended = [r for r in responses if r[-1] in backbone.end_ids]
    assert ended, "a random model ends some responses by chance"
    assert all(len(r) == 10 for r in responses if r[-1] not in backbone.end_ids)
    assert all(token not in backbone.end_ids for r in responses for token in r[:-1])


def test_samples_follow_the_models_distribution(backbone):
    first = [r[0] for r in generate(backbone.reference, [PROMPTS[0]] * 4000, 1, seeds=seeds(4000), batch_size=4000)]
    probability = log_probs_of(backbone.reference, [PROMPTS[0]], [[first[0]]]).exp().item()
    share = first.count(first[0]) / 4000
    assert abs(share - probability) < 4 * (probability * (1 - probability) / 4000) ** 0.5


def test_temperature_divides_the_logits_in_sampling_and_scoring_alike(backbone):
    prompts = [PROMPTS[0]] * 4000
    first = [r[0] for r in generate(backbone.reference, prompts, 1, 0.5, seeds(4000), batch_size=4000)]
    common = max(set(first), key=first.count)
    probability = log_probs_of(backbone.reference, [PROMPTS[0]], [[common]], temperature=0.5).exp().item()
    share = first.count(common) / 4000
    assert abs(share - probability) < 4 * (probability * (1 - probability) / 4000) ** 0.5


def test_left_padding_changes_no_log_prob(backbone):
    prompt, response = PROMPTS[0], [50, 51, 1]
    alone = log_probs_of(backbone.reference, [prompt], [response])[0]
    beside = log_probs_of(backbone.reference, [prompt, [9] * (len(prompt) + 7)], [response, [3]])[0]
    torch.testing.assert_close(beside, alone, atol=1e-5, rtol=0)


def test_rows_come_back_in_order_and_zero_outside_the_mask(backbone):
    responses = [[60, 61, 1], [62, 1], [63, 64, 65, 66, 1], [1]]
    together = log_probs_of(backbone.reference, PROMPTS, responses)
    in_twos = map_batches(
        backbone, PROMPTS, responses, lambda batch: (batch.response_ids.float(),), [[0, 1], [2, 3]]
    )[0]  # fmt: skip
    assert together.shape == (4, 5)
    for i, response in enumerate(responses):
        alone = log_probs_of(backbone.reference, PROMPTS[i : i + 1], [response])[0]
        torch.testing.assert_close(together[i, : len(response)], alone, atol=1e-5, rtol=0)
        assert (together[i, len(response) :] == 0).all()
        assert in_twos[i, : len(response)].tolist() == response


def test_a_token_batch_by_hand():
    batch = TokenBatch.of([[5, 6], [7]], [[8], [9, 1]], 0, torch.device("cpu"))
    assert batch.input_ids.tolist() == [[5, 6, 8, 0], [0, 7, 9, 1]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 0], [0, 1, 1, 1]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 2], [0, 0, 1, 2]]
    assert batch.response_ids.tolist() == [[8, 0], [9, 1]]
    assert batch.response_mask.tolist() == [[True, False], [True, True]]


def test_scores_are_read_at_the_last_real_token(backbone):
    role = backbone.add_role("value", LoRASettings(2), head=True)
    rows = [[5, 6, 7, 1], [8, 1], [9, 10, 11, 12, 13, 14, 1], [15]]
    with role.active() as model, torch.no_grad():
        together = last_token_scores(model, role.head, rows, backbone.pad_id, backbone.device)
        for i, row in enumerate(rows):
            alone = last_token_scores(model, role.head, [row], backbone.pad_id, backbone.device)
            hidden = model.base_model(input_ids=torch.tensor([row])).last_hidden_state[0, -1]
            torch.testing.assert_close(together[i], alone[0], atol=1e-5, rtol=0)
            torch.testing.assert_close(together[i], role.head(hidden)[0], atol=1e-5, rtol=0)


def test_like_lengths_holds_every_row_once_and_sorts():
    batches = like_lengths([5, 1, 9, 3, 7], 2)
    assert batches == [[1, 3], [0, 4], [2]]
