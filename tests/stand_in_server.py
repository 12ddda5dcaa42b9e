"""A stand-in for vLLM's OpenAI server, of the standard library, over a tiny model in plain transformers and peft.

It knows /v1/models, /v1/completions with token ids, and loads and unloads adapters while it runs, with the refusals of
vLLM 0.32 in its words. `faults` names what it does wrong:

    lengths, one token fewer than log-probabilities; short, a response that stops in the middle; no_log_probs; no_ids;
    another_prompt, a response to one cut in front; not_finite; unknown_token; page, HTML in place of JSON; words, text
    for ids; listed, log-probabilities that are a list; breaks_off, the text of a refusal does;
    stale, every adapter after the first is taken, and the first one used.
"""

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM


class StandIn:
    """Answers requests until `close`.

    Attributes:
        url: where it is.
        asked: (path, body) of every request, in order.
        adapters: the path of each adapter that is loaded, by name.
        faults: see the module; set by tests.
        busy: status codes for the next requests in place of answers, with the Retry-After of each, or None.
        silent: how many of the next completions get no answer.
        dies_after: the number of completions after which it hangs up and is gone; None for never.
        key: what has to stand in the header, or None.
        processed: whether log-probabilities are those after the temperature, as with --logprobs-mode.
        loads: whether adapters can be loaded at all.
        max_rank: of an adapter.
    """

    def __init__(self, folder, faults=()):
        self.base = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.model, self.lock, self.closing = None, threading.Lock(), threading.Event()
        self.asked, self.adapters, self.first = [], {}, None
        self.reset(faults)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self.server.daemon_threads, self.server.block_on_close = True, False
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def reset(self, faults=()):
        """Mends everything but what is given, and forgets adapters: who still asks for one gets a refusal."""
        self.faults, self.busy, self.silent, self.dies_after = set(faults), [], 0, None
        self.key, self.processed, self.loads, self.max_rank = None, False, True, 16
        self.asked.clear()
        self.adapters.clear()

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def bodies(self, path):
        return [body for asked, body in self.asked if asked == path]

    def load(self, body):
        """(status, what is said) of an adapter, as vLLM's."""
        name, path = body["lora_name"], Path(body["lora_path"])
        if name in self.adapters:
            return 400, f"The lora adapter '{name}' has already been loaded."
        if not (path / "adapter_config.json").is_file():
            return 404, f"Loading lora {name} failed: No adapter found for {path}"
        rank = json.loads((path / "adapter_config.json").read_text())["r"]
        if rank > self.max_rank:
            return 500, f"Call to add_lora method failed: LoRA rank {rank} is greater than max_lora_rank 16."
        with self.lock:
            if self.model is None:
                self.model = PeftModel.from_pretrained(self.base, path, adapter_name=name).eval()
            else:
                self.model.load_adapter(path, adapter_name=name)
        self.adapters[name] = str(path)
        self.first = self.first or name
        return 200, "Success"

    def unload(self, body):
        if self.adapters.pop(body["lora_name"], None) is None:
            return 404, f"The lora adapter '{body['lora_name']}' cannot be found."
        if "stale" not in self.faults:  # else the first one is still needed
            with self.lock:
                self.model.set_adapter(next(iter(self.adapters), body["lora_name"]))
                if self.adapters:
                    self.model.delete_adapter(body["lora_name"])
        return 200, "Success"

    @torch.no_grad()
    def respond(self, body):
        """Ids, their log-probabilities, and the likeliest two of each place, with the draws of `backbones.draws`."""
        draws = np.random.Generator(np.random.Philox(key=body["seed"])).random(body["max_tokens"])
        ids, log_probs, likeliest, cache = [], [], [], None
        read = torch.tensor([body["prompt"]])
        with self.lock:
            self.model.set_adapter(self.first if "stale" in self.faults else body["model"])
            for draw in draws:
                output = self.model(input_ids=read, past_key_values=cache, use_cache=True)
                cache, logits = output.past_key_values, output.logits[0, -1].double()
                biased = logits.clone()
                for token, bias in body["logit_bias"].items():
                    biased[int(token)] += bias
                processed = (biased / body["temperature"]).log_softmax(-1)
                said = processed if self.processed else logits.log_softmax(-1)
                token = int(torch.searchsorted(processed.exp().cumsum(-1), torch.tensor(draw), right=True))
                ids.append(token)
                log_probs.append(float(said[token]))
                likeliest.append({f"token_id:{i}": float(p) for p, i in zip(*said.topk(2), strict=True)})
                if token in body["stop_token_ids"]:
                    break
                read = torch.tensor([[token]])
        return ids, log_probs, likeliest

    def complete(self, body):
        ids, log_probs, likeliest = self.respond(body)
        if "lengths" in self.faults:
            ids = ids[:-1]
        if "short" in self.faults:
            ids, log_probs = [ids[0] if ids[0] not in body["stop_token_ids"] else 5], log_probs[:1]
        if "unknown_token" in self.faults:
            ids = [10_000, *ids[1:]]
        if "not_finite" in self.faults:
            log_probs = [float("nan"), *log_probs[1:]]
        logprobs = {"token_logprobs": log_probs, "top_logprobs": likeliest}
        choice = {"index": 0, "text": "", "token_ids": ids, "logprobs": logprobs}
        choice["prompt_token_ids"] = body["prompt"][1:] if "another_prompt" in self.faults else body["prompt"]
        if "no_log_probs" in self.faults:
            choice["logprobs"] = None
        if "listed" in self.faults:
            choice["logprobs"] = log_probs
        if "words" in self.faults:
            choice["token_ids"] = [str(token) for token in ids]
        if "no_ids" in self.faults:
            del choice["token_ids"]
        return {"choices": [choice]}


class _Handler(BaseHTTPRequestHandler):
    owner: StandIn

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self._begin(None):
            names = ["base", *self.owner.adapters]
            self._answer(200, {"object": "list", "data": [{"id": name} for name in names]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._begin(body):
            return
        if self.path == "/v1/completions":
            self._complete(body)
        elif self.owner.loads and self.path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
            status, said = (self.owner.unload if "unload" in self.path else self.owner.load)(body)
            self._answer(status, said if status == 200 else {"error": {"message": said, "code": status}})
        else:
            self._answer(404, {"detail": "Not Found"})

    def _begin(self, body):
        """Whether the request is to be answered."""
        owner = self.owner
        if self.path == "/v1/completions" and body["model"] not in owner.adapters:
            said = f"The model `{body['model']}` does not exist."
            return self._answer(404, {"error": {"message": said, "code": 404}})
        owner.asked.append((self.path, body))
        if owner.key is not None and self.headers.get("Authorization") != f"Bearer {owner.key}":
            return self._answer(401, {"error": "Unauthorized"})
        if owner.busy:
            status, after = owner.busy.pop()
            return self._answer(status, {"error": {"message": "too busy"}}, after)
        if "page" in owner.faults:
            return self._answer(200, "<html>Welcome</html>")
        return True

    def _complete(self, body):
        owner = self.owner
        if owner.dies_after is not None and len(owner.bodies("/v1/completions")) > owner.dies_after:
            threading.Thread(target=owner.close, daemon=True).start()
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if owner.silent:
            owner.silent -= 1
            owner.closing.wait(30)
            return
        self._answer(200, owner.complete(body))

    def _answer(self, status, said, after=None):
        data = (said if isinstance(said, str) else json.dumps(said)).encode()
        self.send_response(status)
        if after is not None:
            self.send_header("Retry-After", str(after))
        breaks_off = status != 200 and "breaks_off" in self.owner.faults
        self.send_header("Content-Length", str(len(data) + breaks_off))
        self.end_headers()
        self.wfile.write(data)
        return False


@contextmanager
def stand_in(folder, faults=()):
    """A server over the model in a folder, for a block."""
    server = StandIn(folder, faults)
    try:
        yield server
    finally:
        if not server.closing.is_set():
            server.close()
