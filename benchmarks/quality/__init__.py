"""CPU seconds to a given quality, of perlhf beside TRL: docs/speedrun.md. `python -m benchmarks.quality --help`."""
