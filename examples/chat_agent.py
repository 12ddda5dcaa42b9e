"""An agent in 20 lines: a model behind an OpenAI-compatible server that also reads its own last answers.

cd examples && CHAT_URL=http://localhost:8000/v1 CHAT_MODEL=NAME perlhf eval-agent UINav-v0 --agent chat_agent:ChatAgent
"""

import os
from collections import deque

from perlhf.chat_endpoint import ChatEndpoint


class ChatAgent:
    """Puts what it said last in the episode before the screen. perlhf asks for one agent per episode at a time."""

    def __init__(self):
        url, model = os.environ["CHAT_URL"], os.environ["CHAT_MODEL"]
        self.endpoint = ChatEndpoint(url, model, "CHAT_URL", ["OPENAI_API_KEY"], timeout=60, tries=3)

    def reset(self):
        self.answers = deque(maxlen=3)

    def __call__(self, observation, info):
        *before, screen = info["messages"]
        said = [{"role": "assistant", "content": answer} for answer in self.answers]
        self.answers.append(self.endpoint.ask([*before, *said, screen]).text)
        return self.answers[-1]
