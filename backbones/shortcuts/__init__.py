"""What hooks into torch, peft or transformers to save time or memory; each is held against the plain path."""
