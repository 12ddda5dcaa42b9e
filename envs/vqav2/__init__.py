"""VQAv2-v0: answer a question on a picture."""
