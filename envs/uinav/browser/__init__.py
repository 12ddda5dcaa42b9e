"""Live web pages: MiniWoB++'s tasks in a headless Chromium, as a device."""
