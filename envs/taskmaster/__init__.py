"""Taskmaster-v0: take an order as an agent, in words or as a call of an API."""
