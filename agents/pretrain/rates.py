"""How learning rates of a pretraining go, as shares of their peaks."""


def trapezoid(step: int, steps: int) -> float:
    """Returns the share at a step, from 0 on: up over 100 steps, level, down to 0 over the last 40%."""
    return min(1.0, (step + 1) / 100, max(0.0, 1 - step / steps) / 0.4)
