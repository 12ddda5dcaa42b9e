"""How good a response is: reward functions and LoRA reward models."""
