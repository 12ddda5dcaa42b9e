"""Search for responses that a reward scores high although the task's judge says that they fail."""
