"""Recorded episodes: their files, other people's formats, and a device that plays them."""
