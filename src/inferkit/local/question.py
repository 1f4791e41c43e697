"""A request as the worker reads it. What only other models can do is refused here, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import InvalidRequest
from inferkit.core.messages import ReasoningPart, TextPart, Tool, ToolCallPart, ToolResultPart
from inferkit.core.request import WIRES
from inferkit.local.errors import PROVIDER
from inferkit.local.prompts import BEGUN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferkit.core.messages import Message
    from inferkit.core.request import Request
    from inferkit.local.rules import Rules

__all__ = ["EXTRA", "question_of", "texts_of", "turns_of"]

EXTRA = frozenset({"logit_bias", "repeat_penalty", "repeat_window", "top_k"})
"""What `extra=` may hold."""


def texts_of(request: Request) -> list[str]:
    """Give the texts that vectors are asked for. Raises `InvalidRequest` for what a local model cannot do."""
    for what, given in (("dimensions=", request.dimensions), ("task=", request.task)):
        if given is not None:
            raise InvalidRequest(f"a local model cannot be told {what}; leave it out", provider=PROVIDER)
    if request.extra:
        raise _not_here(f"{', '.join(sorted(request.extra))} in extra= of a call for embeddings")
    return [text for _, text in turns_of(request.messages)]


def question_of(request: Request) -> dict[str, Any]:
    """Write a request down for the worker. Raises `InvalidRequest` for what only other models can do."""
    extra = {name: value for name, value in request.extra.items() if name not in WIRES}  # those are for other servers
    unknown = extra.keys() - EXTRA
    if unknown:
        raise _not_here(f"{', '.join(sorted(unknown))} in extra=; it takes {', '.join(sorted(EXTRA))}")
    messages, begun = request.messages, None
    if messages and messages[-1].role == "assistant" and (messages[-1].extra or {}).get(BEGUN) is True:
        messages, begun = messages[:-1], messages[-1].text
    question: dict[str, Any] = {
        "messages": turns_of(messages),
        "begun": begun,
        "whole": True if not request.stream else None,
        "max_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "stop": list(request.stop),
        "top_logprobs": (request.top_logprobs or 0) if _wants_logprobs(request) else None,
        "grammar": _rules(request),
        **_tools(request),
        **extra,
    }
    return {key: value for key, value in question.items() if value is not None}


def _wants_logprobs(request: Request) -> bool:
    return bool(request.logprobs) or request.top_logprobs is not None


def _rules(request: Request) -> Rules | None:
    """Give the rules that a reply has to keep to: those of its schema, or the caller's own."""
    if request.response_schema is None and request.grammar is None:
        return None
    if request.grammar is None:
        from inferkit.local.grammar import grammar_for

        return grammar_for(request.response_schema or {})
    if request.response_schema is not None:
        raise InvalidRequest("a reply is held to a schema= or to a grammar=, and not to both", provider=PROVIDER)
    from inferkit.local.gbnf import read_gbnf

    return read_gbnf(request.grammar)


def _tools(request: Request) -> dict[str, Any]:
    """Give the functions that a request offers, and whether one of them has to be called: any, or which."""
    if not request.tools or request.tool_choice == "none":
        return {}
    tools = []
    for tool in request.tools:
        if not isinstance(tool, Tool):
            raise _not_here(f"a {type(tool).__name__}; send functions")
        tools.append({"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)})
    return {"tools": tools, "tool_choice": request.tool_choice}


def turns_of(messages: Iterable[Message]) -> list[tuple[Any, ...]]:
    """Give roles and texts of messages, with calls and results of functions as `ToolTurn` has them.

    Raises `InvalidRequest` for what is neither text nor these.
    """
    turns: list[tuple[Any, ...]] = []
    for message in messages:
        calls: list[tuple[str, str, str]] = []
        results: list[tuple[Any, ...]] = []
        for part in message.parts:
            if isinstance(part, ToolCallPart) and part.kind == "function":
                calls.append((part.id, part.name, part.arguments))
            elif isinstance(part, ToolResultPart):
                results.append(("tool", part.content, (), part.id))
            elif not isinstance(part, TextPart | ReasoningPart):
                raise _not_here(f"a {type(part).__name__} in a message; send text")
        turns += results
        if calls:
            turns.append((message.role, message.text, calls))
        elif message.text or not results:
            turns.append((message.role, message.text))
    return turns


def _not_here(what: str) -> InvalidRequest:
    return InvalidRequest(f"the local engine handles text only, and not {what}", provider=PROVIDER, code="unsupported")
