"""What the API of an endpoint has a form for, as data: what a request can ask there, and what comes back.

Whether a model can see, or thinks, is the model's matter.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Capabilities"]


class Capabilities(NamedTuple):
    """What an endpoint can do; the defaults are those of text alone.

    `images` and `files` say how they may come: as "data", by their "url", by the "file_id" of an upload. `tools` are
    functions of the application, of which a reply may call several at once (`parallel_tools`), `text_tools` those that
    take plain text, and `server_tools` the kinds that the provider runs itself. `schema` says that a reply can be held
    to one by the API, and `grammar` that it can be held to a grammar of the caller's. `reasoning` comes back where the
    model tells any, and `reasoning_back` says that it can be sent back with the next turn. `prompt_cache` says what a
    caller can do about the provider's cache: "marks" where a prefix ends, a "key" for calls that begin alike, or the
    name of a "prefix" that was made before.
    """

    streaming: bool = True
    tools: bool = False
    parallel_tools: bool = False
    text_tools: bool = False
    images: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    audio: bool = False
    schema: bool = False
    reasoning: bool = False
    reasoning_back: bool = False
    logprobs: bool = False
    grammar: bool = False
    prompt_cache: tuple[str, ...] = ()
    server_tools: tuple[str, ...] = ()
