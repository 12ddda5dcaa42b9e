"""Policies of perlhf as models of Inspect: `--model perlhf/RUN_FOLDER`, or `perlhf/tiny-uinav` for an SFT policy."""

from pathlib import Path
from typing import Any

from backbones.backbone import Backbone
from backbones.draws import EVALUATION, row_seeds
from backbones.generate import generate
from backbones.model.loading import use_threads
from evaluation.finished_run import load_policy, ppo_config, setup_of_run
from perlhf.conversation import Conversation, Message
from perlhf.errors import UserError

try:
    from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput, ModelUsage, modelapi
except ImportError:
    raise UserError("this needs inspect-ai: pip install 'perlhf[inspect]'.") from None


@modelapi(name="perlhf")
class PerlhfModel(ModelAPI):
    """The policy of a run of agents.train_ppo, or a language model as it is: a backbone's name or folder.

    It is greedy unless a temperature is given, and stops where the run's responses were cut, or at --max-tokens.

    Args:
        model_name: the folder or name.
        config: of Inspect.
        sft: whether the SFT policy that the run began from speaks instead: `-M sft=true`.
    """

    def __init__(self, model_name: str, config: GenerateConfig, sft: bool = False, **others: Any) -> None:
        super().__init__(model_name, config=config)
        folder, self.room, self.asked = Path(model_name), 64, 0
        if (folder / "config.yaml").is_file():
            options = ppo_config(folder)
            self.room, self.role = options["max_new_tokens"], load_policy(folder, setup_of_run(options))
        else:
            self.role = Backbone.load(model_name).reference
            use_threads(0, self.role.backbone.parameter_count)
        if sft:
            self.role = self.role.backbone.reference

    async def generate(
        self, input: list[ChatMessage], tools: Any, tool_choice: Any, config: GenerateConfig
    ) -> ModelOutput:
        """Answers messages; where the last one brings the prompt's own text, a model without a template reads that."""
        backbone, text = self.role.backbone, (input[-1].metadata or {}).get("prompt")
        prompt = backbone.encode_prompt(Conversation([Message(m.role, m.text) for m in input], text))
        seeds = row_seeds(config.seed or 0, [self.asked], 0, EVALUATION)
        self.asked += 1
        (ids,) = generate(self.role, [prompt], config.max_tokens or self.room, config.temperature or 0.0, seeds)
        stopped = "stop" if backbone.has_ended(ids) else "max_tokens"
        output = ModelOutput.from_content(self.model_name, backbone.decode(ids), stopped)
        output.usage = ModelUsage(input_tokens=len(prompt), output_tokens=len(ids), total_tokens=len(prompt) + len(ids))
        return output
