"""A server that answers like a willing model: it calls the tool it has to, gives the object asked for, or talks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import four_wires
from wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrations.faces import Face
    from wire import Received

__all__ = ["saying", "willing"]

RESULTS = (b'"tool_call_id"', b'"tool_result"', b'"functionResponse"', b'"function_call_output"')


def saying(face: Face, text: str = "Hello.") -> Wire:
    """Make a server of a face's own wire that says one thing."""
    return Wire(lambda received: four_wires.answer(face.name, received, text))


def willing(name: str, text: str = "It is on its way.") -> Any:
    """Make a script for a wire: a tool that is given is called, unless the last thing said is what one returned."""

    def script(received: Received) -> Iterator[Any]:
        sent = received.json
        last = json.dumps(four_wires.messages_of(name, sent)[-1:]).encode()
        tools = _functions(name, sent)
        schema = _schema(name, sent)
        if schema is not None:
            return four_wires.answer(name, received, json.dumps(example(schema, schema)))
        if tools and not any(mark in last for mark in RESULTS):
            tool, parameters = _chosen(sent, tools)
            return four_wires.answer(name, received, "", (tool, example(parameters, parameters)))
        return four_wires.answer(name, received, text)

    return script


def _functions(name: str, sent: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    tools = sent.get("tools") or []
    if name == "gemini":
        tools = [each for tool in tools for each in tool.get("functionDeclarations", ())]
    if name == "chat":
        tools = [tool["function"] for tool in tools]
    keys = ("parameters", "input_schema", "parametersJsonSchema")
    return [(tool["name"], next((tool[key] for key in keys if key in tool), {})) for tool in tools if "name" in tool]


def _chosen(sent: dict[str, Any], tools: list[tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
    wanted = json.dumps(sent.get("tool_choice") or sent.get("toolConfig"))
    return next((tool for tool in tools if f'"{tool[0]}"' in wanted), tools[0])


def _schema(name: str, sent: dict[str, Any]) -> Any:
    if name == "chat":
        return (sent.get("response_format") or {}).get("json_schema", {}).get("schema")
    if name == "responses":
        return (sent.get("text") or {}).get("format", {}).get("schema")
    if name == "anthropic":
        form = sent.get("output_format") or (sent.get("output_config") or {}).get("format") or {}
        return form.get("schema")
    return sent.get("generationConfig", {}).get("responseJsonSchema")


def example(schema: dict[str, Any], whole: dict[str, Any]) -> Any:  # noqa: PLR0911 - one for each kind of schema
    """Give the first value that a JSON schema allows."""
    if "$ref" in schema:
        found: Any = whole
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return example(found, whole)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return example(schema[key][0], whole)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: example(each, whole) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema["items"], whole)] if "items" in schema else []
    return {"string": "你好, こんにちは, Paris", "integer": 3, "number": 3, "boolean": True}.get(kind)
