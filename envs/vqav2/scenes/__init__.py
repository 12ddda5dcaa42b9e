"""What generates pictures with questions on them, and people's answers."""
