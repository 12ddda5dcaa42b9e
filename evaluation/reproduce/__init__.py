"""Makes the tables of docs/results.md."""
