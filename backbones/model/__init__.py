"""Loads a model, and knows how it is built and what it reads; nothing here knows of roles."""
