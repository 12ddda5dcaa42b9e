"""Gymnasium envs of text that were not written for perlhf: any of them as a task."""
