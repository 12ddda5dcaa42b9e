"""Callbacks that tests of several algorithms share."""

from stable_baselines3.common.callbacks import BaseCallback


class After(BaseCallback):
    """Calls a function at the end of every rollout."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        self.function(self.model)
