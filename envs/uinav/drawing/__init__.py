"""Draws the screens of UI tasks: as a picture, as a film, in a terminal."""
