"""The values that travel through the stack: a request going in, chunks coming out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from inferkit._errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Self

    from inferkit._catalog import Target
    from inferkit._record import AttemptKind, CallRecord
    from inferkit._response import Response
    from inferkit._runtime import Runtime

__all__ = [
    "Chunk",
    "Handler",
    "ImagePart",
    "Key",
    "Layer",
    "Message",
    "Messages",
    "Part",
    "ReasoningPart",
    "Request",
    "Role",
    "TextPart",
    "Tool",
    "ToolCallDelta",
    "ToolCallPart",
    "ToolResultPart",
    "Usage",
]

Role = Literal["system", "user", "assistant", "tool"]
_ROLES = ("system", "user", "assistant", "tool")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TextPart:
    """Plain text."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image: `url` (an https or data URL), or `data` with its `media_type`."""

    url: str | None = field(default=None, repr=False)
    data: bytes | None = field(default=None, repr=False)
    media_type: str | None = None

    def __post_init__(self) -> None:
        if (self.url is None) == (self.data is None):
            raise ConfigurationError("an ImagePart needs either url= or data=, not both and not neither")
        if self.data is not None and self.media_type is None:
            raise ConfigurationError('an ImagePart with data= needs media_type=, for example "image/png"')


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """The model asks for a tool to be run. `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """What a tool returned, for the call with the same `id`."""

    id: str
    content: str = field(repr=False)
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """The model's own reasoning, kept so that it can be sent back; `signature` is the provider's seal on it."""

    text: str = field(repr=False)
    signature: str | None = field(default=None, repr=False)


Part: TypeAlias = TextPart | ImagePart | ToolCallPart | ToolResultPart | ReasoningPart
_PARTS = (TextPart, ImagePart, ToolCallPart, ToolResultPart, ReasoningPart)


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """One turn of a conversation: a role and its parts."""

    role: Role
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if self.role not in _ROLES:
            raise ConfigurationError(f"a message's role is one of {', '.join(_ROLES)}; got {self.role!r}")
        if not isinstance(self.parts, tuple) or not all(isinstance(part, _PARTS) for part in self.parts):
            raise ConfigurationError(
                'a message\'s parts are a tuple of parts; for a text, use Message.user("...") or Message.system("...")'
            )

    def __repr__(self) -> str:
        """Say what kind of message it is, and nothing of what is in it."""
        kinds = ", ".join(type(part).__name__ for part in self.parts)
        return f"Message(role={self.role!r}, parts=[{kinds}])"

    @property
    def text(self) -> str:
        """All text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @classmethod
    def system(cls, text: str) -> Self:
        """Make a system message."""
        return cls("system", (TextPart(text),))

    @classmethod
    def user(cls, *content: str | Part) -> Self:
        """Make a user message of text and other parts."""
        return cls("user", tuple(TextPart(part) if isinstance(part, str) else part for part in content))

    @classmethod
    def assistant(cls, *content: str | Part) -> Self:
        """Make an assistant message, for example to continue a conversation."""
        return cls("assistant", tuple(TextPart(part) if isinstance(part, str) else part for part in content))

    @classmethod
    def tool(cls, id: str, content: str, *, is_error: bool = False) -> Self:  # noqa: A002 - the field's name
        """Make the message that answers a tool call."""
        return cls("tool", (ToolResultPart(id, content, is_error),))


Messages: TypeAlias = str | Message | Mapping[str, Any] | Sequence[Message | Mapping[str, Any]]
"""What a caller may pass: a question, a message, or a conversation; dictionaries in the OpenAI form work too."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for. `parameters` is a JSON schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt or one call.

    `input_tokens` includes cached ones, `output_tokens` includes reasoning, whatever the provider's own way of
    counting. `estimated` is true where the provider reported nothing and the count is inferkit's own: an upper bound,
    unless the client learns its estimates.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        """Add the tokens of another attempt."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.estimated or other.estimated,
        )

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call. The first piece of an `index` carries `id` and `name`; `arguments` pieces join up."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = field(default="", repr=False)


class Chunk(NamedTuple):
    """A piece of a reply, as it comes. A named tuple, because one is made for every token.

    `finish_reason` (an open set: "stop", "length", "tool_calls", "content_filter", "budget", ...) and `usage` come
    with the last pieces. `raw` is the provider's own event, for what the other fields do not carry.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    raw: Any = None

    def __repr__(self) -> str:
        """Say what the chunk carries, not its words."""
        return f"Chunk({len(self.text)} characters, finish_reason={self.finish_reason!r}, usage={self.usage!r})"


class Key(Generic[T]):
    """A typed key of `Request.extensions`: a layer's own data, out of everybody else's way."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Key({self.name!r})"

    def get(self, request: Request) -> T | None:
        """Read this key's value from a request, or None."""
        return request.extensions.get(self)

    def on(self, request: Request, value: T) -> Request:
        """Return the request with this key set."""
        return request.replace(extensions={**request.extensions, self: value})


class Handler(Protocol):
    """Whatever answers a request: a provider adapter, or the rest of the stack as a layer sees it."""

    def __call__(self, request: Request, /) -> Awaitable[Response]: ...


Layer: TypeAlias = Callable[["Request", Handler], Awaitable["Response"]]


@dataclass(frozen=True, kw_only=True, repr=False)
class Request:
    """One model call, as it travels through the stack. Layers change it with `replace`.

    `model` is the name the caller used; below the retry layer it is the provider's own name for it, with `provider`
    and `target` set. `deadline` is an instant of `runtime.now()` in seconds, `scopes` the budgets that pay, `tenant`
    the boundary that no cached reply crosses, `feature` what the call is for, `plan` the user's plan where the caller
    says which, `attempt` the number of the attempt (from 1; 0 before the first), `span` the call's span.
    """

    model: str
    messages: tuple[Message, ...]
    runtime: Runtime
    record: CallRecord
    stream: bool = False
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    response_schema: Mapping[str, Any] | None = None
    reasoning_effort: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    provider: str | None = None
    candidates: tuple[Target, ...] = ()
    target: Target | None = None
    scopes: tuple[Any, ...] = ()
    user: str | None = None
    tenant: str | None = None
    feature: str | None = None
    plan: str | None = None
    deadline: float | None = None
    attempt: int = 0
    attempt_kind: AttemptKind = "primary"
    span: Any = None
    extensions: Mapping[Any, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Name the call without its contents."""
        return f"Request(model={self.model!r}, messages={len(self.messages)}, id={self.record.id!r})"

    def replace(self, **changes: Any) -> Request:
        """Return a copy with some fields changed."""
        if not changes.keys() <= _REQUEST_FIELDS:
            unknown = ", ".join(sorted(changes.keys() - _REQUEST_FIELDS))
            raise TypeError(f"a Request has no field {unknown}; a layer's own data goes into extensions")
        new: Request = object.__new__(Request)
        new.__dict__.update(self.__dict__)  # several times faster than dataclasses.replace, on every call's way
        new.__dict__.update(changes)
        return new


_REQUEST_FIELDS = frozenset(Request.__dataclass_fields__)
