"""Readers of the real corpora, and the generated miniature ones."""
