"""Converters of public UI data to trajectories, see `envs.uinav.trajectory`."""
