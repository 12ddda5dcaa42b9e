"""Scores single steps on phone screens, and points on screenshots, under the conventions that were published."""
