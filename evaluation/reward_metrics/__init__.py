"""What a reward model is worth, by many measures: choices to score, figures of the scores, changes of responses."""
