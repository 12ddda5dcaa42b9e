"""How well it did: metrics, judges, the evaluation of runs."""
