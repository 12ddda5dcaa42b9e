"""Says what a task cannot be won by."""
