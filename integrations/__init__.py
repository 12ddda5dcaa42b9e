"""perlhf in the tools of others: a file for each, to be used or copied; docs/integrations.md shows how."""

import perlhf  # noqa: F401  # registers the envs
