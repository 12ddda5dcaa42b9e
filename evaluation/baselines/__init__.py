"""Score shortcuts that must not win a task."""
