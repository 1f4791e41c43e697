"""What a server of the Anthropic wire is known not to take, found in a request before it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.providers.wires.payload import NotTakenError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.providers.wires.anthropic.quirks import AnthropicQuirks

__all__ = ["look_for_refused"]

_FROM = {"url": "images and files by their address", "file": "files that were uploaded"}


def look_for_refused(payload: Mapping[str, Any], quirks: AnthropicQuirks) -> None:
    """Raise `NotTakenError` for the first thing in a request that its server does not take."""
    for name in payload:
        if name in quirks.without:
            raise NotTakenError(f"{name!r}")
    for tool in _objects(payload.get("tools")):
        kind = tool.get("type")
        if isinstance(kind, str) and kind.startswith(quirks.without_tools):
            raise NotTakenError(f"the provider's own tool {kind!r}")
    for source in _sources(payload.get("messages")):
        if source in quirks.without_sources:
            raise NotTakenError(_FROM.get(source, source))


def _sources(content: Any) -> Iterator[str]:
    """Go through where the images and files of messages, and of what tools answered, come from."""
    for block in _objects(content):
        source = block.get("source")
        if isinstance(source, Mapping) and isinstance(source.get("type"), str):
            yield source["type"]
        yield from _sources(block.get("content"))


def _objects(given: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        yield from (each for each in given if isinstance(each, Mapping))
