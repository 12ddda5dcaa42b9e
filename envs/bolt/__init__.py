"""BOLT-v0: summarise a thread of short messages."""
