"""Says what a role trains, in a line for the terminal."""

from backbones.full_role import FullRole
from backbones.model.targets import table_of
from backbones.roles import HeadRole, LoRARole, LoRASettings, Role


def describe_role(role: Role) -> str:
    """Returns which linear maps a role adapts, how often each is there, and how many parameters that makes.

    As "policy: q_proj k_proj v_proj o_proj x 30, 460,800 parameters (0.34% of the backbone's)".
    """
    trained = sum(parameter.numel() for parameter in role.parameters().values())
    share = f"{trained:,} parameters ({trained / role.backbone.parameter_count:.2%} of the backbone's)"
    return f"{role.name}: {_what(role)}, {share}"


def _what(role: Role) -> str:
    if isinstance(role, FullRole):
        return "all weights, on a copy"
    if isinstance(role, HeadRole):
        return f"a head on the states of the {role.host.name} role"
    assert isinstance(role, LoRARole)
    head = "" if role.head is None else ", a head"
    return f"{_kind(role.settings)}{table_of(role.layers)}{head}"


def _kind(settings: LoRASettings) -> str:
    """Names what is not the default."""
    named = [settings.variant] * (settings.variant != "lora") + [settings.init] * (settings.init != "default")
    return f"{' '.join(named)} on " if named else ""
