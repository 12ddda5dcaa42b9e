"""Trains a few updates in a process of its own, started anew as a command is: on_any_cpu.py BACKBONE RUN THREADS."""

import sys

from perlhf import reproducible

if __name__ == "__main__":
    reproducible.start_again_where_unset()  # before torch is loaded, which a command does twice
    from agents.train_ppo import Options, train

    backbone, run, threads = sys.argv[1:]
    train(
        Options(
            backbone=backbone, output_dir=run, threads=int(threads), reproducible=True, reward="gold", n_envs=8,
            batch_size=4, max_new_tokens=12, total_timesteps=32, eval_prompts=0, log_formats="", temperature=2.0,
        )
    )  # fmt: skip
