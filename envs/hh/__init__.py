"""HH-v0: answer a person harmlessly and helpfully."""
