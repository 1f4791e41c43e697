"""Objects from models whose API takes no schema for the reply: what is asked for is a call of a tool that has it.

That a model is such a one is learned from its refusal. The arguments of the call are then told as the text of the
reply, so that nothing above knows of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inferkit.core.messages import Tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from inferkit.core.chunks import Chunk, ToolCallDelta
    from inferkit.core.errors import ProviderError
    from inferkit.core.request import Request
    from inferkit.providers.endpoints import Endpoint
    from inferkit.providers.wires.protocol import Reader

__all__ = ["AnswerReader", "ask_by_tool", "asks_by_tool", "learn"]

_STATUSES = {400, 422}
_MOST_LEARNED = 256
_NAMED = re.compile(
    rb"response[_ ]format|json_schema|output_config|output[_ ]format|structured[_ ]output|text\.format", re.IGNORECASE
)
_LACKING = re.compile(
    rb"n[o']t (?:support|available|permitted|allowed)|unsupported|unavailable|unknown|unrecogni[sz]ed|forbidden",
    re.IGNORECASE,
)
_OF_THIS_ONE = re.compile(rb"invalid schema|format\.schema|keyword", re.IGNORECASE)  # another might be taken
_NAME = "answer"
_WHAT_FOR = "Gives the answer. Call it once, with the whole answer."


def asks_by_tool(request: Request, endpoint: Endpoint) -> bool:
    """Say whether a request wants an object of a model that is known to take no schema for its reply."""
    return request.response_schema is not None and request.model in endpoint.schema_by_tool


def learn(request: Request, endpoint: Endpoint, status: int, body: bytes) -> Endpoint | None:
    """Give the endpoint as one whose model is asked by a tool, if its refusal says so; else None."""
    if request.response_schema is None or status not in _STATUSES or len(endpoint.schema_by_tool) >= _MOST_LEARNED:
        return None
    if not _NAMED.search(body) or not _LACKING.search(body) or _OF_THIS_ONE.search(body):
        return None
    return endpoint.with_schema_by_tool(request.model)


def ask_by_tool(request: Request) -> tuple[Request, str]:
    """Give the request with a tool in place of the schema, and that tool's name.

    A model that thinks first, or has other tools, cannot be held to that one.
    """
    name = _NAME
    while any(tool.name == name for tool in request.tools):
        name += "_"
    tool = Tool(name, _WHAT_FOR, request.response_schema or {})
    choice = request.tool_choice
    if _thinks(request):
        choice = None if choice == "none" else choice
    elif choice == "none" or not request.tools:
        choice = name
    elif choice in (None, "auto"):
        choice = "required"
    return request.replace(response_schema=None, tools=(*request.tools, tool), tool_choice=choice), name


def _thinks(request: Request) -> bool:
    return request.reasoning_effort not in (None, "none") or not {"thinking", "reasoning"}.isdisjoint(request.extra)


class AnswerReader:
    """A `Reader` that tells the arguments of one tool as text.

    What the model says beside them is told as reasoning, and at the end once more, as the text, where there are none.
    """

    __slots__ = ("_asked", "_index", "_name", "_nameless", "_reader", "_words")

    def __init__(self, reader: Reader, name: str) -> None:
        self._reader = reader
        self._name = name
        self._index: int | None = None  # of the call that is the answer
        self._nameless: list[ToolCallDelta] = []  # pieces of calls whose names have not come
        self._asked = set[int]()  # the other calls
        self._words: list[str] = []  # that may be the text, or not

    @property
    def failure(self) -> ProviderError | None:
        """See `Reader`."""
        return self._reader.failure

    @property
    def done(self) -> bool:
        """See `Reader`."""
        return self._reader.done

    @property
    def complete(self) -> bool:
        """See `Reader`."""
        return self._reader.complete

    @property
    def model(self) -> str | None:
        """See `Reader`."""
        return self._reader.model

    @property
    def id(self) -> str | None:
        """See `Reader`."""
        return self._reader.id

    def feed(self, data: bytes) -> list[Chunk]:
        """See `Reader`."""
        return [self._told(chunk) for chunk in self._reader.feed(data)]

    def end(self) -> list[Chunk]:
        """See `Reader`."""
        return [self._told(chunk) for chunk in self._reader.end()]

    def _told(self, chunk: Chunk) -> Chunk:
        answer: list[str] = []
        others = tuple(self._others(chunk.tool_calls, answer)) if chunk.tool_calls else ()
        reason = chunk.finish_reason
        if reason is not None:
            others += tuple(self._nameless)
            self._asked.update(call.index for call in self._nameless)
            self._nameless = []
        if chunk.text and self._index is None:
            self._words.append(chunk.text)
        if reason is not None and self._index is None:
            answer = self._words
        elif reason == "tool_calls" and not self._asked:
            reason = "stop"
        return chunk._replace(
            text="".join(answer), reasoning=chunk.reasoning + chunk.text, tool_calls=others, finish_reason=reason
        )

    def _others(self, calls: Iterable[ToolCallDelta], answer: list[str]) -> Iterator[ToolCallDelta]:
        """Go through the pieces that are no answer; what is one goes into `answer`."""
        for call in calls:
            if call.index in self._asked:
                yield call
            elif call.index == self._index:
                answer.append(call.arguments)
            elif not call.name:
                self._nameless.append(call)
            else:
                held = [each for each in self._nameless if each.index == call.index]
                self._nameless = [each for each in self._nameless if each.index != call.index]
                if call.name == self._name and self._index is None:
                    self._index = call.index
                    answer += [each.arguments for each in (*held, call)]
                else:
                    self._asked.add(call.index)
                    yield from (*held, call)
