"""`ChatEndpoint`: asks a language model behind an OpenAI-compatible endpoint for the next message of a conversation."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from perlhf.client import LATER, Client, GarbledAnswerError, check_url

_LATER = LATER | {500, 529}  # hosted models say so where they are overloaded


class Reply(NamedTuple):
    """Holds what a model said.

    Attributes:
        text: of the message; "" where it is empty.
        prompt_tokens, completion_tokens: that the endpoint counted; None where it does not say.
    """

    text: str
    prompt_tokens: int | None
    completion_tokens: int | None


class ChatEndpoint:
    """Asks one model at one endpoint. The key is read from the environment and stands in no message.

    Args:
        url: of the server, with or without /v1.
        model: as the server calls it.
        asked: who wants it, in front of messages about the address.
        keys: environment variables; the first that is set is the key that is sent.
        timeout: seconds for one answer.
        tries: how often a question is put where the server does not answer.
        fields: of the request, beside or in place of "model", "messages" and a "temperature" of 0; None leaves one out.

    Raises:
        UserError: the address is none.
    """

    def __init__(
        self,
        url: str,
        model: str,
        asked: str,
        keys: Sequence[str],
        timeout: float,
        tries: int,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        base = check_url(url, asked, "", keys)
        # Some serve the protocol elsewhere than under /v1, and then say so with the whole path.
        known = "/" not in base.partition("://")[2] or url.rstrip("/").endswith("/v1")
        self.path = "/v1/chat/completions" if known else "/chat/completions"
        self.client = Client(base, tries, keys=keys, later=_LATER)
        self.model, self.timeout, self.fields = model, timeout, fields or {}

    def ask(self, messages: Sequence[Mapping[str, Any]]) -> Reply:
        """Returns the model's next message.

        Raises:
            ServerError: no answer after all tries, or a refusal; `GarbledAnswerError` where it holds no message.
        """
        body = {"model": self.model, "messages": messages, "temperature": 0, **self.fields}
        body = {name: value for name, value in body.items() if value is not None}
        answer = self.client.ask_json(self.path, body, self.timeout)
        try:
            text = _text(answer["choices"][0]["message"]["content"])
        except (KeyError, IndexError, TypeError):
            place, said = f"{self.client.url}{self.path}", self.client.without_key(json.dumps(answer))[:80]
            raise GarbledAnswerError(f"model {self.model!r} at {place} gives no message: {said}.") from None
        return Reply(text, *(_count(answer, name) for name in ("prompt_tokens", "completion_tokens")))


def _text(content: Any) -> str:
    """Returns what a message says: its content, or the texts of its parts, as some servers have it; "" for null.

    Raises:
        KeyError, TypeError: it is neither.
    """
    if isinstance(content, list):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str | None):
        raise TypeError
    return content or ""


def _count(answer: Mapping[str, Any], name: str) -> int | None:
    """Returns a number of tokens that an endpoint counted; None where it says none."""
    usage = answer.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if type(count) is int and count >= 0 else None


def with_picture(text: str, picture: str) -> list[dict[str, Any]]:
    """Returns the content of a message that has a text and a picture, which is given as a data URL."""
    return [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": picture}}]


def data_url(image: np.ndarray, format: str = "PNG", **how: Any) -> str:
    """Returns a picture, (height, width, 3) uint8, as a data URL; `how` goes to Pillow's writer of the format."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format, **how)
    return f"data:image/{format.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
