"""Reads files for all tasks: splits, rows, fields, images, the Hugging Face hub."""
