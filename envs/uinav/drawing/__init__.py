"""How screens of UI tasks are shown: as a picture, as a film, in a terminal."""
