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


class SaveAt(BaseCallback):
    """Saves at the start of the rollout that begins at a given step, as `agents.callbacks.Checkpoints` does."""

    def __init__(self, step, folder):
        super().__init__()
        self.step, self.folder = step, folder

    def _on_step(self):
        return True

    def _on_rollout_start(self):
        if self.num_timesteps == self.step:
            self.model.save(self.folder)
