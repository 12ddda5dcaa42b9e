"""What every floor of perlhf stands on: one-line errors, options, run folders. Never imports torch."""

__version__ = "0.1.0"
