"""`FullRole`: trains all weights, on a copy of the model: the paper's baseline."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from backbones.model.loading import load_model
from backbones.model.sayable import rule_out_unknown_ids
from backbones.role_files import PROVENANCE, belongs_to, check_base, read_provenance, read_tensors
from backbones.roles import Role
from backbones.shortcuts.checkpointed import checkpoint_layers
from perlhf.errors import UserError
from perlhf.run_folder import write_json

if TYPE_CHECKING:
    from backbones.backbone import Backbone


class FullRole(Role):
    """Trains all weights, on a copy of the model of its own."""

    def __init__(self, backbone: "Backbone", name: str, head: bool, seed: int) -> None:
        super().__init__(backbone, name, head, seed)
        if backbone.precision != "fp32":
            raise UserError(f"--full trains all weights, which takes float32; --precision is {backbone.precision}.")
        if head:
            empty_classifier(backbone)  # fails now, not when the trained model is to be saved
        settings = replace(backbone.settings, precision="fp32")  # where it said auto
        self.model = load_model(backbone.path, settings).to(backbone.device).requires_grad_(False)
        rule_out_unknown_ids(self.model, backbone.tokenizer)
        if backbone.settings.gradient_checkpointing:
            checkpoint_layers(self.model)

    @contextmanager
    def active(self) -> Iterator[PreTrainedModel]:
        with self._taking_gradients():
            yield self.model

    def body_parameters(self) -> dict[str, nn.Parameter]:
        body = self.model if self.head is None else self.model.base_model
        return dict(body.named_parameters())

    def save(self, folder: Path, provenance: dict[str, Any] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        model = self.model if self.head is None else self._as_classifier()
        model.save_pretrained(folder)
        self.backbone.save_processor(folder)
        known = {"format": 1, "role": self.name, "lora": None}
        base = belongs_to(self.backbone, self.head is not None)
        write_json(folder / PROVENANCE, {**known, **base, **(provenance or {})})

    @torch.no_grad()
    def _as_classifier(self) -> PreTrainedModel:
        assert self.head is not None
        classifier = empty_classifier(self.backbone)
        classifier.base_model.load_state_dict(self.model.base_model.state_dict(), assign=True)
        classifier.score.weight = self.head.weight
        return classifier

    @torch.no_grad()
    def load(self, folder: Path) -> dict[str, Any]:
        provenance = read_provenance(folder)
        check_base(folder, provenance, self.backbone)
        saved = read_tensors(folder, "*.safetensors")
        prefix = "" if self.head is None else f"{self.model.base_model_prefix}."
        names = {name: name if name == "score.weight" else prefix + name for name in self.parameters()}
        self._take(folder, {name: saved.get(there) for name, there in names.items()})
        return provenance


def empty_classifier(backbone: "Backbone") -> PreTrainedModel:
    """Makes a sequence classifier of the backbone's architecture without weights, and draws no random ones.

    Raises:
        UserError: transformers has none with a linear `score`, so a full model with a head could not be saved.
    """
    config = copy.deepcopy(backbone.model.config)
    config.num_labels, config.pad_token_id = 1, backbone.pad_id
    try:
        with torch.device("meta"):
            classifier = AutoModelForSequenceClassification.from_config(config)
    except ValueError:
        classifier = None
    score = getattr(classifier, "score", None)
    if score is None or score.bias is not None:
        raise UserError(
            f"transformers has no sequence classifier for {type(backbone.model).__name__} to save a fully trained "
            "reward or value model in; train an adapter (without --full) or take another backbone."
        )
    return classifier
