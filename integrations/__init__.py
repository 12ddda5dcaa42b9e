"""perlhf in the tools of others: a file for each, to be used or copied; docs/integrations.md shows how."""

import perlhf  # noqa: F401  # registers the envs
from perlhf.lazy import lazy_names

# verifiers looks for these in the top-level package that a taskset's id names; imported when it asks for them.
__all__ = ["OneReply", "PerlhfEnv", "PerlhfTaskset"]
__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(__all__, "integrations.verifiers_environment"))
