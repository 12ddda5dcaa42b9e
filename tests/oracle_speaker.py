"""Who always says the right thing: the oracle of a task, as a chat model and as an OpenAI-compatible server."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from perlhf.conversation import messages_of


class OracleSpeaker:
    """Answers the last message of prompts, of episodes that it was told of, and follows them as its answers are played.

    Attributes:
        at: the states in which a last message is shown.
        asked: the messages of every request to the server, in order.
    """

    def __init__(self, task, states):
        self.task, self.asked, self.lock, self.at = task, [], threading.Lock(), {}
        for state in states:
            self.follow(state)

    def follow(self, state):
        self.at.setdefault(messages_of(self.task.observe(state)["prompt"])[-1].content, []).append(state)

    def __call__(self, message):
        """The right response; the episode goes on with it."""
        with self.lock:
            state = self.at[message].pop(0)
            said = self.task.oracle(state)
            played = self.task.play(state, said)
            if not (played.terminated or played.truncated):
                self.follow(played.state)
            return said


@contextmanager
def oracle_server(speaker):
    """Serves /v1/chat/completions by a speaker, which reads the last message; gives the URL of the API."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path == "/v1/chat/completions"
            speaker.asked.append(body["messages"])
            message = {"role": "assistant", "content": speaker(body["messages"][-1]["content"])}
            answer = {
                "id": "1", "object": "chat.completion", "created": 0, "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }  # fmt: skip
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
