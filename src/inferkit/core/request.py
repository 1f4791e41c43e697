"""One call as it travels through the stack, and the shape of whatever answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from inferkit.core.attempt import AttemptKind
    from inferkit.core.messages import CustomTool, Message, Tool
    from inferkit.core.record import CallRecord
    from inferkit.core.response import Response
    from inferkit.runtime.protocol import Runtime

__all__ = [
    "MOST_OUTPUT_TOKENS", "WIRES", "Handler", "Key", "Layer", "Operation", "Request", "Target", "extra_for", "sent_to",
    "served_by",
]  # fmt: skip

T = TypeVar("T")
Operation = Literal["chat", "embed"]
WIRES = frozenset({"anthropic", "chat", "gemini", "responses"})
"""The names of the wires that the library speaks."""
MOST_OUTPUT_TOKENS = 2**31 - 1
"""What APIs take as the length of a reply, and what times a price is a number that a ledger holds."""


@dataclass(frozen=True, slots=True)
class Target:
    """One model of one provider, and the adapter that reaches it. `name` is the `provider:model` form.

    An adapter's `fingerprint`, if it has one, tells its server and its credentials (as a one-way print) from others.
    `price` is the model's `Price`, where whoever resolved the name looked it up; None says nothing.
    """

    provider: str
    model: str
    adapter: Handler
    price: Any = field(default=None, repr=False, compare=False)
    name: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.provider}:{self.model}" if self.model else self.provider)


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

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        """Answer the request."""


Layer: TypeAlias = Callable[["Request", Handler], Awaitable["Response"]]


@dataclass(frozen=True, kw_only=True, repr=False)
class Request:
    """One model call, as it travels through the stack. Layers change it with `replace`.

    `model` is the name the caller used; below the retry layer it is the provider's own name for it, with `provider`
    and `target` set. `operation` is what is asked of it: a reply ("chat"), or a vector for each message ("embed"), of
    so many `dimensions` and for a `task`, where these are given. `candidates` are the targets that the name stands for,
    best first; empty until somebody resolves it (see `layers.resolve`). `deadline` is an instant of `runtime.now()` in
    seconds, `scopes` the budgets that pay, `tenant` the boundary that no cached reply crosses, `feature` what the call
    is for, `plan` the user's plan where the caller says which, `attempt` the number of the attempt (from 1; 0 before
    the first), `span` the call's span. `others_left` says that another candidate would be asked at once if this one
    were not.
    """

    model: str
    messages: tuple[Message, ...]
    runtime: Runtime
    record: CallRecord
    operation: Operation = "chat"
    stream: bool = False
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool | CustomTool, ...] = ()
    tool_choice: str | None = None
    response_schema: Mapping[str, Any] | None = None
    grammar: str | None = None
    reasoning_effort: str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    prediction: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    dimensions: int | None = None
    task: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    provider: str | None = None
    candidates: tuple[Target, ...] = ()
    target: Target | None = None
    scopes: tuple[Any, ...] = ()
    user: str | None = None
    tenant: str | None = None
    feature: str | None = None
    plan: str | None = None
    priority: int = 0
    deadline: float | None = None
    attempt: int = 0
    attempt_kind: AttemptKind = "primary"
    others_left: bool = False
    span: Any = None
    extensions: Mapping[Any, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Name the call without its contents."""
        return f"Request(model={self.model!r}, messages={len(self.messages)}, id={self.record.id!r})"

    @property
    def kind(self) -> AttemptKind:
        """What kind of attempt this is: as the retry layer says, or a hedge where another of the call is running.

        What follows on a reply is none, be it that a hedge of the call has not ended yet.
        """
        return "hedge" if self.record.running and self.attempt_kind in _HEDGES else self.attempt_kind

    def replace(self, **changes: Any) -> Request:
        """Return a copy with some fields changed. Another `model` leaves no `candidates`, unless they come with it."""
        if not _REQUEST_FIELDS.issuperset(changes):
            unknown = ", ".join(sorted(changes.keys() - _REQUEST_FIELDS))
            raise TypeError(f"a Request has no field {unknown}; a layer's own data goes into extensions")
        if "model" in changes:
            changes.setdefault("candidates", ())  # those it has stand for the other name
        new: Request = object.__new__(Request)
        object.__setattr__(new, "__dict__", self.__dict__ | changes)  # several times faster than dataclasses.replace
        return new


def extra_for(request: Request, adapter: Any) -> Mapping[str, Any]:
    """Give what of `request.extra` is for an adapter's wire.

    Fields are for the wire of the first candidate, which the caller had in mind; those under the name of a wire
    ("anthropic", "chat", "gemini", "responses") are for that one, wherever its models stand among the candidates. An
    adapter without such a name is given everything.
    """
    extra = request.extra
    wire: str | None = getattr(adapter, "wire_name", None)
    if not extra or wire is None:
        return extra
    candidates = request.candidates
    meant = getattr(candidates[0].adapter, "wire_name", None) if candidates else wire
    if meant == wire and WIRES.isdisjoint(extra):
        return extra
    own = extra.get(wire)
    fields = {name: value for name, value in extra.items() if name not in WIRES} if meant == wire else {}
    return {**fields, **own} if isinstance(own, Mapping) else fields


def sent_to(request: Request, candidates: Sequence[Target], **changes: Any) -> Request:
    """Give a request for some of its candidates; `extra` was for the first one, which need not be among them."""
    extra = extra_for(request, candidates[0].adapter)
    return request.replace(candidates=tuple(candidates), **{"extra": extra, **changes})


def served_by(request: Request) -> list[Target]:
    """Give the candidate that answers the call, as its record says; nothing where none has yet."""
    served = request.record.provider, request.record.model
    return [one for one in request.candidates if (one.provider, one.model) == served][:1]


_HEDGES = ("primary", "retry", "fallback")
_REQUEST_FIELDS = frozenset(Request.__dataclass_fields__)
