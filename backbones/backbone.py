"""`Backbone`: a frozen causal language model with its tokenizer, loaded once in a process."""

from collections.abc import Sequence
from weakref import WeakSet, WeakValueDictionary

import torch
from peft import LoraModel
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from backbones.loading import base_weights, end_ids_of, hash_base, load_model, load_tokenizer, resolve_path
from backbones.roles import FullRole, LoRARole, LoRASettings, ReferenceRole, Role

MAX_PROMPT_TOKENS = 512  # longer prompts lose their oldest tokens, in the policy and the reward model alike
MAX_RESPONSE_TOKENS = 512

_loaded: WeakValueDictionary[tuple[str, str], "Backbone"] = WeakValueDictionary()


class Backbone:
    """A frozen model and its tokenizer, with roles on it.

    Use `Backbone.load`: whoever asks for the same path in the same process gets the same object, which is how
    the policy, the value function, the env's reward model and the evaluation come to share one copy.

    Attributes:
        path: the folder or hub id it was loaded from.
        model: the transformers model; call it through a role, never directly.
        tokenizer: its tokenizer.
        reference: the role with no adapter at all.
    """

    def __init__(self, path: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.path = path
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.reference = ReferenceRole(self)
        self.lora_roles: WeakSet[LoRARole] = WeakSet()  # those whose adapters are in the model now
        self.dead_adapters: list[str] = []  # of roles that nobody holds any more
        self.tuner: LoraModel | None = None  # what peft keeps of them
        self.lora_layers: dict[str, LoraLayer] = {}  # the adapted projections, by their plain names
        self.active_role: Role | None = None
        self.end_ids = end_ids_of(model, tokenizer)
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.end_ids[0]
        self._hash: str | None = None

    @classmethod
    def load(cls, name: str = "tiny", device: str | torch.device = "cpu") -> "Backbone":
        """Loads "tiny", a local folder or a hub id through transformers' Auto classes, once in a process.

        Only safetensors weights are read and no code from the folder or hub is ever run.

        Raises:
            BackboneError: nothing by that name, or no causal language model in it.
        """
        path = resolve_path(name)
        key = (path, str(torch.device(device)))
        backbone = _loaded.get(key)
        if backbone is None:
            backbone = _loaded[key] = cls(path, load_model(path).to(device), load_tokenizer(path))
        return backbone

    def add_role(self, name: str, settings: "LoRASettings | None", head: bool = False, seed: int = 0) -> Role:
        """A new trainable role.

        Args:
            name: "policy", "value" or "reward".
            settings: the LoRA adapter's; None trains all weights, on a copy of the model.
            head: whether the role has a scalar head on the hidden states.
            seed: of the initial weights; the global random state is left alone.
        """
        return FullRole(self, name, head, seed) if settings is None else LoRARole(self, name, settings, head, seed)

    @property
    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in base_weights(self.model).values())

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def hidden_size(self) -> int:
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def max_length(self) -> int:
        """Tokens of prompt and response together that the model was made for."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", 1 << 20))

    @property
    def max_prompt_tokens(self) -> int:
        return min(MAX_PROMPT_TOKENS, self.max_length // 2)

    @property
    def max_response_tokens(self) -> int:
        return min(MAX_RESPONSE_TOKENS, self.max_length - self.max_prompt_tokens)

    def encode_prompt(self, text: str) -> list[int]:
        """Token ids of a prompt; the oldest are cut beyond `max_prompt_tokens`. Text never becomes a special token."""
        ids: list[int] = self.tokenizer(text, split_special_tokens=True)["input_ids"]
        return ids[-self.max_prompt_tokens :] if ids else [self.pad_id]

    def encode_response(self, text: str) -> list[int]:
        """Token ids of a response as it follows a prompt, without an end token, cut to `max_response_tokens - 1`."""
        text = text.strip()
        if not text:
            return []
        ids = self.tokenizer(" " + text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return ids[: self.max_response_tokens - 1]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of response tokens, without special tokens and outer white space."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True).strip()

    @property
    def hash(self) -> str:
        """sha256 of the base weights. Adapters record it, and training must not change it."""
        if self._hash is None:
            self._hash = hash_base(self.model)
        return self._hash
