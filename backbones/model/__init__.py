"""A model by itself, with no role on it: how it is loaded and built, and which tokens and pixels it reads."""
