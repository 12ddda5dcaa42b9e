"""Writes rows for `perlhf score-android`: what the oracle does on the simulated phone, with clicks a little off.

    python examples/android_predictions.py 0.05 > predictions.jsonl
    perlhf score-android predictions.jsonl

The number is the standard deviation of a click from where it was, as a part of the screen's sides. One in five of the
typed texts lacks its last word, and one in five of the apps is called by its name in small letters.
"""

import json
import random
import sys

import numpy as np

from envs.uinav.recordings.export import export_oracle
from envs.uinav.task import UINav
from evaluation.android.recorded import rows_of


def predicted(gold, screen, spread, rng):
    """Returns a recorded action as somebody does it who is not quite sure."""
    said = dict(gold)
    if "x" in said:
        said["x"] += rng.gauss(0, spread) * screen[0]
        said["y"] += rng.gauss(0, spread) * screen[1]
    if "text" in said and rng.random() < 0.2:
        said["text"] = said["text"].rpartition(" ")[0]
    if "app_name" in said and rng.random() < 0.2:
        said["app_name"] = said["app_name"].lower()
    return said


if __name__ == "__main__":
    rng, spread = random.Random(0), float(sys.argv[1])
    for trajectory in export_oracle(UINav(), 100, np.random.default_rng(0)):
        for row in rows_of(trajectory):
            row["prediction"] = predicted(row["gold"], row["screen"], spread, rng)
            print(json.dumps(row))
