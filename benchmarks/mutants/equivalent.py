"""Mutants that do what the module does, and so no test can notice: each with the reason."""

EQUIVALENT: dict[str, dict[str, str]] = {}
