"""Holds the font that all pictures are written with."""
