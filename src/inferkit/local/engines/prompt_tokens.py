"""The tokens of a prompt: what a conversation is to a model, written in the model's own form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import InvalidRequest
from inferkit.local.errors import PROVIDER, no_tools
from inferkit.local.prompt_choice import format_of
from inferkit.local.prompts import FORMATS, Mark, ToolTurn, add_text, checked_turns

if TYPE_CHECKING:
    from collections.abc import Generator

    from inferkit.local.call_form import CallForm
    from inferkit.local.engines.interface import Caller, Tokens
    from inferkit.local.gguf.model_file import ModelFile
    from inferkit.local.prompts import PromptFormat, Segment, WritesCalls

__all__ = ["PromptCounter", "PromptTokens"]


class PromptTokens:
    """Writes prompts for a model. One for embeddings needs no form, and has none. Each token of `ends` ends a reply."""

    def __init__(self, model: ModelFile, tokens: Tokens, prompt_format: str | None = None) -> None:
        self._tokens = tokens
        self._form = None if model.embeds and prompt_format is None else format_of(model, prompt_format)
        stops = () if self._form is None else map(tokens.special, self._form.stops)
        self.ends = tokens.ends.union(token for token in stops if token is not None)

    def form(self, request: dict[str, Any]) -> PromptFormat:
        """Give the form of a request's prompt. Raises `InvalidRequest` where the model does not chat."""
        if "prompt" in request:
            return FORMATS["plain"]
        if self._form is None:
            raise InvalidRequest("the model gives embeddings and does not chat; call embed", provider=PROVIDER)
        return self._form

    def of(self, request: dict[str, Any]) -> list[int]:
        """Give the tokens of a request's `messages` (role and text) or raw `prompt`. Raises `InvalidRequest`.

        What a reply has `begun` with stands behind them, as if the model had written it.
        """
        found: list[int] = []
        segments = self._segments(request)
        add_text(segments, request.get("begun", ""))
        for segment in segments:
            found += self._segment(segment)
        bos = self._tokens.bos
        if bos is not None and (not found or (self._tokens.add_bos and found[0] != bos)):
            found.insert(0, bos)
        if not found:
            raise InvalidRequest("the prompt is empty; send some text", provider=PROVIDER)
        return found

    def call_form(self, request: dict[str, Any]) -> CallForm:
        """Say how the model writes a call. Raises `InvalidRequest` where it knows none."""
        return self._with_tools(request).call_form()

    def _segments(self, request: dict[str, Any]) -> list[Segment]:
        turns = request.get("messages") or [["user", request.get("prompt", "")]]
        tools = request.get("tools", ())
        if tools or any(turn[0] == "tool" or len(turn) > 2 for turn in turns):  # noqa: PLR2004 - a role and a text
            return self._with_tools(request).write_with([ToolTurn(*turn) for turn in turns], tools)
        return self.form(request).write(checked_turns(turns))

    def _with_tools(self, request: dict[str, Any]) -> WritesCalls:
        tools = self.form(request).tools
        if tools is None:
            raise no_tools("its chat template knows none")
        return tools

    def _segment(self, segment: Segment) -> list[int]:
        if isinstance(segment, Mark):
            token = self._tokens.special(segment.text)
            if token is not None:
                return [token]
            segment = segment.text
        return self._tokens.spell(segment)


class PromptCounter:
    """Counts the tokens of prompts, with the vocabulary alone; see `LoadedModel`."""

    turn = 1

    def __init__(self, prompts: PromptTokens) -> None:
        self._prompts = prompts

    def steps(self, request: dict[str, Any], caller: Caller) -> Generator[int]:
        """Answer with a count, which nobody waits for."""
        caller.send({"count": len(self._prompts.of(request))})
        yield from ()

    def park(self) -> None:
        """See `LoadedModel`."""

    def resume(self, parked: Any) -> None:
        """See `LoadedModel`."""

    def drop(self, parked: Any) -> None:
        """See `LoadedModel`."""
