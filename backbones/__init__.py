"""Holds one frozen language model in memory, and named roles on it: policy, value, reward, reference."""

from backbones.backbone import Backbone
from backbones.full_role import FullRole
from backbones.generate import generate
from backbones.model.loading import BackboneError
from backbones.roles import LoRARole, LoRASettings, ReferenceRole, Role

__all__ = ["Backbone", "BackboneError", "FullRole", "LoRARole", "LoRASettings", "ReferenceRole", "Role", "generate"]
