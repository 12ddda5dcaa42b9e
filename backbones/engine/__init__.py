"""Who samples responses in training: this process, or a server that holds the same base and is sent the adapters."""
