"""What every part of UINav stands on: screens, actions, and what a device and an episode are."""
