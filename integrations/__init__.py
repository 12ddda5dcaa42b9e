"""perlhf in the tools of others: a file for each, to be used or copied; docs/integrations.md shows how."""

import perlhf  # noqa: F401  # registers the envs
from perlhf.lazy import lazy_names

# What verifiers looks for in the package that a taskset's id names; imported when it asks.
__all__ = ["OneReply", "PerlhfEnv", "PerlhfTaskset"]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "OneReply": "integrations.verifiers_harness",
        "PerlhfEnv": "integrations.verifiers_environment",
        "PerlhfTaskset": "integrations.verifiers_environment",
    },
)
