"""A phone in pure Python: its state, its apps, how it is drawn up, acted on and judged."""
