"""Preferences-v0: prompts, answers and what people thought of them, from files of the usual forms."""
