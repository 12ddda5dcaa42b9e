"""Plain models: what a role learned, in the weights of a model that transformers opens without perlhf and peft."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from backbones.full_role import FullRole, empty_classifier
from backbones.model.anatomy import body_of, embedding_count
from backbones.model.loading import load_model, load_tokenizer
from backbones.roles import LoRARole, Role
from perlhf.errors import UserError, one_line

if TYPE_CHECKING:
    from backbones.backbone import Backbone

Numbers = Literal["fp32", "bf16"]  # that weights can be written in
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@torch.no_grad()
def merged(role: Role) -> PreTrainedModel:
    """Makes a plain model with the role's training in its weights, see `backbones.adapters.merged_weight`.

    It is in float32, whatever the backbone is held in. Of a head alone it is the bare model.
    """
    if isinstance(role, FullRole):
        return role.model
    model = load_model(role.backbone.path)
    if isinstance(role, LoRARole):
        role.add_to(model)
    return model


@torch.no_grad()
def merged_classifier(role: Role) -> PreTrainedModel:
    """Makes a plain sequence classifier of a role with a head: one label, whose logit is what the head says.

    Its buffers hold no numbers: it is there to be saved.

    Raises:
        UserError: transformers has no classifier with a linear `score` for the architecture.
    """
    assert role.head is not None
    classifier = empty_classifier(role.backbone)
    body = role.model.base_model if isinstance(role, FullRole) else body_of(merged(role))
    try:
        classifier.base_model.load_state_dict(body.state_dict(), assign=True)
    except RuntimeError as error:
        raise UserError(
            f"{type(classifier).__name__} of transformers does not take the weights of a "
            f"{type(role.backbone.model).__name__}: {one_line(error)}"
        ) from None
    classifier.score.weight = nn.Parameter(role.head.weight.cpu())
    classifier.config.problem_type = "regression"  # pipelines then give the score, and not its sigmoid
    return classifier


def save_language_model(model: PreTrainedModel, backbone: "Backbone", folder: Path, numbers: Numbers) -> None:
    """Writes a language model with what stands beside it; a response ends in `generate` where it does here.

    Args:
        model: as `merged` gives it.
        backbone: that it came from.
        folder: where to write; it is made.
        numbers: what the weights are written in.
    """
    if model.generation_config is not None:
        model.generation_config.eos_token_id = backbone.end_ids
        model.generation_config.pad_token_id = backbone.pad_id
    model.to(DTYPES[numbers]).save_pretrained(folder)
    backbone.save_processor(folder)


def save_classifier(model: PreTrainedModel, backbone: "Backbone", folder: Path, numbers: Numbers) -> bool:
    """Writes a sequence classifier with its tokenizer; returns whether it can tell padding in a batch of texts.

    It reads the last token that is not padding. So where padding is the end token too, another special token takes
    that place, in config and tokenizer; where there is no other there is none, and it takes one text at a time.
    """
    backbone.save_processor(folder)
    model.config.pad_token_id = _padding(backbone)
    if model.config.pad_token_id not in (None, backbone.pad_id):
        tokenizer = load_tokenizer(str(folder))
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(model.config.pad_token_id)
        tokenizer.save_pretrained(folder)
    model.to(DTYPES[numbers]).save_pretrained(folder)
    return model.config.pad_token_id is not None


def _padding(backbone: "Backbone") -> int | None:
    """Returns a token for padding that ends no response; None where there is no other special one."""
    if backbone.pad_id not in backbone.end_ids:
        return backbone.pad_id
    special = (i for i, token in sorted(backbone.tokenizer.added_tokens_decoder.items()) if token.special)
    return next((i for i in special if i not in backbone.end_ids and i < embedding_count(backbone.model)), None)
