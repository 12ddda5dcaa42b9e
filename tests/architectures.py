"""Random two-layer models of every kind of causal language model in transformers, and what becomes of each.

`docs/make_architectures.py` writes docs/architectures.md from here; tests/test_architectures.py runs a part of it.
Models that see are those of `image_architectures`; they go through the commands on questions about pictures.
"""

import contextlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import image_architectures
import torch
import transformers
from tiny_models import TEXTS
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedConfig,
    PreTrainedModel,
)

from agents import train_ppo, train_sft
from agents.pretrain.build import build_tokenizer
from backbones.backbone import Backbone
from backbones.draws import row_seeds
from backbones.forward import log_probs_of, response_logits
from backbones.generate import generate
from backbones.model.targets import table_of
from backbones.model.vision import sayable
from backbones.roles import LoRARole, LoRASettings
from perlhf.errors import UserError, one_line
from rewards import train_reward_model
from rewards.reward_model import RewardModel

GAIN = 1.5  # times 1 / sqrt(fan in): with transformers' own small weights the context would hardly matter
LENGTHS = (1, 5, 33, 70)  # tokens of the prompts that are sampled side by side
CLOSE = 1e-5  # of log-probabilities, and of scores of packed rows
ROUNDING = 1e-4  # where states are summed up in chunks: linear attention, state spaces

# What a config may call its sizes; each takes those that it has.
SIZES = {
    "hidden_size": 64, "d_model": 64, "n_embd": 64, "dim": 64, "embed_dim": 64, "embedding_size": 64,
    "attention_hidden_size": 64, "word_embed_proj_dim": 64, "lru_width": 64, "mamba_d_ssm": 64,
    "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "num_layers": 2, "decoder_layers": 2, "encoder_layers": 2,
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4, "decoder_attention_heads": 4,
    "encoder_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "intermediate_size": 96, "ffn_dim": 96, "decoder_ffn_dim": 96, "encoder_ffn_dim": 96, "n_inner": 96,
    "ffn_hidden_size": 96, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32,
    "moe_shared_expert_intermediate_size": 32, "expert_ffn_hidden_size": 32,
    "max_position_embeddings": 512, "n_positions": 512, "n_ctx": 512, "max_seq_len": 512,
    "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None,
    "num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1,
    "topk_group": 1, "n_shared_experts": 1, "first_k_dense_replace": 1,
    "kv_lora_rank": 16, "q_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 16,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_num_heads": 8, "mamba_head_dim": 16,
    "state_size": 16, "time_step_rank": 8, "rotary_dim": 8, "index_n_heads": 2, "index_head_dim": 16,
    "hidden_size_per_layer_input": 16, "num_kv_shared_layers": 0,
}  # fmt: skip


class Kind(NamedTuple):
    """One kind of model.

    Attributes:
        name: as the page calls it.
        config: the name of its config in transformers.
        given: of its config, where `SIZES` would not do.
        targets: of adapters, where the default finds no projections.
        save: makes the model in a folder, where it is none of `config`.
        env: what the commands train it on.
    """

    name: str
    config: str
    given: dict[str, Any] = {}
    targets: str = "attention"
    save: Callable[[Path], Path] | None = None
    env: str = "HH-v0"


# What goes through all commands.
TEXT = [
    Kind("Llama", "llama"), Kind("Llama 4 (text)", "llama4_text"),
    Kind("Mistral", "mistral", {"sliding_window": None}),
    Kind("Mistral, window of 32", "mistral", {"sliding_window": 32}),
    Kind("Mixtral", "mixtral"), Kind("Qwen2", "qwen2"), Kind("Qwen3", "qwen3"), Kind("Qwen3-MoE", "qwen3_moe"),
    Kind("Qwen3-Next", "qwen3_next"), Kind("Qwen3.5", "qwen3_5_text"), Kind("Qwen3.5-MoE", "qwen3_5_moe_text"),
    Kind("Gemma", "gemma"), Kind("Gemma 2", "gemma2"), Kind("Gemma 3 (text)", "gemma3_text"),
    Kind("Gemma 3n (text)", "gemma3n_text", {"vocab_size_per_layer_input": 318}),
    Kind("Gemma 4 (text)", "gemma4_text", {"global_head_dim": 16, "vocab_size_per_layer_input": 318}),
    Kind("Phi", "phi"), Kind("Phi-3", "phi3"), Kind("GPT-2", "gpt2"), Kind("GPT-NeoX", "gpt_neox"),
    Kind("GPT-OSS", "gpt_oss"), Kind("OPT", "opt"), Kind("BLOOM", "bloom"), Kind("Falcon", "falcon"),
    Kind("Falcon with ALiBi", "falcon", {"alibi": True, "multi_query": False}), Kind("MPT", "mpt"),
    Kind("OLMo 2", "olmo2"), Kind("Granite", "granite"),
    Kind("Granite 4 (hybrid)", "granitemoehybrid", {"layer_types": ["mamba", "attention"]}),
    Kind("SmolLM3", "smollm3"), Kind("Cohere 2", "cohere2"), Kind("GLM-4", "glm4"), Kind("StarCoder2", "starcoder2"),
    Kind("DeepSeek-V2", "deepseek_v2"), Kind("DeepSeek-V3", "deepseek_v3"), Kind("MiniCPM3", "minicpm3"),
    Kind("LFM2", "lfm2", {"layer_types": ["conv", "full_attention"]}),
    Kind("Jamba", "jamba", {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
                            "expert_layer_offset": 1, "mamba_dt_rank": 8, "use_mamba_kernels": False}),
    Kind("Falcon-H1", "falcon_h1", {"mamba_d_ssm": 128}),
]  # fmt: skip

# What is sampled from and scored.
OTHERS = [
    *(Kind(name, name) for name in (
        "afmoe", "apertus", "arcee", "aria_text", "axk1", "axk2", "beam", "biogpt", "bitnet", "codegen", "cohere",
        "cohere2_moe", "deepseek_v32", "diffllama", "doge", "dots1", "ernie4_5", "ernie4_5_moe",
        "exaone4", "exaone_moe", "flex_olmo", "flint", "glm", "glm4_moe", "glm4_moe_lite", "glm_moe_dsa",
        "gpt_bigcode", "gpt_neox_japanese", "gptj", "granite_swa", "granitemoe", "granitemoe_swa", "granitemoeshared",
        "helium", "hrm_text", "hunyuan_v1_dense", "hunyuan_v1_moe", "hy_v3", "hy_v4", "hyperclovax", "inkling2_text",
        "internlm3", "iquestcoder", "jais2", "jetmoe", "kolibri1", "laguna", "lfm3", "mellum", "mimo_v2_flash",
        "minimax_m2", "minimax_m3_vl_text", "ministral", "ministral3", "nanochat", "nemotron", "olmo", "olmo3",
        "olmo_hybrid", "olmoe", "persimmon", "phimoe", "qwen2_moe", "seed_oss", "solar_open", "stablelm", "vaultgemma",
        "xglm", "youtu",
    )),
    Kind("kimi_linear", "kimi_linear"),
    Kind("bailing_hybrid", "bailing_hybrid"),
    Kind("bamba", "bamba", {"attn_layer_indices": [1]}),
    Kind("ctrl", "ctrl", targets="all-linear"),
    Kind("cwm", "cwm", {"bos_token_id": 1}),
    Kind("gpt_neo", "gpt_neo", {"attention_types": [[["global", "local"], 1]]}),
    Kind("modernbert-decoder", "modernbert-decoder", {"bos_token_id": 1, "cls_token_id": 1, "sep_token_id": 1}),
    Kind("moshi", "moshi", targets="all-linear"),
    Kind("zaya", "zaya", {"num_experts_per_tok": 1}),
]  # fmt: skip

# What is refused at loading, in one line.
REFUSED = [
    Kind("Mamba", "mamba"), Kind("Mamba 2", "mamba2", {"num_heads": 8}), Kind("Falcon-Mamba", "falcon_mamba"),
    Kind("RWKV", "rwkv"), Kind("RecurrentGemma", "recurrent_gemma", {"block_types": ["recurrent", "attention"]}),
    Kind("MiniMax (Text-01)", "minimax"), Kind("GPT (the first)", "openai-gpt"),
    Kind("Nemotron-H", "nemotron_h", {"layers_block_type": ["mamba", "attention"], "layer_types": None}),
    Kind("DeepSeek-V4", "deepseek_v4"), Kind("BERT", "bert"), Kind("RoBERTa", "roberta"), Kind("XLNet", "xlnet"),
    Kind("T5", "t5"), Kind("BART", "bart"), Kind("Whisper", "whisper"),
]  # fmt: skip


def image_models() -> list[Kind]:
    """Returns the kinds that see."""
    families = image_architectures.image_models().items()
    return [Kind(name, "", save=save, env="VQAv2-v0") for name, save in families]


def config_of(kind: Kind, vocabulary: int) -> PreTrainedConfig:
    """Makes a small config with two layers, of different kinds where there are several."""
    cls = CONFIG_MAPPING[kind.config]
    default = cls().to_dict()
    known = {*default, *cls.attribute_map} - {name for name in SIZES if isinstance(getattr(cls, name, None), property)}
    sizes = {name: size for name, size in {**SIZES, "vocab_size": vocabulary}.items() if name in known}
    if "kv_lora_rank" in known:  # every head has keys of its own
        sizes["num_key_value_heads"] = 4
    if "qk_rope_head_dim" in known:
        sizes.pop("head_dim", None)
    computed = any(isinstance(getattr(cls, name, None), property) for name in ("layer_types", "layers_block_type"))
    kinds = [] if computed else list(dict.fromkeys(default.get("layer_types") or []))
    if kinds:
        sizes["layer_types"] = (kinds * 2)[:2]
    wanted = {**sizes, **kind.given}
    return cls(**{name: value for name, value in wanted.items() if not (name == "layer_types" and value is None)})


def save_model(kind: Kind, folder: Path) -> Path:
    """Makes a random model, its weights drawn anew so that what it read matters, and writes it with a tokenizer."""
    if kind.save is not None:
        return kind.save(folder)
    tokenizer = build_tokenizer(TEXTS, 320)
    config = config_of(kind, len(tokenizer))
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder and kind.config == "t5" else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = auto.from_config(config)
    redraw(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def redraw(model: PreTrainedModel) -> None:
    """Draws all matrices anew, from N(0, (GAIN / sqrt(fan in))^2)."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(drawn * GAIN / math.sqrt(parameter.shape[-1]))


# The numbers.


class Numbers(NamedTuple):
    """Says what was measured of a kind."""

    adapted: str  # the linear maps, by their last names
    wrong: int  # rows of 4 whose greedy sample is not the plain forward's
    gap: float  # the largest of log-probabilities, padded and alone
    packs: bool  # whether pairs share a row
    packed_gap: float  # the largest of scores, packed and in rows alone
    idle: int  # adapted maps that take no gradient

    def sound(self) -> bool:
        """Tells whether sampling and scoring are those of the plain forward."""
        return self.wrong == 0 and max(self.gap, self.packed_gap) < ROUNDING


def numbers_of(backbone: Backbone, targets: str = "attention") -> Numbers:
    """Samples and scores four prompts side by side with an adapter on the model, and each row alone without either."""
    role = perturbed(backbone.add_role("policy", LoRASettings(4, targets=targets)))
    generator = torch.Generator().manual_seed(1)
    prompts = [torch.randint(3, 300, (length,), generator=generator).tolist() for length in LENGTHS]
    said = generate(role, prompts, 12, 0.0)
    responses = [row[:length] for row, length in zip(said, (12, 3, 7, 12), strict=True)]
    padded = log_probs_of(role, prompts, responses)
    wrong, gap = 0, 0.0
    for i, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        wrong += plain_sample(role, prompt, 12) != said[i]
        gap = max(gap, float((plain_log_probs(role, prompt, response) - padded[i, : len(response)]).abs().max()))
    # Prompts that are there twice are read once, in sampling and in scoring.
    twice, seeds = prompts * 2, row_seeds(0, range(2 * len(prompts)), 0)
    alone = [generate(role, [p], 6, 1.0, [s])[0] for p, s in zip(twice, seeds, strict=True)]
    wrong += generate(role, twice, 6, 1.0, seeds) != alone
    together = log_probs_of(role, twice, [*responses, *responses[::-1]], batches=[range(len(twice))])
    swapped = log_probs_of(role, prompts, responses[::-1])
    gap = max(gap, float((together[:4] - padded).abs().max()), float((together[4:] - swapped).abs().max()))
    with role.active() as model:
        response_logits(model, backbone.batch(prompts, responses), 1.0).square().sum().backward()
    idle = sum(p.grad is None for n, p in role.parameters().items() if "lora_B" in n)
    reward = RewardModel(perturbed(backbone.add_role("reward", LoRASettings(2, targets=targets), head=True)))
    pairs = [(prompt, response) for prompt in prompts for response in (responses[0], responses[2])]
    with torch.no_grad():
        packed_gap = float((reward.score_rows(pairs) - reward.score_rows(pairs, per_prompt=2)).abs().max())
    return Numbers(table_of(role.layers), wrong, gap, backbone.packs, packed_gap, idle)


@torch.no_grad()
def perturbed(role: LoRARole) -> LoRARole:
    """Adds noise to the adapter, so that it does something."""
    generator = torch.Generator().manual_seed(5)
    for parameter in role.parameters().values():
        parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return role


@torch.no_grad()
def plain_sample(role: LoRARole, prompt: Sequence[int], count: int) -> list[int]:
    """Takes the likeliest token each time, from a forward over the whole row, without a cache."""
    written: list[int] = []
    with role.active() as model:
        while len(written) < count and not (written and written[-1] in role.backbone.end_ids):
            logits = model(input_ids=torch.tensor([[*prompt, *written]]), use_cache=False).logits[0, -1]
            written.append(int(sayable(model, logits).argmax()))
    return written


@torch.no_grad()
def plain_log_probs(role: LoRARole, prompt: Sequence[int], response: Sequence[int]) -> torch.Tensor:
    """Computes log p of a response from a forward over its row alone, (T,)."""
    with role.active() as model:
        logits = model(input_ids=torch.tensor([[*prompt, *response]]), use_cache=False).logits
    of_response = sayable(model, logits[0, len(prompt) - 1 : -1].float())
    return of_response.log_softmax(-1)[range(len(response)), response]


# The commands.


COMMANDS = ("SFT", "reward model", "PPO", "resume", "PPO, half and shared")


def run_commands(folder: Path, targets: str = "attention", env: str = "HH-v0") -> dict[str, str]:
    """Runs a folder's model through each of `COMMANDS`; "ok", or the line that it ended with."""
    sft, reward, ppo, half = (str(folder / name) for name in ("sft", "reward", "ppo", "half"))
    base: dict[str, Any] = {"env": env, "lora_targets": targets, "threads": 1, "device": "cpu"}
    trained = {**base, "backbone": f"{sft}/backbone"}
    policy = {**trained, "reward": reward, "n_envs": 4, "batch_size": 4, "eval_prompts": 0, "max_new_tokens": 12}
    steps: dict[str, Callable[[], Any]] = {
        "SFT": lambda: train_sft.train(train_sft.Options(
            **base, backbone=str(folder), records=16, batch_size=8, eval_records=8, output_dir=sft)),
        "reward model": lambda: train_reward_model.train(train_reward_model.Options(
            **trained, pairs=16, policy_pairs=0, eval_pairs=8, batch_size=8, log_prob_weight=0.0, output_dir=reward)),
        "PPO": lambda: train_ppo.train(train_ppo.Options(
            **policy, total_timesteps=4, checkpoint_every=1, output_dir=ppo)),
        "resume": lambda: train_ppo.train(train_ppo.read_options(["--resume", ppo, "--total-timesteps", "8"])),
        "PPO, half and shared": lambda: train_ppo.train(train_ppo.Options(
            **policy, total_timesteps=4, lora_layers="half", value_adapter="shared", output_dir=half)),
    }  # fmt: skip
    return {name: outcome(steps[name]) for name in COMMANDS}


def outcome(step: Callable[[], Any]) -> str:
    """Runs something silently; returns "ok", or what went wrong in one line."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            step()
    except UserError as error:
        return str(error)
    except Exception as error:  # a traceback of the command is what the page is to show
        return f"FAILED {type(error).__name__}: {one_line(error)}"
    return "ok"


# The page.


@dataclass
class Row:
    """What became of one kind."""

    kind: Kind
    refused: str = ""  # at loading
    numbers: Numbers | None = None
    commands: dict[str, str] = field(default_factory=dict)


def row_of(kind: Kind, folder: Path, commands: bool = True) -> Row:
    """Makes a model of a kind in a folder and sees what becomes of it: refused, or measured, and through commands."""
    row, path = Row(kind), str(save_model(kind, folder))
    try:
        backbone = Backbone.load(path)
    except UserError as error:
        row.refused = str(error).replace(repr(path), "DIR")
        return row
    row.numbers = numbers_of(backbone, kind.targets)
    if commands:
        row.commands = run_commands(folder, kind.targets, kind.env)
    Backbone.release_all()
    return row


def page(rows_of: Callable[[Sequence[Kind], bool], list[Row]]) -> str:
    """Makes the text of docs/architectures.md.

    Args:
        rows_of: makes the rows of some kinds, through the commands where the second argument says so.
    """
    text, others, refused = rows_of(TEXT, True), rows_of(OTHERS, False), rows_of(REFUSED, False)
    images = rows_of(image_models(), True)
    count = sum(row.numbers is not None and row.numbers.sound() for row in (*text, *others, *images))
    return (
        HEAD.format(version=transformers.__version__, count=count)
        + f"\n## Through all commands\n\n{_command_table(text)}"
        + f"\n## Models that see\n\n{SEEING}\n{_command_table(images)}"
        + f"\n## Sampled from and scored\n\n{_number_table(others)}"
        + "\n## Refused\n\nAt loading, in one line; what these lines say is what the commands print.\n\n"
        + _table(("model", "line"), [(row.kind.name, row.refused) for row in refused])
    )


HEAD = """# Architectures

Which language models go through perlhf, as seen with random models of two layers and width 64. `make architectures`
writes this page; nobody edits it. Weights are drawn anew at 1.5 / sqrt(fan in), so that what was read before matters.
With transformers {version}, {count} kinds of models are sound.

*Sampling*: greedy samples of four prompts of 1 to 70 tokens side by side (padded on the left, with a cache, an adapter
merged, rows leaving as they end) that are those of a plain forward over each row alone. *log p*: the largest gap of
log-probabilities of responses, scored side by side, from the same plain forward. *packed*: whether the two responses of
a pair share a row, and the largest gap of scores from rows alone where they do. *adapted*: the linear maps under the
default `--lora-targets attention`, or what is given in brackets.

What is in no table was not tried, for want of a small config. No model is known here by its name: at loading a model
has to read a row token by token with a cache, and padded on the left, as it reads it alone.
"""


SEEING = """The commands train them on questions about pictures (VQAv2-v0). Sampling and log p are of text here; with
pictures of four shapes side by side tests/test_vision_models.py holds both to the plain forward of each row alone,
within 1e-4.
"""


def _command_table(rows: Sequence[Row]) -> str:
    heads = ("model", *_NUMBERS, *COMMANDS)
    return _table(
        heads, [(row.kind.name, *_numbers(row), *(row.commands.get(c, "-") for c in COMMANDS)) for row in rows]
    )


def _number_table(rows: Sequence[Row]) -> str:
    return _table(("model", *_NUMBERS), [(f"`{row.kind.name}`", *_numbers(row)) for row in rows])


_NUMBERS = ("sampling", "log p", "packed", "adapted")


def _numbers(row: Row) -> tuple[str, ...]:
    n = row.numbers
    if n is None:
        return (row.refused, "-", "-", "-")
    targets = "" if row.kind.targets == "attention" else f" ({row.kind.targets})"
    packed = f"yes, {n.packed_gap:.0e}" if n.packs else "no"
    return (f"{len(LENGTHS) - n.wrong} of {len(LENGTHS)}", f"{n.gap:.0e}", packed, n.adapted + targets)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
