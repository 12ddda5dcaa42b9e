"""Evaluate any agent: a callable, an endpoint, a built-in or a trained policy plays held-out episodes."""
