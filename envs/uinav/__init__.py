"""UINav-v0: UI tasks on a phone in pure Python, with no emulator, browser or clock."""
