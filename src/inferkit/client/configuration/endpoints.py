"""Makes the adapters of `[providers.NAME]`: by `wire` or `preset`, of all that their constructors take but keys."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from inferkit.client.configuration.forms import form_of
from inferkit.client.configuration.wording import is_secret, no_key_here, unknown_here
from inferkit.providers.by_name import NAMES
from inferkit.providers.embedding_quirks import EmbeddingQuirks
from inferkit.providers.openai_chat import OpenAIChat
from inferkit.providers.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inferkit.client.configuration.making import Making
    from inferkit.core.request import Handler
    from inferkit.plans.places import Path

__all__ = ["provider"]

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*(\|[A-Z_][A-Z0-9_]*)*")
_CREDENTIALS = {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
_ELSEWHERE = ("embeddings", "preset", "quirks", "transport", "wire")
_NOT_IN_TABLES = frozenset({"api_key", "name", "transport", "quirks", "embeddings"})


@dataclass(frozen=True)
class _Wire:
    """What speaks a wire, as "module:name", the ways of its servers, likewise, and what it is called with besides.

    Nothing of a wire is imported before a file names it.
    """

    made_by: str
    ways: str
    more: tuple[tuple[str, Any], ...] = ()

    @property
    def make(self) -> Callable[..., Handler]:
        """The constructor."""
        return cast("Callable[..., Handler]", _imported(self.made_by))

    @property
    def quirks(self) -> Any:
        """The ways of servers of which nothing else is said."""
        found = _imported(self.ways)
        return found() if isinstance(found, type) else found


def _imported(name: str) -> Any:
    module, _, thing = name.partition(":")
    return getattr(import_module(f"inferkit.providers.{module}"), thing)


_OF_ANTHROPIC = "wires.anthropic.quirks"
_WIRES = {
    "chat": _Wire("openai_chat:OpenAIChat", "wires.chat.quirks:ChatQuirks"),
    "responses": _Wire("openai_responses:OpenAIResponses", "wires.responses.quirks:ResponsesQuirks"),
    "anthropic": _Wire("anthropic:Anthropic", f"{_OF_ANTHROPIC}:AnthropicQuirks"),
    "gemini": _Wire("gemini:Gemini", "wires.gemini.quirks:GeminiQuirks"),
    "anthropic-bedrock": _Wire("anthropic:AnthropicBedrock", f"{_OF_ANTHROPIC}:BEDROCK"),
    "anthropic-mantle": _Wire("anthropic:AnthropicBedrock", f"{_OF_ANTHROPIC}:MANTLE", (("api", "messages"),)),
    "anthropic-vertex": _Wire("anthropic:AnthropicVertex", f"{_OF_ANTHROPIC}:VERTEX"),
    "vertex": _Wire("gemini:Vertex", "wires.gemini.quirks:GeminiQuirks"),
}
_SAME = {"openai-responses": "responses"}


def provider(making: Making, name: str, value: Any, http: Callable[[Any, Path], Any]) -> Handler | None:
    """Make the adapter of a name; None where something is wrong, which is noted. `http` makes a transport."""
    path: Path = ("providers", name)
    if not isinstance(value, dict):
        making.mistaken(path, 'a table: [providers.work], with base_url = "https://host/v1"', value)
        return None
    before = len(making.problems)
    table = dict(value)
    wire, preset = _spoken(making, name, table, path)
    _refuse_secrets(making, table, path)
    if wire is None:
        return None
    given = making.read(wire.make, _plain(table), path, _NOT_IN_TABLES, _ELSEWHERE)
    settings = dict(wire.more) | {"name": name} | (given or {})
    settings["transport"] = making.settings.get("transport")
    if "transport" in table:
        settings["transport"] = http(table["transport"], (*path, "transport"))
    own = None if preset is None else PRESETS[preset]
    if "quirks" in table:
        ways: Any = wire.quirks if own is None else own.quirks
        read = making.read(type(ways), table["quirks"], (*path, "quirks"))
        settings["quirks"] = replace(ways, **(read or {}))
    if "embeddings" in table and wire.make is OpenAIChat:
        base = None if own is None else own.embeddings
        settings["embeddings"] = _embeddings(making, table["embeddings"], base, (*path, "embeddings"))
    elif "embeddings" in table:
        making.wrong((*path, "embeddings"), "only servers that speak the wire chat have ways of giving embeddings")
    if len(making.problems) > before:
        return None
    with making.noting(path, table):
        return wire.make(**settings) if preset is None else OpenAIChat.preset(preset, **settings)
    return None


def _plain(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in table.items() if key not in _ELSEWHERE and not is_secret(key)}


def _spoken(making: Making, name: str, table: dict[str, Any], path: Path) -> tuple[_Wire | None, str | None]:
    """Take from a table what says how to speak to the server; a name that is known says it by itself."""
    wire, preset = table.pop("wire", None), table.pop("preset", None)
    if wire is None and preset is None:
        if name in PRESETS:
            preset = name
        else:
            wire = _SAME.get(name, name) if name in NAMES else "chat"
            if wire == "chat" and "base_url" not in table:
                fields = form_of(OpenAIChat, _NOT_IN_TABLES).names.union(_ELSEWHERE)
                unknown = [key for key in table if key not in fields]
                for key in unknown:
                    making.wrong((*path, key), unknown_here(key, fields))
                if unknown:
                    return None, None
                making.wrong(path, 'it says not where its server is: base_url = "https://host/v1", or preset = "vllm"')
                return None, None
    if wire is not None and preset is not None:
        making.wrong((*path, "preset"), "a preset says which wire its server speaks; leave one of the two out")
    for key, value, known in (("wire", wire, _WIRES), ("preset", preset, PRESETS)):
        if value is not None and not (isinstance(value, str) and value in known):
            making.mistaken((*path, key), f"one of {', '.join(sorted(known))}", value)
            return None, None
    return _WIRES["chat" if wire is None else wire], preset


def _embeddings(making: Making, value: Any, base: EmbeddingQuirks | None, path: Path) -> Any:
    if isinstance(value, bool):
        return (base or True) if value else False
    read = making.read(EmbeddingQuirks, value, path)
    return None if read is None else replace(base or EmbeddingQuirks(), **read)


def _refuse_secrets(making: Making, table: Mapping[str, Any], path: Path) -> None:
    """Refuse keys wherever they may have been put; no message repeats one."""
    for name in filter(is_secret, table):
        making.wrong((*path, name), no_key_here(name))
    variable = table.get("api_key_env")
    if variable is not None and not (isinstance(variable, str) and _VARIABLE.fullmatch(variable)):
        said = (
            "api_key_env is the name of an environment variable, in capitals: WORK_API_KEY; what stands here is none. "
            "If it is the key itself, take it out of the file, and have a new one made"
        )
        making.wrong((*path, "api_key_env"), said, of_value=True)
    headers = table.get("headers")
    for header in headers if isinstance(headers, dict) else ():
        if header.lower() in _CREDENTIALS or is_secret(header):
            making.wrong((*path, "headers", header), no_key_here(f"the header {header}"))
    base_url = table.get("base_url")
    if isinstance(base_url, str):
        try:
            parts = urlsplit(base_url)
        except ValueError:
            return  # the adapter says so
        if parts.password or any(is_secret(each) for each, _ in parse_qsl(parts.query)):
            making.wrong((*path, "base_url"), no_key_here("what this address holds"), of_value=True)
