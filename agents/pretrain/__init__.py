"""Makes the shipped backbones, and what they read and see."""
