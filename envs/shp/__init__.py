"""SHP-v0: answer a question on Reddit so that people find it helpful."""
