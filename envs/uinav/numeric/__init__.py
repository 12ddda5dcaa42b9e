"""UINavNumeric-v0: screens as arrays and actions as numbers."""
