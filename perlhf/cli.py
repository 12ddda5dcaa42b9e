"""The console script `perlhf`: lists the commands, or runs one of them.

    perlhf
    perlhf train-ppo HH-v0        # the same as python -m agents.train_ppo HH-v0

The commands stand on floors above this one, so they are known here by name alone.
"""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from perlhf import options
from perlhf.errors import UserError, did_you_mean, run_command

COMMANDS = {
    "train-ppo": ("agents.train_ppo", "train a policy with PPO against a reward"),
    "train-reward-model": ("rewards.train_reward_model", "train a reward model on preference pairs or labels"),
    "plan": ("agents.plan", "estimate what PPO on many GPUs would hold, send and take"),
    "report-reward-model": ("evaluation.report_reward_model", "say by many measures what a reward model is worth"),
    "probe": ("rewards.probe", "fit a linear reward on the states of a frozen model, in seconds"),
    "train-sft": ("agents.train_sft", "fine-tune a backbone on chosen responses"),
    "audit": ("evaluation.audit_reward", "search for responses that a reward scores high although they fail"),
    "zero-shot": ("evaluation.zero_shot", "say how well a language model does a task as it is"),
    "evaluate": ("evaluation.evaluate", "compare the policy of a run with SFT on held-out prompts"),
    "win-rate": ("evaluation.win_rate", "let a language model judge a policy against its SFT, in both orders"),
    "eval-agent": ("evaluation.eval_agent", "evaluate any agent: a callable, an endpoint, a built-in or a trained one"),
    "verdicts": ("evaluation.verdicts", "keep the verdict on each held-out episode of a policy or its SFT"),
    "checkpoint": ("agents.check_checkpoints", "verify the checkpoints of a run: hashes, and that numbers are finite"),
    "export": ("evaluation.export", "write a run's model for other tools: a merged model, or a GGUF file"),
    "watch": ("evaluation.watch", "watch the policy of a run act on the phone"),
    "report": ("evaluation.report", "write a page of a run: curves, figures, answers, what there is to say of it"),
    "compare": ("evaluation.compare_runs", "write a page that sets runs beside each other"),
    "play": ("envs.uinav.play", "do a task on the phone by hand"),
    "tell": ("envs.uinav.tell", "print what a policy reads of a screen in each of its texts"),
    "baselines": ("evaluation.baselines", "score shortcuts that ignore the task, which must not win it"),
    "score-android": ("evaluation.score_android", "score predicted phone actions under all published conventions"),
    "pretrain": ("agents.pretrain", "make a shipped backbone anew"),
    "lab": ("evaluation.lab", "run an experiment on training itself: exact credit, hacked rewards, honest KL"),
    "reproduce": ("evaluation.reproduce", "make the tables of docs/results.md anew"),
}


def main() -> None:
    """Runs the console script."""
    run_command(lambda: run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> None:
    """Runs the command that is named first with the arguments behind it; lists all where none is named.

    Raises:
        UserError: there is no such command.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(listing())
        return
    name = arguments[0].replace("_", "-")
    if name not in COMMANDS:
        raise UserError(f"unknown command {arguments[0]!r}.{did_you_mean(name, COMMANDS)}")
    # As with `python -m`, modules of one's own in this folder are found. Behind all others: a folder that is called as
    # one of our packages does not hide it.
    sys.path.append(str(Path.cwd()))
    sys.argv = [name, *arguments[1:]]
    options.called_as = f"perlhf {name}"
    runpy.run_module(COMMANDS[name][0], run_name="__main__", alter_sys=True)


def listing() -> str:
    """All commands, a line each."""
    lines = [f"  perlhf {name:20} {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        ["usage: perlhf COMMAND [--OPTION VALUE ...]", "", *lines, "", "perlhf COMMAND --help lists the options of one"]
    )
