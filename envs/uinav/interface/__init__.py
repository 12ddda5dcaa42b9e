"""Defines what every part of UINav stands on: screens, actions, devices and episodes."""
