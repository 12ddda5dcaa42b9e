"""Seeded generators of small corpora, each with a gold judge and a noisy annotator."""
