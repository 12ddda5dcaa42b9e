"""Model cards: README.md beside what was trained, in the form that the Hugging Face hub reads.

A card is made of the run's config.yaml and summary.json, so its figures are those that were measured.
"""

import re
from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import yaml
from huggingface_hub import ModelCard

from backbones.backbone import Backbone
from backbones.model.loading import short_name
from backbones.role_files import PROVENANCE, read_provenance
from envs.gym_task import GymTask
from envs.named_code import modules_of_env
from envs.registry import class_of, env_id
from envs.reward_spec import names_in
from envs.task import Task
from evaluation.control import in_words
from evaluation.metrics import gold_in_words, interval, signed
from evaluation.reward_report import figure_of
from perlhf.allowed_code import check_code
from perlhf.errors import UserError
from perlhf.run_folder import read_run_config, read_summary, write_text
from rewards.functions import reward_from_text

Kind = Literal["policy", "reward", "sft"]
Form = Literal["adapter", "model", "gguf"]
CARD = "README.md"
GGUF_FILE = "model.gguf"

_COMMANDS = {"policy": "train-ppo", "reward": "train-reward-model", "sft": "train-sft"}
# Of a run's options: what says nothing of what was learned, or where on this machine it lies.
_NOT_SHOWN = {
    "output_dir", "resume", "threads", "device", "log_formats", "memory_report", "checkpoint_every", "env_workers",
}  # fmt: skip
_MINIATURE = (
    "Generated data of perlhf (`miniature`): prompts and answers that a small grammar words, and generated judgements. "
    "No person wrote or judged any of it."
)
_PHONE = (
    "A simulated phone of perlhf (`miniature`) with generated content, goals and demonstrations. No person wrote any "
    "of it."
)
# Rewards that are the judge of the task, or hold it.
_JUDGES = {"gold", *(f"rewards.functions:{name}" for name in ("success", "success_and_progress", "step_match"))}


def write_card(folder: Path, run: Path, kind: Kind, backbone: Backbone, form: Form = "adapter") -> None:
    """Writes the card of what a run trained.

    Args:
        folder: where what is described lies.
        run: the run folder, with config.yaml and summary.json.
        kind: what was trained.
        backbone: its backbone.
        form: what lies in the folder.
    """
    beside = run / "policy" if kind == "policy" else run
    provenance = read_provenance(beside) if (beside / PROVENANCE).is_file() else {}
    versions = {name: version(name) for name in ("peft", "transformers", "torch")}
    config, summary, sees = read_run_config(run), read_summary(run), backbone.vision is not None
    base, task = _base_of(run, backbone), _task_of(config)
    rewards = _rewards_of(config, task) if kind == "policy" else ()
    text = model_card(kind, config, summary, provenance, base, form, sees, versions, task, rewards)
    write_text(folder / CARD, text)


def _base_of(run: Path, backbone: Backbone) -> str:
    """Returns what a run began from; where the backbone is what SFT wrote there, its own card says that."""
    written = run / "backbone"
    if Path(backbone.path).resolve() == written.resolve() and (written / CARD).is_file():
        return ModelCard.load(written / CARD, ignore_metadata_errors=True).data.get("base_model") or backbone.path
    return short_name(backbone.path)


def _task_of(config: Mapping[str, Any]) -> type[Task] | None:
    """Returns the class of the task of a run; None where its module is gone or not allowed: the card says less then."""
    try:
        check_code(modules_of_env(config["env"]), config["env"])
        return class_of(env_id(config["env"]))
    except UserError:
        return None


def _rewards_of(config: Mapping[str, Any], task: type[Task] | None) -> set[str]:
    """Returns the names of all that a policy's reward is made of; none where its YAML file is gone, or not allowed."""
    if task is None:
        return {config["reward"]}
    learned = task.trained_reward
    try:
        spec = reward_from_text(config["reward"])
        return names_in(learned if spec == "bundled" and learned is not None else spec, task)
    except UserError:
        return set()


def model_card(
    kind: Kind,
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    provenance: Mapping[str, Any],
    base: str,
    form: Form = "adapter",
    sees: bool = False,
    versions: Mapping[str, str] | None = None,
    task: type[Task] | None = None,
    rewards: Collection[str] = (),
) -> str:
    """Returns the card of what was trained, as Markdown with front matter.

    Args:
        kind: a policy, a reward model, or a backbone after SFT.
        config: config.yaml of the run.
        summary: summary.json of the run; what it does not have is not said.
        provenance: perlhf.json beside the weights; empty where there is none.
        base: the backbone: the name of a shipped one, a hub id, or the full path of a folder.
        form: an adapter, a whole model of transformers, or a GGUF file.
        sees: whether the backbone takes images.
        versions: of packages that it was made with, by name.
        task: the class of the task; None where nobody knows, and it is described as a text task of perlhf then.
        rewards: of a policy the names of all that its reward is made of, see `envs.reward_spec.names_in`.
    """
    is_adapter = form == "adapter" and kind != "sft" and provenance.get("lora") is not None
    sections = {
        "What it is": _about(kind, config, provenance, base, form, is_adapter, task),
        "Figures": _figures(kind, summary, task),
        "Data": _data(config, task),
        "Limits": _limits(kind, config, provenance, task, rewards),
        "How to load it": _loading(kind, provenance, base, form, is_adapter, sees),
        "How it was trained": _training(kind, config, versions or {}),
    }
    title = {"policy": "Policy", "reward": "Reward model", "sft": "Fine-tuned backbone"}[kind]
    lines = [_front_matter(kind, config, base, form, is_adapter, sees), f"# {title} for {code(config['env'])}"]
    return "\n\n".join([*lines, *(f"## {name}\n\n{text}" for name, text in sections.items() if text)]) + "\n"


def not_in_classifier(provenance: Mapping[str, Any]) -> list[str]:
    """Returns in what a sequence classifier with a reward model's head differs from the reward model, a line each."""
    pooling, layer = provenance.get("pooling", "last"), provenance.get("read_layer")
    weight, centre = provenance.get("log_prob_weight", 0.0), provenance.get("centre", 0.0)
    limit, bias = provenance.get("score_limit"), provenance.get("bias", 0.0)
    found = []
    if pooling != "last" or layer is not None:
        what = "the mean over the response's states" if pooling == "mean" else "the state of the end token"
        where = "the last layer" if layer is None else f"layer {layer}"
        found.append(f"the head reads {what} after {where}, and a classifier that of the last token after all layers")
    if weight:
        found.append(f"perlhf adds {weight:g} times the log-probability of the response")
    if bias:
        found.append(f"perlhf adds {bias:g}")
    if provenance.get("log_sigmoid"):
        found.append("perlhf takes log sigmoid of it")
    elif centre:
        found.append(f"perlhf takes {centre:.6g} off, so that reference answers score 0")
    if limit is not None:
        found.append(f"perlhf clips it to {limit:g} from 0")
    return found


def code(value: Any) -> str:
    """Returns any text as inline code of Markdown, on one line."""
    text = " ".join(str(value).split())
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    space = " " if longest or not text else ""
    return f"{'`' * (longest + 1)}{space}{text}{space}{'`' * (longest + 1)}"


def _block(language: str, text: str) -> str:
    """Returns any lines as a block of code."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _is_hub_id(base: str) -> bool:
    return base.count("/") == 1 and not Path(base).is_absolute()


def _front_matter(kind: Kind, config: Mapping[str, Any], base: str, form: Form, is_adapter: bool, sees: bool) -> str:
    tags = ["perlhf", str(config["env"]), {"policy": str(config.get("algorithm", "ppo")), "reward": "reward-model"}.get(
        kind, "sft")]  # fmt: skip
    task = "text-classification" if kind == "reward" else "image-text-to-text" if sees else "text-generation"
    about: dict[str, Any] = {"library_name": "peft" if is_adapter else "gguf" if form == "gguf" else "transformers"}
    if _is_hub_id(base):  # the hub refuses any other
        about["base_model"] = base
    if str(config["data"]).startswith("hub:"):
        about["datasets"] = [str(config["data"]).removeprefix("hub:")]
    about |= {"pipeline_tag": task, "tags": [*tags, *(["lora"] if config.get("lora_rank") and is_adapter else [])]}
    return f"---\n{yaml.safe_dump(about, sort_keys=False, allow_unicode=True)}# license: yours to say\n---"


def _about(
    kind: Kind,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    base: str,
    form: Form,
    is_adapter: bool,
    task: type[Task] | None,
) -> str:
    lora = provenance.get("lora") or {}
    what = {"policy": "a policy", "reward": "a reward model", "sft": "a language model"}[kind]
    how = {"policy": f"trained with {str(config.get('algorithm', 'ppo')).upper()} against a reward",
           "reward": "trained on judged responses", "sft": "fine-tuned on chosen responses"}[kind]  # fmt: skip
    if is_adapter:
        weights = f"a LoRA adapter of rank {lora.get('rank')}"
    elif kind == "reward" and provenance.get("host"):
        weights = "a linear head on the states of the frozen backbone"
    else:
        weights = "all weights" if config.get("full") else "a LoRA adapter, merged into the weights"
    weights += ", as one GGUF file" if form == "gguf" else ""
    shown = base if _is_hub_id(base) or not Path(base).is_absolute() else config["backbone"]
    named = (
        f"env: {code(config['env'])}, not of perlhf" if task is GymTask else f"task: {code(config['env'])} of perlhf"
    )
    lines = [f"{what.capitalize()}, {how}: {weights}.", "", f"- {named}"]
    if config.get("env_options"):
        lines.append(f"- options of the {named.partition(':')[0]}: {code(config['env_options'])}")
    lines.append(f"- backbone: {code(shown)}")
    if kind == "policy":
        lines.append(f"- reward: {code(config['reward'])}")
    return "\n".join(lines)


def _figures(kind: Kind, summary: Mapping[str, Any], task: type[Task] | None) -> str:
    if kind == "policy":
        return _figures_of_policy(summary, task)
    if kind == "sft":
        losses = summary.get("held_out_loss")
        return "" if not losses else (
            f"Held-out loss, nats a response token: {interval(losses['before'])} before, {interval(losses['after'])} "
            f"after, n = {losses['after']['n']}."
        )  # fmt: skip
    if "accuracy" not in summary or "baselines" not in summary:
        return ""
    name, figure = figure_of(summary)
    rows = [("this model", interval(figure))]
    rows += [(f"baseline: {other}", f"{value:.3f}") for other, value in summary["baselines"].items()]
    if summary.get("ceiling") is not None:
        rows.append(("ceiling of the labels", f"{summary['ceiling']:.3f}"))
    table = "\n".join([f"| | {name} |", "|---|---|", *(f"| {row} | {value} |" for row, value in rows)])
    return f"{name} on {figure['n']} held-out records, with 95% intervals:\n\n{table}"


def _figures_of_policy(summary: Mapping[str, Any], task: type[Task] | None) -> str:
    if "policy" not in summary or "sft" not in summary:
        return "Not evaluated; `perlhf evaluate` does it."
    rows = ["| | how | score | gold |", "|---|---|---|---|"]
    for key, how in (("", "sampled"), ("_greedy", "greedy")):
        for name, title in (("sft", "SFT, before"), ("policy", "this policy")):
            side = summary[name]
            gold = gold_in_words(side, key).removeprefix("  gold ") or "no judge"
            rows.append(f"| {title} | {how} | {side[f'score{key}']:+.3f} | {gold} |")
    gains = "".join(f"- gain over SFT, {how}: {signed(gain)}\n" for how, gain in summary.get("gain", {}).items())
    verdict = in_words(summary)
    gold = "env's own return, or its own `gold`" if task is GymTask else "verdict of the task's own judge, from 0 to 1"
    return (
        f"On {summary['policy']['n']} held-out episodes, with 95% intervals; gold is the {gold}:\n\n"
        + "\n".join(rows)
        + f"\n\n{gains}- **{verdict}**\n- KL to SFT: {summary['kl']:.2f} nats an episode"
    )  # fmt: skip


def _data(config: Mapping[str, Any], task: type[Task] | None) -> str:
    if task is GymTask:
        return ""  # the env has its own
    if config["data"] != "miniature":
        return f"{code(config['data'])}."
    return _PHONE if _is_phone(task) else _MINIATURE


def _is_phone(task: type[Task] | None) -> bool:
    return task is not None and task.on_screen


def _limits(
    kind: Kind,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    task: type[Task] | None,
    rewards: Collection[str],
) -> str:
    found = []
    ours = "simulated phone" if _is_phone(task) else "miniature corpus"
    if config["data"] == "miniature" and task is not GymTask:
        does = {"policy": "It answers", "reward": "It judges", "sft": "It answers"}[kind]
        found.append(f"{does} the {ours} alone: what it says to any other text means nothing.")
    if kind == "policy" and config["reward"] == "bundled" and task is not GymTask:
        found.append(f"Its reward is the bundled one, which judges the {ours} alone.")
    if GymTask.default_reward in rewards:
        found.append(
            "It was trained on the env's own reward, which gold sums up, so gold says nothing of other judges."
        )
    if not _JUDGES.isdisjoint(rewards):
        found.append("It was trained on the very judge that gives gold, so gold says nothing of other judges.")
    if config.get("stop"):
        found.append(f"Responses are over at {code(config['stop'])} too, which no file here tells other tools.")
    if kind == "reward" and (gaps := not_in_classifier(provenance)):
        found.append(f"What other tools compute is not the whole score: {'; '.join(gaps)}.")
    return "\n".join(f"- {line}" for line in found)


def _loading(kind: Kind, provenance: Mapping[str, Any], base: str, form: Form, is_adapter: bool, sees: bool) -> str:
    if form == "gguf":
        return _block("sh", f"llama-cli -m {GGUF_FILE}")
    if kind == "reward":
        return _loading_of_reward(provenance, form, sees)
    auto, reader = (
        ("AutoModelForImageTextToText", "AutoProcessor") if sees else ("AutoModelForCausalLM", "AutoTokenizer")
    )
    read = f'{reader.removeprefix("Auto").lower()} = {reader}.from_pretrained("FOLDER")'
    if not is_adapter:
        lines = [f"from transformers import {auto}, {reader}", "", read, f'model = {auto}.from_pretrained("FOLDER")']
    elif sees:
        named = base if _is_hub_id(base) else "BACKBONE"
        lines = ["from peft import PeftModel", f"from transformers import {auto}, {reader}", "", read,
                 f'model = PeftModel.from_pretrained({auto}.from_pretrained("{named}"), "FOLDER")']  # fmt: skip
    else:
        lines = ["from peft import AutoPeftModelForCausalLM", f"from transformers import {reader}", "", read,
                 'model = AutoPeftModelForCausalLM.from_pretrained("FOLDER")']  # fmt: skip
    return _block("python", "\n".join(lines))


def _loading_of_reward(provenance: Mapping[str, Any], form: Form, sees: bool) -> str:
    ours = _block("python", 'from perlhf import RewardModel\n\nmodel = RewardModel.load("FOLDER")\n'
                            'print(model.score_texts(["PROMPT"], ["RESPONSE"]))')  # fmt: skip
    if provenance.get("host") and form == "adapter":
        return f"{ours}\n\nThe head alone is in this folder, which perlhf reads."
    if sees:
        return ours
    plain = _block("python", "from transformers import pipeline\n\n"
                             'reward = pipeline("text-classification", model="FOLDER")\n'
                             'print(reward(TEXT, function_to_apply="none"))')  # fmt: skip
    text = "TEXT is a prompt and its response with the end token, written by the chat template where there is one."
    if form == "model":
        return f"{plain}\n\n{text}"
    needs = (
        "That takes a base whose config says `num_labels: 1`, as those of perlhf and of `perlhf train-sft` do; else, "
        "and where the base pads with its end token, `perlhf export RUN --merge` writes a model that it takes."
    )
    return f"{ours}\n\nWithout perlhf, the head's part:\n\n{plain}\n\n{text} {needs}"


def _training(kind: Kind, config: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    shown = {name: value for name, value in config.items() if name not in _NOT_SHOWN and value is not None}
    settings = _block("yaml", yaml.safe_dump(shown, sort_keys=False, allow_unicode=True))
    used = ", ".join(f"{name} {number}" for name, number in versions.items())
    command = _block("sh", f"perlhf {_COMMANDS[kind]} --config config.yaml")
    return "\n\n".join([command, "with this config.yaml:", settings, *([f"Made with {used}."] if used else [])])
