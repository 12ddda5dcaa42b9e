"""Rewards as other people have them, small and random: classifiers, an adapter with a head, a judge behind HTTP."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
import transformers
from peft import LoraConfig, get_peft_model
from tiny_models import TEXTS
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from agents.pretrain.build import build_tokenizer

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def word_piece():
    """A tokenizer as BERT has it."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    made.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=64, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **names,
    )  # fmt: skip


def im_tokenizer(template=CHATML, pad="<|endoftext|>"):
    """A byte-level tokenizer with the tokens of ChatML, other words than `build_tokenizer`'s, and a template."""
    tokenizer = build_tokenizer(["a", *TEXTS[:40]], 300, {"a_token": "<|im_start|>", "b_token": "<|endoftext|>"})
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>", "pad_token": pad})
    tokenizer.chat_template = template
    return tokenizer


def _made(make, folder, tokenizer):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = make().eval()
        for name, parameter in model.named_parameters():
            if name.startswith(("score", "classifier")):
                torch.nn.init.normal_(parameter)  # far from 0, so that no two texts score alike
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_bert(folder, labels=1, **names):
    """A cross-encoder: reads prompt and response as a pair."""
    tokenizer = word_piece()
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 64, "pad_token_id": 0, "num_labels": labels,
             "initializer_range": 0.3}  # fmt: skip
    config = transformers.BertConfig(**SIZES, **sizes, **names)
    return _made(lambda: transformers.BertForSequenceClassification(config), folder, tokenizer)


def save_roberta(folder):
    """A cross-encoder with four special tokens in a pair, and 33 positions of which the first is the padding's."""
    tokenizer = word_piece()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] [SEP] $B [SEP]", [("[CLS]", 2), ("[SEP]", 3)]
    )
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 33, "pad_token_id": 0, "num_labels": 1}
    config = transformers.RobertaConfig(**SIZES, **sizes, type_vocab_size=2)
    return _made(lambda: transformers.RobertaForSequenceClassification(config), folder, tokenizer)


def save_qwen(folder, template=CHATML, pad="<|endoftext|>", pad_in_config=True):
    """A decoder with a score at the last token, and a chat template."""
    tokenizer = im_tokenizer(template, pad)
    named = {"pad_token_id": tokenizer.pad_token_id if pad_in_config else None, "eos_token_id": tokenizer.eos_token_id}
    config = transformers.Qwen3Config(
        **SIZES, **named, vocab_size=len(tokenizer), num_key_value_heads=2, head_dim=8, num_labels=1,
        max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=None,
    )  # fmt: skip
    return _made(lambda: transformers.Qwen3ForSequenceClassification(config), folder, tokenizer)


def save_causal_qwen(folder):
    """A language model of the same kind, for adapters."""
    tokenizer = im_tokenizer()
    config = transformers.Qwen3Config(
        **SIZES, vocab_size=len(tokenizer), num_key_value_heads=2, head_dim=8, max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=None, bos_token_id=None,
    )  # fmt: skip
    return _made(lambda: transformers.Qwen3ForCausalLM(config), folder, tokenizer)


def save_adapter(folder, base, seed=0, **lora):
    """An adapter with a head on a base, as plain peft saves it; its numbers are drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whole = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
        config = LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=6, **{"target_modules": ["q_proj", "v_proj"], **lora})
        model = get_peft_model(whole, config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def of_trl(prompts, completions, **columns):
    """A reward function of TRL's form: how often an e is said, on texts or messages."""
    texts = [c if isinstance(c, str) else c[0]["content"] for c in completions]
    return [text.count("e") / 7 + len(prompt) / 1000 for text, prompt in zip(texts, prompts, strict=True)]


class Judging:
    """An OpenAI-compatible endpoint that gives a number from 0 to 10 by a hash of what it is asked, until `close`.

    Attributes:
        url: where it is.
        asked: (path, headers, body) of every request, in order.
        answers: what it says in place of a number, next one first; None is a number.
        busy: (status, Retry-After or None) of the next requests in place of an answer.
        most: requests that were on their way at a time.
    """

    def __init__(self):
        self.asked, self.answers, self.busy, self.most, self._now = [], [], [], 0, 0
        self.lock, self.pause = threading.Lock(), 0.0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self.server.daemon_threads, self.server.block_on_close = True, False
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, body):
        said = body["messages"][0]["content"]
        text = said if isinstance(said, str) else said[0]["text"]
        with self.lock:
            canned = self.answers.pop(0) if self.answers else None
        return f'{{"score": {hashlib.sha256(text.encode()).digest()[0] % 11}}}' if canned is None else canned

    @contextmanager
    def counted(self):
        with self.lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            yield
        finally:
            with self.lock:
                self._now -= 1


class _Handler(BaseHTTPRequestHandler):
    owner: Judging

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        owner = self.owner
        with owner.counted():
            owner.asked.append((self.path, dict(self.headers), body))
            threading.Event().wait(owner.pause)
            if owner.busy:
                status, after = owner.busy.pop(0)
                self._say(status, {"error": {"message": f"refused {self.headers['Authorization']}"}}, after)
            else:
                self._say(200, {"choices": [{"message": {"role": "assistant", "content": owner.answer(body)}}]})

    def _say(self, status, said, after=None):
        data = json.dumps(said).encode()
        self.send_response(status)
        if after is not None:
            self.send_header("Retry-After", str(after))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def judging():
    """Such an endpoint, for a block."""
    server = Judging()
    try:
        yield server
    finally:
        server.close()
