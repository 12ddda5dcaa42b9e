"""Holds one frozen language model in memory, and named roles on it: policy, value, reward, reference."""

import perlhf  # noqa: F401  # says first whose file is in the way, where one is
from backbones.backbone import Backbone
from backbones.full_role import FullRole
from backbones.generate import generate
from backbones.model.loading import BackboneError
from backbones.roles import LoRARole, LoRASettings, ReferenceRole, Role

__all__ = ["Backbone", "BackboneError", "FullRole", "LoRARole", "LoRASettings", "ReferenceRole", "Role", "generate"]
