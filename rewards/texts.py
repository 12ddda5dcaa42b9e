"""Makes token ids of prompts and responses for models whose tokenizer and template are their own, not the policy's.

A response is decoded text when it comes here, and goes through the model's own tokenizer: as the assistant's message in
its chat template where it has one, as the second of a pair of texts where it separates pairs (BERT and its kind), else
behind the prompt as one text that ends with the end token. TRL's RewardTrainer makes the same ids.
"""

import sys
from typing import Any, Literal, NamedTuple, get_args

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from backbones.model.chat import ChatTemplate
from backbones.model.loading import BackboneError, safe_config
from backbones.model.plain_text import PlainText, added_ids, controls_of
from backbones.model.template import REMEDY, Template, find_template
from envs.turn import Turn
from perlhf.conversation import messages_of
from perlhf.errors import RewardError, one_line

Form = Literal["auto", "chat", "pair", "text"]
_UNLIMITED = 10**9  # what tokenizers that know of no limit say is above this
_SHORTEST = 8  # tokens: what a tokenizer adds, and something to read


class Tokens(NamedTuple):
    """Holds the ids of one prompt with its response, and of which text each is, where the model asks."""

    ids: list[int]
    types: list[int] | None = None


class Reader:
    """Reads turns with a tokenizer of its own. No text becomes a special token.

    Attributes:
        form: "chat", "pair" or "text".
        max_length: ids that a row may have; None for no limit. Longer ones lose their oldest.
        cut: how many did so far.
    """

    def __init__(
        self,
        name: str,
        tokenizer: PreTrainedTokenizerBase,
        embeddings: int,
        form: Form = "auto",
        max_length: int | None = None,
    ) -> None:
        """
        Args:
            name: of the reward, in front of messages.
            tokenizer: of the model.
            embeddings: how many ids the model can read.
            form: how prompt and response are put together; "auto" finds it from the tokenizer.
            max_length: ids that the model was made for; the tokenizer may know less.

        Raises:
            RewardError: a form that the tokenizer has no means for.
        """
        self.name, self._tokenizer, self.cut = name, tokenizer, 0
        limits = [limit for limit in (max_length, tokenizer.model_max_length) if limit and limit < _UNLIMITED]
        self.max_length = min(limits, default=None)
        template = self._template_of(tokenizer) if form in ("auto", "chat") else None
        separates = tokenizer.sep_token_id is not None
        if (form == "chat" and template is None) or (form == "pair" and not separates):
            lacks = "chat template" if form == "chat" else "token that separates two texts"
            raise RewardError(f"reward {name!r}: form {form!r}, and its tokenizer has no {lacks}.")
        self.form = ("chat" if template else "pair" if separates else "text") if form == "auto" else form
        end = tokenizer.eos_token_id
        self._end_ids = [] if end is None else [end]
        turns = template.turn_tokens if template else ()
        plain = PlainText(tokenizer, controls_of(tokenizer, self._end_ids, turns, embeddings))
        self._plain, (self._prefix, self._suffix) = plain, added_ids(tokenizer, self._end_ids)
        self._chat = ChatTemplate(template, plain, []) if template else None

    def read(self, turn: Turn) -> Tokens:
        """Returns the ids of a turn's prompt and response.

        Raises:
            RewardError: it shows an image.
        """
        if turn.picture is not None:
            raise RewardError(f"reward {self.name!r} reads text alone, and the env shows images.")
        if self.form == "pair":
            return self._read_pair(str(turn.prompt), turn.response)
        if self._chat is not None:
            ids = self._chat_ids(self._chat, turn)
            kept = int(ids[0] == self._tokenizer.bos_token_id)  # a start token stays
        else:
            text = f"{turn.prompt}{_joint(str(turn.prompt), turn.response)}{turn.response}"
            ids = [*self._prefix, *self._plain.ids(text), *self._end_ids, *self._suffix]
            kept = len(self._prefix)
        if self.max_length is not None and len(ids) > self.max_length:
            self._say_cut()
            ids = ids[:kept] + ids[len(ids) - self.max_length + kept :]
        return Tokens(ids)

    def _template_of(self, tokenizer: PreTrainedTokenizerBase) -> Template | None:
        try:
            return find_template("auto", tokenizer)
        except BackboneError as error:
            raise self._of_template(error) from None

    def _chat_ids(self, chat: ChatTemplate, turn: Turn) -> list[int]:
        try:
            return chat.whole_ids(messages_of(turn.prompt), turn.response)
        except BackboneError as error:
            raise self._of_template(error) from None

    def _of_template(self, error: BackboneError) -> RewardError:
        """Returns what a template refuses, with what to do about it where it is a reward's."""
        return RewardError(f"reward {self.name!r}: {str(error).removesuffix(REMEDY)}Give form: text.")

    def _read_pair(self, prompt: str, response: str) -> Tokens:
        how: dict[str, Any] = {"split_special_tokens": True, "verbose": False}
        found = self._tokenizer(prompt, response, **how)
        if self.max_length is not None and len(found["input_ids"]) > self.max_length:
            self._say_cut()
            response_ids = self._tokenizer(response, add_special_tokens=False, **how)["input_ids"]
            room = self.max_length - self._tokenizer.num_special_tokens_to_add(pair=True) - len(response_ids)
            # The prompt is cut; the response too only where it alone is too long.
            how |= {"truncation": "only_first" if room >= 1 else "longest_first", "max_length": self.max_length}
            side, self._tokenizer.truncation_side = self._tokenizer.truncation_side, "left"
            try:
                found = self._tokenizer(prompt, response, **how)
            finally:
                self._tokenizer.truncation_side = side
        return Tokens(list(found["input_ids"]), found.get("token_type_ids"))

    def _say_cut(self) -> None:
        """Says once that rows are cut."""
        if self.cut == 0:
            print(
                f"warning: reward {self.name!r}: a prompt with its response is longer than {self.max_length} tokens, "
                "and longer ones lose their oldest (max_length).",
                file=sys.stderr,
            )
        self.cut += 1


def check_how(name: str, label: Any, form: Any, max_length: Any) -> None:
    """Refuses options of a wrong kind or size, before anything is loaded.

    Args:
        name: of the reward, in front of messages.
        label: of an output, a name or a number; None where it is not said.
        form: see `Form`.
        max_length: tokens of a row; None where it is not said.

    Raises:
        RewardError: as said.
    """
    if label is not None and not isinstance(label, str | int):
        raise RewardError(f"reward {name!r}: label is the name or number of an output, got {label!r}.")
    if form not in get_args(Form):
        raise RewardError(f"reward {name!r}: form must be one of {', '.join(get_args(Form))}, got {form!r}.")
    if max_length is not None and (type(max_length) is not int or max_length < _SHORTEST):
        raise RewardError(
            f"reward {name!r}: max_length must be a whole number of at least {_SHORTEST}, got {max_length!r}."
        )


def limit_of(name: str, max_length: int | None, made_for: int | None) -> int | None:
    """Returns the tokens that a row may have; None for no limit.

    Args:
        name: of the reward, in front of messages.
        max_length: what was asked for, see `check_how`.
        made_for: tokens that the model has positions for; None where it does not say.

    Raises:
        RewardError: more is asked for than the model was made for.
    """
    if max_length is not None and made_for is not None and max_length > made_for:
        raise RewardError(f"reward {name!r}: max_length {max_length}, and the model was made for {made_for} tokens.")
    return made_for if max_length is None else max_length


def read_tokenizer(name: str, path: str) -> PreTrainedTokenizerBase:
    """Reads the tokenizer of a folder or a hub id.

    Raises:
        RewardError: there is none, or one that knows no word.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **safe_config(path))
        ids = tokenizer("yes or no", add_special_tokens=False)["input_ids"]
    except Exception as error:  # what damaged files raise is any of a dozen types
        raise RewardError(f"reward {name!r}: {path!r} has no tokenizer that loads: {one_line(error)}") from None
    if set(ids) <= {tokenizer.unk_token_id}:  # where there is none transformers makes an empty one, and says nothing
        raise RewardError(f"reward {name!r}: {path!r} has no tokenizer; save its own there.")
    return tokenizer


def padding_of(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Returns the token that TRL's RewardTrainer pads with: the end token where the tokenizer has none for it.

    It does not write that down, and the score is read before the first one.
    """
    found: int | None = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return found


def _joint(prompt: str, response: str) -> str:
    """Returns what stands between a prompt and a response that are one text: responses come without outer space."""
    return "" if not response or not prompt or prompt[-1].isspace() else " "
