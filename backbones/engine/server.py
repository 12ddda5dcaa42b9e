"""`ServerEngine`: samples on a server that speaks vLLM's OpenAI protocol, with adapters that are loaded while it runs.

    VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve BASE --enable-lora --max-lora-rank 16

Token ids go there and come back, never text, so that nothing depends on two tokenizers. Each row is a request of its
own with its own seed: vLLM gives the rows of one request with one seed the same response. Each update is a new adapter
under a new name and path: a server keeps what it has read of prompts by the adapter's name, and one loaded anew under
the same name would read on in states of the old one. Adapters travel as files; a server on another machine has to see
the folder, which is made under $TMPDIR.
"""

import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any
from uuid import uuid4

from backbones import group
from backbones.backbone import Backbone
from backbones.engine.engine import Engine, Sampled, Save
from backbones.model.vision import ImagePrompt, unsayable_ids
from perlhf.client import Client, ServerError
from perlhf.errors import UserError

AT_ONCE = 256  # requests on their way, of all processes; vLLM's own default of rows that it works on
_MOST_BIASED = 1024  # tokens that vLLM rules out of one request
_IMPOSSIBLE = -100.0  # the least bias that the protocol knows
_LOADING, _UNLOADING = 120.0, 10.0  # seconds for an adapter; for the list of them as for loading one

# What a server would else take from the model's generation_config.json: no warping, ids as they are, our own ends.
_PLAIN = {
    "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0,
    "frequency_penalty": 0.0, "n": 1, "ignore_eos": True, "skip_special_tokens": False, "return_token_ids": True,
}  # fmt: skip


class ServerEngine(Engine):
    """Samples on a server that has the same base.

    Args:
        url: of the server, without a path.
        backbone: which ids end a response, and which none may hold.
        client: asks the server; by default one with five tries.
        timeout: seconds that one response may take; by default two minutes, and half a second a token.

    Attributes:
        adapter: the name that the server knows the newest adapter by, before the first update None.

    Raises:
        UserError: the address is none.
    """

    def __init__(
        self, url: str, backbone: Backbone, client: Client | None = None, timeout: float | None = None
    ) -> None:
        self.client = client or Client(url)
        self._backbone, self._timeout = backbone, timeout
        self.adapter: str | None = None
        self._folder: Path | None = None  # of adapters, on the first process
        self._updates = 0
        self._at_temperature: set[float] = {1.0}  # at which the server is known to give log-probabilities
        ids = unsayable_ids(backbone.model)
        self._unsayable = frozenset(ids)
        self._bias = {str(i): _IMPOSSIBLE for i in ids[:_MOST_BIASED]}
        self._vocabulary = int(backbone.model.get_output_embeddings().weight.shape[0])

    def generate(
        self, prompts: Sequence[Sequence[int]], max_new_tokens: int, temperature: float, seeds: Sequence[int]
    ) -> list[Sampled]:
        """Samples one response for each prompt, all prompts at once; see `Engine.generate`.

        Raises:
            UserError: a prompt shows an image.
            ServerError: no answer, a refusal, or an answer that is no sample with its log-probabilities. The first
                failure is raised at once.
        """
        if any(isinstance(prompt, ImagePrompt) for prompt in prompts):
            raise UserError("rollout: prompts with images are not sampled by a server; leave --rollout local.")
        for other in {temperature} - self._at_temperature:
            self._check_temperature(prompts[0], other)

        def ask(row: int) -> tuple[int, Sampled]:
            body = {"prompt": list(prompts[row]), "seed": seeds[row], "max_tokens": max_new_tokens, "logprobs": 0}
            timeout = self._timeout or 120 + max_new_tokens / 2
            return row, self._read(self._complete({**body, "temperature": temperature}, timeout), body)

        # Its threads are daemons, so one that waits for a dead server keeps no process from ending.
        with ThreadPool(max(1, min(len(prompts), AT_ONCE // group.size()))) as pool:
            found = dict(pool.imap_unordered(ask, range(len(prompts))))
        return [found[row] for row in range(len(prompts))]

    def update(self, save: Save) -> None:
        """Sends the adapter that `save` writes; the one before is taken off the server.

        Raises:
            ServerError: it cannot be reached, takes no adapters, or not this one; on all processes.
        """
        self.adapter = group.from_first(lambda: self._send(save))

    def close(self) -> None:
        """Takes the adapter off the server and its files off the disk."""
        if self._folder is not None:
            self._unload(self.adapter)
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder, self.adapter = None, None

    def _send(self, save: Save) -> str:
        if self._folder is None:
            self._names()  # an address where no such server is says so before anything is written
            self._folder = Path(tempfile.mkdtemp(prefix="perlhf-rollout-"))
            self._folder.chmod(0o755)  # a server may be another user's
        name = f"perlhf-{uuid4().hex[:12]}"
        folder = self._folder / name
        save(folder)
        try:
            self.client.ask("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)}, _LOADING)
        except ServerError as error:
            if name not in self._names():  # else an answer was lost, and asked for again
                raise ServerError(f"{str(error).rstrip('.')}. {self._how_to_start()}") from None
        self._unload(self.adapter)
        return name

    def _unload(self, name: str | None) -> None:
        if name is None or self._folder is None:
            return
        with suppress(ServerError):  # it is gone, or has let the adapter go: the next question will tell
            self.client.ask("/v1/unload_lora_adapter", {"lora_name": name}, _UNLOADING, tries=1)
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def _how_to_start(self) -> str:
        return (
            f"Start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve {self._backbone.path} "
            f"--enable-lora --max-lora-rank N, N at least the adapter's rank, where it sees {tempfile.gettempdir()} "
            "(TMPDIR)."
        )

    def _names(self) -> list[str]:
        """Returns the names of the models and adapters that the server has."""
        found = self.client.ask_json("/v1/models", None, _LOADING)
        try:
            return [str(model["id"]) for model in found["data"]]
        except (TypeError, KeyError):
            raise ServerError(f"{self.client.url}/v1/models lists no models: it is no server of this kind.") from None

    def _complete(self, body: dict[str, Any], timeout: float) -> Any:
        assert self.adapter is not None, "an engine is updated before it samples"
        ends = list(self._backbone.end_ids)
        whole = {"model": self.adapter, **_PLAIN, "stop_token_ids": ends, "logit_bias": self._bias, **body}
        return self.client.ask_json("/v1/completions", whole, timeout)

    def _read(self, answer: Any, asked: dict[str, Any]) -> Sampled:
        """Reads one response and holds it against what was asked for."""
        choice = self._choice(answer)
        ids, log_probs = choice.get("token_ids"), _dict(choice.get("logprobs")).get("token_logprobs")
        if not isinstance(ids, list) or not ids or not all(type(token) is int for token in ids):
            raise self._odd("no token_ids; it has to know return_token_ids, as vLLM does")
        if not isinstance(log_probs, list) or not all(isinstance(x, float | int) for x in log_probs):
            raise self._odd("no log-probabilities of its tokens (logprobs)")
        if choice.get("prompt_token_ids") not in (None, asked["prompt"]):
            raise self._odd("a response to another prompt than it was sent")
        if len(log_probs) != len(ids):
            raise self._odd(f"{len(ids)} tokens and {len(log_probs)} log-probabilities")
        if not all(math.isfinite(x) and x < 1e-3 for x in log_probs):
            raise self._odd("a log-probability that is not finite, or above 0")
        ends = [place for place, token in enumerate(ids) if token in self._backbone.end_ids]
        if len(ids) > asked["max_tokens"] or ends[:-1] or (len(ids) < asked["max_tokens"] and ends != [len(ids) - 1]):
            raise self._odd(
                f"{len(ids)} tokens with {len(ends)} end tokens, where {asked['max_tokens']} were to be sampled, or up "
                "to the first end token; is its --max-model-len too small"
            )
        if odd := [i for i in ids if i in self._unsayable or not 0 <= i < self._vocabulary]:
            raise self._odd(f"token {odd[0]}, which the policy never says")
        return self._until_stop(ids, log_probs)

    def _until_stop(self, ids: list[int], log_probs: list[float]) -> Sampled:
        """Cuts behind the token that completes a stop string: the server is sent no text, so it samples on."""
        over = (n for n in range(1, len(ids)) if self._backbone.stops.end(ids[:n]))
        length = next(over, len(ids)) if self._backbone.stops.strings else len(ids)
        return Sampled(ids[:length], [float(x) for x in log_probs[:length]])

    def _choice(self, answer: Any) -> dict[str, Any]:
        try:
            return dict(answer["choices"][0])
        except (TypeError, KeyError, IndexError, ValueError):
            raise self._odd(f"no choices: {json.dumps(answer)[:80]}") from None

    def _odd(self, what: str) -> ServerError:
        return ServerError(f"{self.client.url} gave {what}.")

    def _check_temperature(self, prompt: Sequence[int], temperature: float) -> None:
        """Refuses another temperature than 1 of a server whose log-probabilities are those at 1 all the same.

        The two likeliest tokens are `temperature` times closer in log p where it counts.
        """
        gaps = []
        for at in (1.0, temperature):
            body = {"prompt": list(prompt), "seed": 0, "max_tokens": 1, "temperature": at, "logprobs": 2}
            places = _dict(self._choice(self._complete(body, _LOADING)).get("logprobs")).get("top_logprobs")
            top = _dict(places[0] if isinstance(places, list) and places else None)
            best = sorted(x for x in top.values() if isinstance(x, float | int))[-2:]
            if len(best) < 2:
                raise self._odd("no log-probabilities of the likeliest tokens (logprobs)")
            gaps.append(best[1] - best[0])
        if abs(gaps[1] - gaps[0]) <= abs(gaps[1] - gaps[0] / temperature):
            raise ServerError(
                f"{self.client.url} gives log-probabilities at temperature 1, and --temperature is {temperature:g}; "
                "start it with --logprobs-mode processed_logprobs, or leave the temperature at 1."
            )
        self._at_temperature.add(temperature)


def _dict(found: Any) -> dict[str, Any]:
    """Returns what should be a mapping in an answer; an empty one where it is something else."""
    return found if isinstance(found, dict) else {}
