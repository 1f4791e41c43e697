"""The frameworks that people have, over the SDKs' clients or HTTP clients that they take, each asked in its own way."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FRAMEWORKS", "Framework", "Order"]


class Order(BaseModel):
    """An order."""

    id: int


@dataclass(frozen=True)
class Framework:
    """One framework on one of its models.

    `model` is a name that it knows to be one of a model that can give objects, where it has to know that. `make` gives
    a model of it for a server, over a plain and an async HTTP client. `whole` asks it and gives the text
    and the tokens that it is told of, `streamed` gives the pieces, `tools` lets it call `find` and gives what it says
    at the end, `parsed` gives an `Order`. One that `leaves_a_circle` keeps a stream that its task was reading in a
    circle of its own, and the stream ends when Python's collector finds it, as without inferkit.
    """

    name: str
    package: str
    wire: str
    make: Callable[..., Any]
    whole: Callable[..., Any]
    streamed: Callable[..., Any]
    tools: Callable[..., Any]
    parsed: Callable[..., Any]
    model: str = "m-1"
    leaves_a_circle: bool = False

    def __str__(self) -> str:
        return self.name

    def needed(self) -> None:
        """Skip the test where the framework is not there."""
        pytest.importorskip(self.package, reason=f"{self.package} is not installed: it is not tested")


def find(id: int) -> str:  # noqa: A002
    """Find an order."""
    return f"order {id}"


def _chat_openai(url: str, clients: Any, model: str, *, responses: bool = False) -> Any:
    from langchain_openai import ChatOpenAI

    plain, other = clients
    given = {"http_client": plain, "http_async_client": other, "stream_usage": True, "max_retries": 0}
    return ChatOpenAI(model=model, api_key="sk-test", base_url=url, use_responses_api=responses, **given)


def _chat_anthropic(url: str, clients: Any, model: str) -> Any:
    """Give one whose clients are put in by their names: it has no parameter for them, which is for `instrument`."""
    import anthropic
    from langchain_anthropic import ChatAnthropic

    base, (plain, other) = url.removesuffix("/v1"), clients
    chat = ChatAnthropic(model=model, api_key="sk-test", base_url=base, max_retries=0)
    given = {"api_key": "sk-test", "base_url": base, "max_retries": 0}
    chat.__dict__["_client"] = anthropic.Anthropic(http_client=plain, **given)
    chat.__dict__["_async_client"] = anthropic.AsyncAnthropic(http_client=other, **given)
    return chat


async def _lc_whole(chat: Any, question: str) -> Any:
    reply = await chat.ainvoke(question)
    return reply.text, reply.usage_metadata["input_tokens"], reply.usage_metadata["output_tokens"]


async def _lc_streamed(chat: Any, question: str) -> Any:
    return [piece.text async for piece in chat.astream(question) if piece.text]


async def _lc_tools(chat: Any, question: str) -> Any:
    from langchain_core.messages import HumanMessage, ToolMessage

    bound = chat.bind_tools([find])
    asked = await bound.ainvoke(question)
    results = [ToolMessage(find(**call["args"]), tool_call_id=call["id"]) for call in asked.tool_calls]
    return (await bound.ainvoke([HumanMessage(question), asked, *results])).text


async def _lc_parsed(chat: Any, question: str) -> Any:
    return await chat.with_structured_output(Order, method="json_schema").ainvoke(question)


def _pydantic(kind: str, provider: str, module: str) -> Callable[..., Any]:
    def make(url: str, clients: Any, model: str) -> Any:
        models = import_module(f"pydantic_ai.models.{module}")
        providers = import_module(f"pydantic_ai.providers.{module}")
        base = url if module == "openai" else url.removesuffix("/v1")
        given = {"base_url": base, "api_key": "sk-test", "http_client": clients[1]}
        return getattr(models, kind)(model, provider=getattr(providers, provider)(**given))

    return make


async def _pa_whole(model: Any, question: str) -> Any:
    from pydantic_ai import Agent

    done = await Agent(model).run(question)
    return done.output, done.usage.input_tokens, done.usage.output_tokens


async def _pa_streamed(model: Any, question: str) -> Any:
    from pydantic_ai import Agent

    async with Agent(model).run_stream(question) as stream:
        return [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]


async def _pa_tools(model: Any, question: str) -> Any:
    from pydantic_ai import Agent

    return (await Agent(model, tools=[find]).run(question)).output


async def _pa_parsed(model: Any, question: str) -> Any:
    from pydantic_ai import Agent, NativeOutput

    return (await Agent(model, output_type=NativeOutput(Order)).run(question)).output


def _agents(kind: str) -> Callable[..., Any]:
    def make(url: str, clients: Any, model: str) -> Any:
        import agents
        import openai

        sdk = openai.AsyncOpenAI(api_key="sk-test", base_url=url, http_client=clients[1], max_retries=0)
        return getattr(agents, kind)(model=model, openai_client=sdk)

    return make


async def _oa_run(model: Any, question: str, **more: Any) -> Any:
    from agents import Agent, RunConfig, Runner

    return await Runner.run(Agent(name="a", model=model, **more), question, run_config=RunConfig(tracing_disabled=True))


async def _oa_whole(model: Any, question: str) -> Any:
    done = await _oa_run(model, question)
    usage = done.context_wrapper.usage
    return done.final_output, usage.input_tokens, usage.output_tokens


async def _oa_streamed(model: Any, question: str) -> Any:
    from agents import Agent, RunConfig, Runner

    config = RunConfig(tracing_disabled=True)
    running = Runner.run_streamed(Agent(name="a", model=model), question, run_config=config)
    events = [each.data async for each in running.stream_events() if each.type == "raw_response_event"]
    return [each.delta for each in events if each.type == "response.output_text.delta"]


async def _oa_tools(model: Any, question: str) -> Any:
    from agents import function_tool

    return (await _oa_run(model, question, tools=[function_tool(find)])).final_output


async def _oa_parsed(model: Any, question: str) -> Any:
    return (await _oa_run(model, question, output_type=Order)).final_output


def _responses_of_chat_openai(url: str, clients: Any, model: str) -> Any:
    return _chat_openai(url, clients, model, responses=True)


_LC = (_lc_whole, _lc_streamed, _lc_tools, _lc_parsed)
_PA = (_pa_whole, _pa_streamed, _pa_tools, _pa_parsed)
_OA = (_oa_whole, _oa_streamed, _oa_tools, _oa_parsed)
FRAMEWORKS = [
    Framework("ChatOpenAI", "langchain_openai", "chat", _chat_openai, *_LC),
    Framework("ChatOpenAI-responses", "langchain_openai", "responses", _responses_of_chat_openai, *_LC),
    Framework("ChatAnthropic", "langchain_anthropic", "anthropic", _chat_anthropic, *_LC),
    Framework("pydantic-chat", "pydantic_ai", "chat", _pydantic("OpenAIChatModel", "OpenAIProvider", "openai"), *_PA),
    Framework("pydantic-responses", "pydantic_ai", "responses",
              _pydantic("OpenAIResponsesModel", "OpenAIProvider", "openai"), *_PA),
    Framework("pydantic-anthropic", "pydantic_ai", "anthropic",
              _pydantic("AnthropicModel", "AnthropicProvider", "anthropic"), *_PA, "claude-sonnet-4-6"),
    Framework("pydantic-google", "pydantic_ai", "gemini", _pydantic("GoogleModel", "GoogleProvider", "google"), *_PA,
              "gemini-2.5-flash", leaves_a_circle=True),
    Framework("agents-chat", "agents", "chat", _agents("OpenAIChatCompletionsModel"), *_OA),
    Framework("agents-responses", "agents", "responses", _agents("OpenAIResponsesModel"), *_OA),
]  # fmt: skip
