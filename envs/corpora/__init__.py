"""What the readers of real files share: splits, rows, fields, images, the Hugging Face hub."""
