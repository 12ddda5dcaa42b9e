"""Converters of public UI data to trajectories.

Each gives every row of its files as a trajectory or as skipped, with the reason;
`envs.uinav.recordings.files.write_trajectories` writes them, and UINav plays the file.
"""
