"""A harness of verifiers for a chat model alone: one reply to the conversation so far, asked for in this process."""

from typing import Any

from perlhf.errors import UserError

try:
    import verifiers.v1 as vf
    from openai import AsyncOpenAI
    from verifiers.v1.dialects.chat import message_to_wire
except ImportError:
    raise UserError("this needs verifiers 0.4 or newer: pip install 'perlhf[verifiers]'.") from None


class OneReply(vf.Harness[vf.HarnessConfig]):
    """Asks for one reply. verifiers' own chat harness, `null`, starts a program for each, with uv and the network."""

    APPENDS_SYSTEM_PROMPT = SUPPORTS_RESUME = True
    EXECUTES_CODE = NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: vf.TaskData,
    ) -> vf.ProgramResult:
        system, said = self.resolve_prompt(data)
        messages: list[Any] = [{"role": "system", "content": system}] if system else []
        messages += [message_to_wire(message) for message in said]
        async with AsyncOpenAI(base_url=endpoint, api_key=secret) as client:
            await client.chat.completions.create(model=ctx.model, messages=messages)
        return vf.ProgramResult(0, "", "")
