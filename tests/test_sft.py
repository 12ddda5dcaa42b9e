"""Supervised fine-tuning: the loss, and the merge that the later stages stand on."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_models import gemma

from agents.train_sft import encode, losses_of, token_loss
from backbones.backbone import Backbone
from backbones.fit import FitSettings, fit, shuffled_batches
from backbones.forward import log_probs_of
from backbones.plain_model import merged
from backbones.roles import LoRASettings

TEXTS = [("Human: Hello", "yes"), ("Human: Hello there", "no maybe"), ("Human:", "good")]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return gemma(tmp_path_factory.mktemp("gemma"))


def test_responses_end_with_the_end_token_and_prompts_do_not(backbone):
    rows = encode(backbone, TEXTS)
    assert all(response[-1] == backbone.end_ids[0] for _, response in rows)
    assert all(backbone.end_ids[0] not in prompt for prompt, _ in rows)


def test_a_response_that_is_cut_does_not_end(backbone):
    # Of 256 tokens the prompt has 128 and the response 128: 127 and its end.
    rows = encode(backbone, [("Human:", "good " * 126), ("Human:", "good " * 300), ("Human:", "")])
    whole, cut, empty = (response for _, response in rows)
    assert (len(whole), whole[-1]) == (127, backbone.end_ids[0])
    assert len(cut) == 127
    assert backbone.end_ids[0] not in cut
    assert empty == [backbone.end_ids[0]]


def test_a_prompt_goes_with_its_image_and_ends_are_for_what_is_shorter_than_the_limit():
    letters = SimpleNamespace(
        encode_prompt=lambda *given: list(given), encode_response=list, end_ids=["end", "other"], max_response_tokens=3
    )
    rows = encode(letters, [("first", "a"), ("second", "bc", "picture")])
    assert rows == [(["first"], ["a", "end"]), (["second", "picture"], ["b", "c"])]


def test_the_loss_of_a_row_is_the_mean_over_its_response_tokens(backbone):
    rows = encode(backbone, [("Human: Hello there", "no maybe"), ("Human: Hello", "good " * 6)])
    alone = [log_probs_of(backbone.reference, [prompt], [response])[0] for prompt, response in rows]
    expected = [-float(row.sum()) / len(response) for row, (_, response) in zip(alone, rows, strict=True)]
    assert len(rows[0][1]) != len(rows[1][1])
    assert losses_of(backbone.reference, rows) == pytest.approx(expected, abs=1e-5)


def test_the_learning_rate_falls_with_the_width_unless_it_is_given(backbone):
    assert backbone.learning_rate(None, 0.6, full=False) == pytest.approx(0.6 / 32)
    assert backbone.learning_rate(None, 0.6, full=True) == pytest.approx(0.06 / 32)
    assert backbone.learning_rate(0.0, 0.6, full=False) == 0.0


def test_the_loss_is_the_mean_over_all_response_tokens_of_the_batch(backbone):
    rows = encode(backbone, TEXTS)
    loss = token_loss(backbone.reference, rows)
    log_probs = log_probs_of(backbone.reference, [p for p, _ in rows], [r for _, r in rows])
    tokens = sum(len(response) for _, response in rows)
    with torch.no_grad():
        parts = [loss([0], [0, 1, 2])[0].item(), loss([1, 2], [0, 1, 2])[0].item()]
    assert sum(parts) == pytest.approx(-log_probs.sum().item() / tokens, abs=1e-5)


def test_fitting_lowers_the_loss_and_merging_keeps_what_was_learned(backbone, tmp_path):
    rows = encode(backbone, TEXTS * 8)
    role = backbone.add_role("policy", LoRASettings(4))
    before = np.mean(losses_of(role, rows))
    settings = FitSettings(epochs=4, batch_size=8, learning_rate=2e-2, warmup_steps=2)
    fit(
        role,
        [len(p) + len(r) for p, r in rows],
        token_loss(role, rows),
        settings,
        np.random.default_rng(0),
        tmp_path / "log",
    )
    after = np.mean(losses_of(role, rows))
    assert after < before - 1
    merged(role).save_pretrained(tmp_path / "backbone")
    backbone.tokenizer.save_pretrained(tmp_path / "backbone")
    plain = Backbone.load(str(tmp_path / "backbone"))
    prompts, responses = [p for p, _ in rows[:3]], [r for _, r in rows[:3]]
    torch.testing.assert_close(
        log_probs_of(plain.reference, prompts, responses), log_probs_of(role, prompts, responses), atol=1e-4, rtol=0
    )


def test_full_tuning_is_its_own_merge(backbone):
    role = backbone.add_role("policy", None)
    assert merged(role) is role.model


def test_every_row_comes_once_an_epoch():
    batches = list(shuffled_batches(10, 2, 4, np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    assert sorted(i for batch in batches[:3] for i in batch) == list(range(10))
    assert batches[:3] != batches[3:]
