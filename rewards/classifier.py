"""`Classifier`: scores with a sequence classifier of transformers that knows nothing of perlhf.

Any base, any tokenizer: see `rewards.texts` for what it reads. It is a copy of its own in memory, in float32 unless
`dtype` says otherwise. Only safetensors are read, and no code from the folder or the hub is run.
"""

import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from backbones.backbone import Backbone
from backbones.model.devices import find_device
from backbones.model.loading import Stamps, file_stamps, read_config, safe_config
from backbones.model.tokens import like_lengths
from envs.turn import Turn
from perlhf.errors import RewardError, UserError, did_you_mean, one_line
from rewards.texts import Form, Reader, Tokens, check_how, limit_of, padding_of, read_tokenizer
from rewards.workers import one_thread_in_workers

Dtype = Literal["float32", "bfloat16", "auto"]
_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
_ROWS = 16  # in one forward

_held: "dict[tuple[Any, ...], tuple[Stamps, Classifier]]" = {}  # until `release_all`


class Classifier:
    """Scores turns with a whole sequence classifier; of the shape of a reward function.

    Attributes:
        model: the transformers model, in evaluation mode.
        reader: makes its token ids.
        label: the number of the output that is the score.
    """

    def __init__(self, model: PreTrainedModel, reader: Reader, label: int) -> None:
        self.model, self.reader, self.label = model.eval().requires_grad_(False), reader, label
        pad_id = model.config.get_text_config().pad_token_id
        self._pad_id: int | None = pad_id

    def __call__(self, turns: Sequence[Turn]) -> list[float]:
        """Scores each turn."""
        rows = [self.reader.read(turn) for turn in turns]
        scores = torch.empty(len(rows))
        # A model without a padding token reads its score at the end of the tensor, so it takes one row at a time.
        size = 1 if self._pad_id is None else _ROWS
        for chunk in like_lengths([len(row.ids) for row in rows], size):
            scores[chunk] = self._scores([rows[i] for i in chunk]).cpu()
        found: list[float] = scores.tolist()
        return found

    @torch.inference_mode()
    def _scores(self, rows: Sequence[Tokens]) -> Tensor:
        """Computes the scores of one batch, (B,) float32. Rows are padded on the right."""
        length = max(len(row.ids) for row in rows)

        def padded(lists: Sequence[Sequence[int]], value: int) -> Tensor:
            filled = [[*ids, *[value] * (length - len(ids))] for ids in lists]
            return torch.tensor(filled, device=self.model.device)

        inputs = {"input_ids": padded([row.ids for row in rows], self._pad_id or 0)}
        inputs["attention_mask"] = padded([[1] * len(row.ids) for row in rows], 0)
        if rows[0].types is not None:
            inputs["token_type_ids"] = padded([row.types or [] for row in rows], 0)
        return self._of_logits(self.model(**inputs).logits.float())

    def _of_logits(self, logits: Tensor) -> Tensor:
        """Returns the logit of the label, (B,): the output itself, or log p(label) / (1 - p(label)) of a softmax."""
        chosen = logits[:, self.label]
        if logits.shape[1] == 1 or self.model.config.problem_type == "multi_label_classification":
            return chosen
        others = [i for i in range(logits.shape[1]) if i != self.label]
        return chosen - logits[:, others].logsumexp(1)


def score(
    turns: Sequence[Turn],
    path: str,
    label: str | int | None = None,
    form: Form = "auto",
    max_length: int | None = None,
    dtype: Dtype = "float32",
) -> list[float]:
    """Scores turns with a sequence classifier, loaded once in a process.

    Args:
        turns: what is scored.
        path: a folder or a hub id.
        label: which output is the score, by name or number; needed where there are more than two. Of two it is the
            second, of one that one.
        form: how prompt and response are put together, see `rewards.texts`.
        max_length: tokens that a row may have; by default what the model and its tokenizer were made for.
        dtype: of the weights; "auto" is what the files are in.

    Raises:
        RewardError: no such model or label, a model without a trained head, or turns that show images.
    """
    one_thread_in_workers()
    return load(path, label, form, max_length, dtype)(turns)


def load(
    path: str,
    label: str | int | None = None,
    form: Form = "auto",
    max_length: int | None = None,
    dtype: Dtype = "float32",
) -> Classifier:
    """Opens a sequence classifier once in a process, again where its folder was written anew; see `score`."""
    check_how(path, label, form, max_length)
    if dtype not in get_args(Dtype):
        raise RewardError(f"reward {path!r}: dtype must be one of {', '.join(get_args(Dtype))}, got {dtype!r}.")

    def make() -> Classifier:
        model, missing = _read(path, dtype, path)
        _refuse_drawn(path, missing)
        tokenizer = read_tokenizer(path, path)
        return made_of(path, model, tokenizer, label, form, max_length)

    place = str(Path(path).resolve()) if Path(path).is_dir() else path
    return _once((place, label, form, max_length, dtype), file_stamps(path, _FILES), path, make)


def load_adapter(
    path: str,
    base: str,
    tokenizer: PreTrainedTokenizerBase,
    label: str | int | None = None,
    form: Form = "auto",
    max_length: int | None = None,
    labels: int = 1,
    brought: Collection[str] = (),
) -> Classifier:
    """Opens an adapter of peft with a head, of any kind, on a copy of its base, once in a process.

    Args:
        path: the adapter's folder.
        base: its base, a folder or a hub id.
        tokenizer: of the adapter.
        label, form, max_length: as of `score`.
        labels: outputs of the head.
        brought: names of the weights that the adapter brings itself, which the base may lack.

    Raises:
        RewardError: base and adapter cannot be read, or not together, or both lack a weight.
    """

    def make() -> Classifier:
        whole, missing = _read(base, "float32", path, num_labels=labels)
        _refuse_drawn(path, [name for name in missing if name not in brought])
        try:
            model = PeftModel.from_pretrained(whole, path, local_files_only=Path(path).is_dir())
        except Exception as error:  # what damaged files raise is any of a dozen types
            raise RewardError(f"reward {path!r} cannot be put on {base!r}: {one_line(error)}") from None
        model.config.get_text_config().pad_token_id = padding_of(tokenizer)
        return made_of(path, model, tokenizer, label, form, max_length)

    key = _key_of_adapter(path, base, label, form, max_length)
    return _once(key, _stamps_of_adapter(path, base), path, make)


def held_adapter(
    path: str, base: str, label: str | int | None, form: Form, max_length: int | None
) -> Classifier | None:
    """Returns the adapter that `load_adapter` holds; None where there is none or its files or its base's changed."""
    before, held = _held.get(_key_of_adapter(path, base, label, form, max_length), ({}, None))
    return held if before == _stamps_of_adapter(path, base) else None


def _key_of_adapter(path: str, base: str, *how: Any) -> tuple[Any, ...]:
    return (str(Path(path).resolve()), base, *how)


def _stamps_of_adapter(path: str, base: str) -> Stamps:
    """Notes the files of an adapter and of its base, which have names in common."""
    of_base = {f"base/{name}": stamp for name, stamp in file_stamps(base, _FILES).items()}
    return {**file_stamps(path, _FILES), **of_base}


def release_all() -> None:
    """Lets go of every classifier that is held."""
    _held.clear()


def _once(key: tuple[Any, ...], stamps: Stamps, path: str, make: Callable[[], Classifier]) -> Classifier:
    """Returns what is held by a key, made anew where its files have changed."""
    before, held = _held.get(key, ({}, None))
    if held is None or (stamps and before != stamps):
        try:
            held = make()
        except RewardError:
            raise
        except UserError as error:  # of a tokenizer or a device
            raise RewardError(f"reward {path!r}: {error}") from None
        _held[key] = stamps, held
    return held


def _read(path: str, dtype: str, name: str, **how: Any) -> tuple[PreTrainedModel, list[str]]:
    """Reads a sequence classifier; returns it and the names of the weights that its files lack."""
    others = Backbone.in_memory()
    device = others[0].device if others else find_device("auto")
    numbers = dtype if dtype == "auto" else getattr(torch, dtype)
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # what it says of a head that is missing, we say below
    try:
        read_config(path)  # refuses one that would fetch code
        model, told = AutoModelForSequenceClassification.from_pretrained(
            path, dtype=numbers, use_safetensors=True, output_loading_info=True, **safe_config(path), **how
        )
    except Exception as error:  # as above
        gone = "" if Path(path).is_dir() else " (and there is no such folder)"
        raise RewardError(f"reward {name!r}: {path!r} cannot be loaded{gone}: {one_line(error)}") from None
    finally:
        transformers_logging.set_verbosity(before)
    return model.to(device), sorted(told["missing_keys"])


def _refuse_drawn(name: str, missing: Sequence[str]) -> None:
    """Refuses weights that are in no file: they would be drawn at random, and all scores with them."""
    if missing:
        raise RewardError(
            f"reward {name!r}: its weights lack {missing[0]}, which would be drawn at random; expected a trained "
            "...ForSequenceClassification."
        )


def made_of(
    name: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    label: str | int | None,
    form: Form,
    max_length: int | None,
) -> Classifier:
    """Puts a model and its tokenizer together, and says in a line what it is and what it costs."""
    limit = limit_of(name, max_length, _positions_of(model))
    reader = Reader(name, tokenizer, int(model.get_input_embeddings().weight.shape[0]), form, limit)
    made = Classifier(model, reader, _number_of(name, model.config, label))
    megabytes = sum(p.nbytes for p in model.parameters()) / 2**20
    said = f"{model.config.model_type}, {megabytes:.0f} MB of its own in memory, read as {reader.form}"
    print(f"reward {name!r}: {said}, score: {model.config.id2label[made.label]}", file=sys.stderr)
    return made


def _positions_of(model: PreTrainedModel) -> int | None:
    """Returns the tokens that a model has positions for; None where it does not say."""
    found = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 0
    for name, module in model.named_modules():
        # RoBERTa and its kind count positions from behind the padding token's.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            found -= module.padding_idx + 1
    return found if found > 0 else None


def _number_of(name: str, config: Any, label: str | int | None) -> int:
    """Returns the number of the output that is the score."""
    names = {i: str(config.id2label[i]) for i in range(config.num_labels)}
    if label is None and len(names) <= 2:
        return len(names) - 1
    found = [i for i, called in names.items() if label is not None and (label == i or str(label) == called)]
    if isinstance(label, bool) or len(found) != 1:
        said = "" if label is None else f", got {label!r}"
        hint = did_you_mean("" if label is None else str(label), names.values())
        raise RewardError(f"reward {name!r}: give label, the name of the output that is the score{said}.{hint}")
    return found[0]
