"""What goes into a call: messages and their parts, and the tools that the model may ask for.

Every part, and a message as a whole, may have an `extra`: what only one provider understands (a cache marker, a thought
signature), under that provider's own names. It is sent back as it stands, and nothing else here looks into it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "AudioPart",
    "CustomTool",
    "FilePart",
    "ImagePart",
    "Message",
    "Messages",
    "OpaquePart",
    "Part",
    "ReasoningPart",
    "RefusalPart",
    "Role",
    "TextPart",
    "Tool",
    "ToolCallPart",
    "ToolResultPart",
]

Role = Literal["system", "user", "assistant", "tool"]
_ROLES = ("system", "user", "assistant", "tool")

Extra: TypeAlias = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class TextPart:
    """Plain text."""

    text: str = field(repr=False)
    extra: Extra = field(default=None, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image: `url` (an https or data URL), or `data` with its `media_type`; `detail` is how closely to look."""

    url: str | None = field(default=None, repr=False)
    data: bytes | None = field(default=None, repr=False)
    media_type: str | None = None
    detail: str | None = None
    extra: Extra = field(default=None, repr=False, hash=False)

    def __post_init__(self) -> None:
        if (self.url is None) == (self.data is None):
            raise ConfigurationError("an ImagePart needs either url= or data=, not both and not neither")
        if self.data is not None and self.media_type is None:
            raise ConfigurationError('an ImagePart with data= needs media_type=, for example "image/png"')


@dataclass(frozen=True, slots=True)
class AudioPart:
    """Sound: `data` and its `media_type`, for example "audio/wav"."""

    data: bytes = field(repr=False)
    media_type: str
    extra: Extra = field(default=None, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class FilePart:
    """A document: `data` with its `media_type`, a `url`, or the `file_id` of one that was uploaded before.

    `filename` is what the model is told that it is called.
    """

    data: bytes | None = field(default=None, repr=False)
    media_type: str | None = None
    filename: str | None = field(default=None, repr=False)
    url: str | None = field(default=None, repr=False)
    file_id: str | None = field(default=None, repr=False)
    extra: Extra = field(default=None, repr=False, hash=False)

    def __post_init__(self) -> None:
        if sum(source is not None for source in (self.data, self.url, self.file_id)) != 1:
            raise ConfigurationError("a FilePart needs exactly one of data=, url= and file_id=")
        if self.data is not None and self.media_type is None:
            raise ConfigurationError('a FilePart with data= needs media_type=, for example "application/pdf"')


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """The model asks for a tool to be run. `arguments` is JSON text as the model wrote it.

    `kind` is "function", or "custom" for the call of a `CustomTool`, whose `arguments` are plain text. `values` are the
    arguments as data, for calls in `Reply.tool_calls`; `read` is what makes them.
    """

    id: str
    name: str
    arguments: str = field(repr=False)
    extra: Extra = field(default=None, repr=False, hash=False)
    kind: str = "function"
    read: Callable[[str], Any] | None = field(default=None, repr=False, compare=False)

    @property
    def values(self) -> Any:
        """The arguments, read when asked for: where a function was passed as the tool, validated and in its own types.

        By name, but for a call of a `CustomTool`, whose text they are. Raises `InvalidReply` for what does not fit.
        """
        return self.arguments if self.read is None else self.read(self.arguments)


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """What a tool returned, for the call with the same `id`."""

    id: str
    content: str = field(repr=False)
    is_error: bool = False
    extra: Extra = field(default=None, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """The model's own reasoning, kept so that it can be sent back; `signature` is the provider's seal on it."""

    text: str = field(repr=False)
    signature: str | None = field(default=None, repr=False)
    extra: Extra = field(default=None, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class RefusalPart:
    """The model's words for why it does not answer."""

    text: str = field(repr=False)
    extra: Extra = field(default=None, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class OpaquePart:
    """Something of a reply that has no part of its own here. `kind` is the provider's name for it.

    `wire` is the one that it came over; another one leaves it out.
    """

    kind: str
    value: Any = field(repr=False, hash=False)
    wire: str = "chat"


Part: TypeAlias = (
    TextPart
    | ImagePart
    | AudioPart
    | FilePart
    | ToolCallPart
    | ToolResultPart
    | ReasoningPart
    | RefusalPart
    | OpaquePart
)
PARTS = get_args(Part)
_KINDS = frozenset(PARTS)


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """One turn of a conversation: a role and its parts."""

    role: Role
    parts: tuple[Part, ...]
    extra: Extra = field(default=None, repr=False, hash=False)

    def __post_init__(self) -> None:
        if self.role not in _ROLES:
            raise ConfigurationError(f"a message's role is one of {', '.join(_ROLES)}; got {self.role!r}")
        known = isinstance(self.parts, tuple) and _KINDS.issuperset(map(type, self.parts))  # as on every call's way
        if not known and not (isinstance(self.parts, tuple) and all(isinstance(part, PARTS) for part in self.parts)):
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
"""What a caller may pass: a question, a message, or a conversation; also as a provider's dictionaries."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for. `parameters` is a JSON schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None
    extra: Extra = field(default=None, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class CustomTool:
    """A tool that is called with plain text rather than JSON, where the provider has such.

    `grammar` says which texts it takes, written in `syntax` ("lark" or "regex"); without one it takes any.
    """

    name: str
    description: str = ""
    grammar: str | None = field(default=None, repr=False)
    syntax: str = "lark"
    extra: Extra = field(default=None, repr=False, hash=False)
