"""What a server of the Anthropic wire is known not to take, found in a request before it is sent.

What the caller asks for is refused. What stands in the conversation since another server of the same wire wrote it
there is left out, as what another wire wrote would be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.providers.wires.payload import NotTakenError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.providers.wires.anthropic.quirks import AnthropicQuirks
    from inferkit.providers.wires.extras import LeaveOut

__all__ = ["look_for_refused", "without_traces"]

_SERVER_TOOL_USE = "server_tool_use"
_FROM = {"url": "images and files by their address", "file": "files that were uploaded"}


def without_traces(turns: list[dict[str, Any]], quirks: AnthropicQuirks, leave_out: LeaveOut) -> list[dict[str, Any]]:
    """Give the turns without what tools of the provider's own have left in them that this server does not have.

    `leave_out` is told what it is.
    """
    tools = [prefix.removesuffix("set") for prefix in quirks.without_tools]  # "mcp_toolset" leaves "mcp_tool_use"
    return [turn for turn in turns if isinstance(turn["content"], str) or _tidy(turn, tools, leave_out)]


def _tidy(turn: dict[str, Any], tools: Sequence[str], leave_out: LeaveOut) -> bool:
    """Take the traces of tools out of a turn; say whether anything is left of it."""
    kept = []
    for block in turn["content"]:
        kind = str(block["type"])
        about = str(block.get("name")) if kind == _SERVER_TOOL_USE else kind
        if any(tool in about for tool in tools):
            leave_out(kind)
            continue
        kept.append(_with_known_citations(block, tools, leave_out))
    turn["content"] = kept
    return bool(kept)


def _with_known_citations(block: dict[str, Any], tools: Sequence[str], leave_out: LeaveOut) -> dict[str, Any]:
    cited = list(_objects(block.get("citations")))
    known = [each for each in cited if not any(tool in str(each.get("type")) for tool in tools)]
    if len(known) == len(cited):
        return block
    leave_out("citations")
    plain = {name: value for name, value in block.items() if name != "citations"}
    return {**plain, "citations": known} if known else plain


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
