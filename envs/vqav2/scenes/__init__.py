"""Generates pictures with questions on them, and people's answers."""
