"""Mutation testing: small faults are planted into modules, one at a time, and tests have to notice them."""
