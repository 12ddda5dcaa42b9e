"""Generates corpora: a grammar of cases, an annotator, splits. The worlds themselves are with their tasks."""
