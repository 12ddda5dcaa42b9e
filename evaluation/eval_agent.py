"""Evaluates any agent: a callable of yours, a model behind an endpoint, a built-in agent or a trained policy.

    python -m evaluation.eval_agent UINav-v0 --agent my_agent:act --episodes 50
    python -m evaluation.eval_agent UINav-v0 --endpoint http://localhost:8000/v1 --model NAME
    python -m evaluation.eval_agent UINav-v0 --agent oracle

Writes episodes.jsonl, a line for each episode, results.json and explorer.html, a page of all episodes in one file. The
same command again goes on where it was interrupted, and asks nothing that was answered.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from envs.core import refuse_unknown
from envs.gym_task import GymTask
from envs.named_code import modules_of_env, modules_of_env_options
from envs.registry import class_of, env_id, env_options, parse_env_options, task_of
from envs.task import Task
from evaluation.agents.built_in import NAMES, built_in
from evaluation.agents.episode_log import EpisodeLog
from evaluation.agents.episodes import Agent, NoAnswerError, play_episodes
from evaluation.agents.explorer import write_explorer
from evaluation.agents.outside import Endpoint, Outside
from evaluation.agents.results import results_of, tables
from perlhf import run_lock
from perlhf.errors import UserError, run_command
from perlhf.measure import progress_bar
from perlhf.options import option, parse_options, to_yaml
from perlhf.plain_yaml import load_yaml
from perlhf.run_folder import write_json, write_text

_PATIENCE = 5  # episodes lost in a row, or as many as are played at a time, after which nobody seems to be there
# Options that decide nothing of what is said: with others the same command goes on in the same folder.
_MAY_CHANGE = frozenset(
    "episodes concurrency timeout tries price_in price_out frames output_dir".split(),
)


def modules_of_agent(agent: str) -> set[str]:
    """Returns the module that --agent names, if it does."""
    kind, colon, _ = agent.partition(":")
    return {kind} if colon and kind not in ("run", "backbone") else set()


@dataclass
class Options:
    """Evaluates any agent in held-out episodes: success and what else came of them, by template and level."""

    group: ClassVar[str] = "what to play"
    env: str = option(
        "UINav-v0",
        "UINav-v0, HH-v0 ..., or MODULE:ID of your own",
        positional=True,
        code=lambda o: modules_of_env(o.env),
    )
    env_options: str = option(
        "",
        "further arguments of the environment, such as 'image=true,marks=true'",
        code=lambda o: modules_of_env_options(o.env, o.env_options),
    )
    data: str = option("miniature", "'miniature', or a file or folder of the real corpus; see docs/tasks/")
    templates: str = option("", "templates of the phone, joined by '+'; all of the split by default")
    actions: str = option("", "what the phone's actions are said in: docs/tasks/uinav.md lists the dialects")
    strict: bool = option(False, "take an answer as an action only where it is nothing else, as training does")
    episodes: int = option(100, "held-out episodes", low=1)
    split: str = option("test", "split of the data; choose settings on 'validation'")
    agent: str = option(
        "",
        "MODULE:NAME of a callable of yours, random, scripted, oracle, run:DIR or backbone:NAME",
        group="who plays",
        code=lambda o: modules_of_agent(o.agent),
    )
    endpoint: str = option("", "an OpenAI-compatible endpoint, such as http://localhost:8000/v1", group="who plays")
    model: str = option("", "model of the endpoint, as the server calls it", group="who plays")
    temperature: float = option(0.0, "temperature of an endpoint or policy", low=0, group="who plays")
    max_tokens: int | None = option(
        None, "tokens after which an answer is cut; 1024 of an endpoint, 64 of a policy", low=1, group="who plays"
    )
    request: str = option(
        "", "further fields of a request, 'top_p=0.9'; 'temperature=null' leaves one out", group="who plays"
    )
    seed: int = option(0, "decides what is drawn; episodes are the same ones always", low=0, high=2**32 - 1,
                       group="who plays")  # fmt: skip
    concurrency: int | None = option(
        None, "episodes that are played at a time; 8 by an endpoint, 1 by a callable", low=1, group="the run"
    )
    timeout: float = option(120.0, "seconds to wait for an answer of an endpoint", above=0, group="the run")
    tries: int = option(5, "how often an endpoint is asked where it gives no answer", low=1, group="the run")
    price_in: float = option(0.0, "price of a million tokens that are read", low=0, group="the run")
    price_out: float = option(0.0, "price of a million tokens that are said", low=0, group="the run")
    frames: int = option(100, "episodes, the first ones, whose screens explorer.html shows", low=0, group="the run")
    output_dir: str | None = option(None, "where to write; runs/ENV-AGENT by default", group="the run")


def main() -> None:
    """Runs the command."""
    evaluate(parse_options(Options, prog="python -m evaluation.eval_agent"))


@run_lock.released_after()
def evaluate(options: Options) -> dict[str, Any]:
    """Runs the command; returns what results.json holds.

    Raises:
        UserError: options that do not go together; an agent that breaks its contract, or gives no answers.
    """
    _check_who(options)
    task, agent = _task_and_agent(options)
    starts = list(enumerate(task.first_states(options.episodes)))
    if not starts:
        raise UserError(f"{options.env} has no episode in split {options.split!r}; give another, or more data.")
    if not task.has_gold(starts[0][1]):
        raise UserError(f"{options.env} has no judge of its own for these data: nobody knows what is right there.")
    folder, at_a_time = _folder(options), options.concurrency or (8 if options.endpoint else 1)
    log = EpisodeLog(folder / "episodes.jsonl", max(_PATIENCE, at_a_time))
    _play_the_rest(task, agent, starts, log, at_a_time)
    records = [record for record in log.in_order() if record["episode"] < len(starts)]
    lost = {str(number): log.lost[number] for number in sorted(log.lost)}
    if not records:
        raise UserError(f"no episode was played to its end. The first: {next(iter(lost.values()))}")
    results = {**_about(options), **results_of(records, (options.price_in, options.price_out)), "lost": lost}
    write_json(folder / "results.json", results)
    write_explorer(folder / "explorer.html", task, results, records, options.frames)
    print(tables(results))
    if lost:
        print(f"\n{len(lost)} more episodes were lost, and no figure counts them: the same command plays them again.")
        print(f"  the first: episode {next(iter(lost))}: {next(iter(lost.values()))}")
    print(f"-> {folder}: results.json, episodes.jsonl, explorer.html")
    task.close()
    return results


def _play_the_rest(
    task: Task, agent: Agent, starts: Sequence[tuple[int, Any]], log: EpisodeLog, at_a_time: int
) -> None:
    """Plays the episodes that are not in the log yet.

    Raises:
        UserError: the agent gives no answers.
    """
    folder = log.path.parent
    left = [each for each in starts if each[0] not in log.finished]
    if len(left) < len(starts):
        print(f"{folder} has {len(starts) - len(left)} of {len(starts)} episodes already")
    with progress_bar(total=len(left), unit="episode", desc="eval-agent", leave=False) as bar:

        def keep(found: Any) -> None:
            log.keep(found)
            bar.update()

        try:
            play_episodes(task, left, agent, at_a_time, keep)
        except NoAnswerError as error:
            kept = f"{len(log.finished)} episodes are kept in {folder}; the same command goes on with them."
            raise UserError(f"{error} {kept}") from None


def _check_who(options: Options) -> None:
    """Refuses options that say none or two of who plays, or belong to another kind of agent."""
    if bool(options.agent) == bool(options.endpoint):
        raise UserError("say who plays: --agent MODULE:NAME, random, scripted, oracle, run:DIR or backbone:NAME, "
                        "or --endpoint URL --model NAME.")  # fmt: skip
    if bool(options.endpoint) != bool(options.model):
        raise UserError("--endpoint URL and --model NAME belong together.")
    if options.request and not options.endpoint:
        raise UserError("--request says fields of a request to an --endpoint.")
    kind, colon, rest = options.agent.partition(":")
    if options.agent and options.agent not in NAMES and not (kind and colon and rest):
        raise UserError(f"--agent {options.agent!r}: expected MODULE:NAME, {', '.join(NAMES)}, run:DIR, backbone:NAME.")
    if options.agent and kind not in ("run", "backbone") and (options.temperature or options.max_tokens):
        raise UserError(f"--temperature and --max-tokens are of models; agent {options.agent} decides what it says.")


def _task_and_agent(options: Options) -> tuple[Task, Agent]:
    of_task = _task_options(options)
    kind, _, rest = options.agent.partition(":")
    how = options.temperature, options.seed
    if kind == "run":
        from evaluation.agents.policies import of_run  # needs torch, which others need not wait for

        return of_run(rest, options.env, options.split, of_task, options.max_tokens, *how)
    task = task_of(env_id(options.env), **of_task, split=options.split)
    if kind == "backbone":
        from evaluation.agents.policies import of_backbone

        return task, of_backbone(rest, options.env, options.max_tokens or 64, *how)
    if options.endpoint:
        fields = {"temperature": options.temperature, "max_tokens": options.max_tokens or 1024}
        fields |= parse_env_options(options.request)
        return task, Endpoint(options.endpoint, options.model, options.timeout, options.tries, fields)
    return task, built_in(kind, task, options.seed) if options.agent in NAMES else Outside(task, options.agent)


def _task_options(options: Options) -> dict[str, Any]:
    """Returns the arguments of the task; of a run those that are given beside the run's own."""
    full_id = env_id(options.env)
    if class_of(full_id) is GymTask:
        raise UserError(f"{options.env} is no env of perlhf; eval-agent plays those, and tasks registered beside them.")
    found = env_options(full_id, options.env_options)
    of_run = options.agent.startswith("run:")
    phone = {"templates": options.templates, "actions": options.actions}
    named: dict[str, Any] = {name: value for name, value in phone.items() if value}
    if class_of(full_id).on_screen:
        if options.strict or not of_run:  # a policy reads what was done in the words that it was trained on
            named["lenient"] = not options.strict
    elif named or options.strict:
        raise UserError(f"--{next(iter(named), 'strict')} is of the phone; {options.env} has no actions.")
    if twice := [name for name in named if name in found]:
        raise UserError(f"{twice[0]} is decided by the command and in --env-options; keep one of them.")
    refuse_unknown(class_of(full_id), named)
    if not of_run or options.data != "miniature":
        named["data"] = options.data
    return {**found, **named}


def _about(options: Options) -> dict[str, Any]:
    """Returns what results.json says of how they came about."""
    names = ("env", "env_options", "data", "templates", "actions", "strict", "split", "agent", "endpoint", "model")
    return {name: getattr(options, name) for name in names}


def _folder(options: Options) -> Path:
    """Returns the folder of this evaluation: one that was begun with the same options, or a new one.

    Raises:
        UserError: the given folder holds something else.
    """
    if options.output_dir is not None:
        return _begun(Path(options.output_dir), options)
    who = options.model or options.agent
    name = f"{options.env}-{who}".replace("/", "-").replace(":", "-").strip("-.")
    folder, number = Path("runs") / name, 1
    while _differs(folder, options):
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return _begun(folder, options)


def _begun(folder: Path, options: Options) -> Path:
    if differs := _differs(folder, options):
        raise UserError(f"{folder} holds {differs}; give another --output-dir.")
    folder.mkdir(parents=True, exist_ok=True)
    run_lock.take(folder)
    write_text(folder / "config.yaml", to_yaml(options))
    return folder


def _differs(folder: Path, options: Options) -> str:
    """Returns what stands in the way of going on in a folder; "" where nothing does."""
    path = folder / "config.yaml"
    if folder.exists() and not folder.is_dir():
        return "no run, it is a file"
    if not path.exists():
        return "files of something else" if folder.is_dir() and {*os.listdir(folder)} - {run_lock.LOCK} else ""
    try:
        before = load_yaml(path.read_text(encoding="utf-8"))
    except ValueError:
        before = None
    if not isinstance(before, Mapping) or "endpoint" not in before:
        return "a run of another command"
    now = dataclasses.asdict(options)
    differ = [name for name in now if name not in _MAY_CHANGE and before.get(name) != now[name]]
    if not differ:
        return ""
    return f"episodes with another --{differ[0].replace('_', '-')} ({before.get(differ[0])!r}, now {now[differ[0]]!r})"


if __name__ == "__main__":
    run_command(main)
