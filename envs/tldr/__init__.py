"""TLDR-v0: summarise a Reddit post."""
