"""Asks a server over HTTP, with tries and time-outs; what cannot be mended is one line.

The standard library's: no HTTP client that is installed with our dependencies is one that we may count on, and the
hub's own retries stop where the hub is said to be off line.
"""

import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from math import isfinite
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from perlhf.errors import UserError, one_line

KEYS = ("VLLM_API_KEY",)  # the environment variable that vLLM's own server reads too
JUDGE_KEYS = ("PERLHF_JUDGE_KEY", "OPENAI_API_KEY")  # those of a judge
LATER = frozenset({429, 502, 503, 504})  # too many requests, or a server that is not there now
_LONGEST_WAIT = 60.0  # seconds between two tries, whatever the server asks for


class ServerError(UserError):
    """A server that cannot be reached, or refuses, or says what makes no sense (`GarbledAnswerError`)."""


class GarbledAnswerError(ServerError):
    """An answer that is not of the form it should have: the next may be."""


def check_url(url: str, asked: str = "rollout", instead: str = "local, or ", keys: Sequence[str] = KEYS) -> str:
    """Returns the address of a server without a path, such as http://localhost:8000.

    Args:
        url: the address; /v1 at its end is left out.
        asked: who wants it, in front of the message.
        instead: what may stand there in place of an address, in the message.
        keys: the environment variables that a key is read from.

    Raises:
        UserError: it is no such address, or a name, password or query stands in it.
    """
    place, address = " or ".join(keys), "the address of a server such as http://localhost:8000"
    if "@" in url:  # a password would be written into config.yaml, and is not printed either
        raise UserError(f"{asked}: a key does not stand in the address, nor a name before @; give it in {place}.")
    if "?" in url:
        raise UserError(f"{asked}: expected {instead}{address}, with nothing behind ?; a key is read from {place}.")
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:  # a host or port that is none
        host = b""
    odd = any(character.isspace() or not character.isprintable() for character in url)
    if not host or odd or parts.scheme not in ("http", "https") or "#" in url or not parts.path.isascii():
        raise UserError(f"{asked} {url!r}: expected {instead}{address}.")
    return url.rstrip("/").removesuffix("/v1")


class Client:
    """Asks one server.

    Args:
        url: its address, see `check_url`.
        tries: how often a question is put before it is given up.
        first_wait: seconds before the second try; twice as long before each further one.
        keys: environment variables; the first that is set is the key that is sent.
        later: status codes of servers that may answer later.

    Raises:
        UserError: the address is none.
    """

    def __init__(
        self,
        url: str,
        tries: int = 5,
        first_wait: float = 0.5,
        keys: Sequence[str] = KEYS,
        later: Collection[int] = LATER,
    ) -> None:
        self.url, self.tries, self.first_wait = check_url(url, keys=keys), tries, first_wait
        self.keys, self.later = keys, later

    def ask(self, path: str, body: Mapping[str, Any] | None, timeout: float, tries: int | None = None) -> str:
        """Returns what the server answers.

        It is asked again where it does not answer in time, hangs up, or says that it is too busy (`later`);
        then after as many seconds as it says itself (Retry-After), at most `_LONGEST_WAIT`.

        Args:
            path: such as /v1/completions.
            body: sent as JSON; None asks with GET.
            timeout: seconds to wait for an answer.
            tries: in place of the client's own.

        Raises:
            ServerError: no answer after all tries, or a refusal.
        """
        tries, problem = tries or self.tries, ""
        for number in range(tries):
            wait = self.first_wait * 2**number
            try:
                with urlopen(self._request(path, body), timeout=timeout) as answer:  # noqa: S310 - see check_url
                    return str(answer.read().decode("utf-8", "replace"))
            except HTTPError as error:
                problem = f"{error.code}: {self.without_key(_said(error))}"
                if error.code not in self.later:
                    raise ServerError(f"{self.url}{path} refuses with {problem}{self._about(error.code)}") from None
                wait = _asked_for(error.headers.get("Retry-After"), wait)
            except TimeoutError:
                problem = f"no answer in {timeout:g} s"
            except (URLError, HTTPException, OSError) as error:
                problem = _reason(error)
            if number + 1 < tries:
                time.sleep(max(0.0, min(wait, _LONGEST_WAIT)))
        raise ServerError(f"{self.url}{path} gives no answer in {tries} tries: {problem}. Is the server still running?")

    def ask_json(self, path: str, body: Mapping[str, Any] | None, timeout: float) -> Any:
        """Returns what the server answers, read as JSON.

        Raises:
            ServerError: as `ask`; `GarbledAnswerError` where it is no JSON.
        """
        text = self.ask(path, body, timeout)
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            start = self.without_key(text)[:80]
            raise GarbledAnswerError(f"{self.url}{path} answers with no JSON: {start!r}.") from None

    def _request(self, path: str, body: Mapping[str, Any] | None) -> Request:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, {"Content-Type": "application/json"})  # noqa: S310 - see check_url
        if key := self._key():  # not to where a server may send us on
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        return request

    def _key(self) -> str:
        """Returns the key; "" for none. A line break at its end, as files have it, is left out.

        Raises:
            UserError: no header may hold it; what it is does not stand in the message.
        """
        for name in self.keys:
            if key := os.environ.get(name, "").strip():
                if not (key.isascii() and key.isprintable()):
                    raise UserError(f"{name} holds a sign that no key has: a line break, or a letter beyond ASCII.")
                return key
        return ""

    def without_key(self, text: str) -> str:
        """Returns what a server says with the key left out, which some repeat."""
        key = self._key()
        return text.replace(key, "...") if key else text

    def _about(self, code: int) -> str:
        return f" (the key is read from {' or '.join(self.keys)})" if code in (401, 403) else ""


def _said(error: HTTPError) -> str:
    """Returns the message of a refusal, in one line: vLLM's is JSON, a proxy's may be a page."""
    try:
        text = error.read().decode("utf-8", "replace")
    except (HTTPException, OSError):  # it breaks off
        text = ""
    try:
        found = json.loads(text)
        text = str(found.get("error", found).get("message", text))
    except (ValueError, AttributeError, RecursionError):
        pass
    return one_line(RuntimeError(text or error.reason))[:300]


def _asked_for(after: str | None, wait: float) -> float:
    """Returns the seconds that a Retry-After header asks for, a number or a date; `wait` where there is none."""
    if after is None:
        return wait
    try:
        seconds = float(after)
        return seconds if isfinite(seconds) else wait
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return wait


def _reason(error: BaseException) -> str:
    cause = getattr(error, "reason", error)
    return str(getattr(cause, "strerror", None) or one_line(cause if isinstance(cause, BaseException) else error))
