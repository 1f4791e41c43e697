"""What a wire is: one provider API's form of requests, replies, usage and errors, read and written.

Pure, and both ways: bytes go in and values come out, or values go in and bytes come out. No HTTP, no event loop. So
recordings test a wire, and the same one serves below an adapter and behind somebody else's SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inferkit.core.chunks import Chunk
    from inferkit.core.errors import InferkitError, ProviderError
    from inferkit.core.messages import Message
    from inferkit.core.request import Request
    from inferkit.core.usage import Usage
    from inferkit.providers.endpoints import Endpoint

__all__ = ["EmbeddingWire", "Events", "Lightening", "Reader", "TwoWayWire", "Wire", "Writer"]


class Reader(Protocol):
    """Reads one reply as its bytes come, however they are cut, streamed or whole.

    `failure` is what ended the reply, to be raised after the chunks that came before it. `done` says that nothing more
    is wanted, `complete` that whatever breaks from here on does no harm. `model` and `id` are what the provider said,
    known with the first chunk.
    """

    @property
    def failure(self) -> ProviderError | None:
        """What ended the reply before its end."""

    @property
    def done(self) -> bool:
        """Whether nothing more is wanted."""

    @property
    def model(self) -> str | None:
        """The model, as the provider names it."""

    @property
    def id(self) -> str | None:
        """The provider's name for the reply."""

    @property
    def complete(self) -> bool:
        """Whether the reply itself has ended, and only the end of its bytes is missing."""

    def feed(self, data: bytes) -> list[Chunk]:
        """Take the next bytes; give the chunks that end in them."""

    def end(self) -> list[Chunk]:
        """Say that there are no more bytes; give what they completed. What was cut off is a `failure`."""


class Events(Protocol):
    """Reads the events of one reply, or the one object of a whole one: objects in, chunks out.

    `finished` says that the reply itself has ended, `done` that nothing more is wanted, `light` that the last event
    brought words, and nothing that is gathered. `model` and `id` are what the provider said.
    """

    finished: bool
    done: bool
    light: bool
    model: str | None
    id: str | None

    def read(self, event: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        """Read one event; `raw` is what the chunk keeps of it.

        Raises `Malformed` if it cannot be one of this wire's, and `BrokenReplyError` if it says that the reply broke.
        """

    def read_whole(self, content: Any, into: list[Chunk], raw: Any) -> None:
        """Read a reply that is one object. Raises as `read`, and `Malformed` also if there is no reply in it."""

    def rest(self, into: list[Chunk]) -> None:
        """Tell what was gathered and not told, at the reply's end."""


class Writer(Protocol):
    """Writes one reply, streamed or whole."""

    def write(self, chunks: Iterable[Chunk]) -> bytes:
        """Give the bytes that can be sent for these chunks; none before the end of a whole reply."""

    def end(self) -> bytes:
        """Give the bytes that end the reply."""


class Wire(Protocol):
    """One API's codec, as far as an adapter needs it.

    It may have a `name`: `extra={name: {...}}` is then for it alone.
    It may have `capabilities`, a function of the endpoint's quirks that gives `Capabilities`.
    It may have `cost_rules`, a `CostRules`, which says what becomes of each field that `extra=` can set. Without it a
    budget of money or tokens refuses every call with an `extra=`.
    """

    def path(self, request: Request) -> str:
        """Say where under an endpoint's base URL a request goes."""

    def write_request(self, request: Request, endpoint: Endpoint) -> bytes:
        """Write a request for an endpoint. Raises `ConfigurationError` for what this wire cannot carry."""

    def reader(self, endpoint: Endpoint, headers: Mapping[str, str], *, streamed: bool) -> Reader:
        """Make what reads a reply of an endpoint that came with `headers`, and was asked for as a stream or not."""

    def read_error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Say what a refusal means."""


class Lightening(Protocol):
    """What a wire may have besides: it learns from a refusal what a server can do without."""

    def lighten(self, request: Request, endpoint: Endpoint, status: int, body: bytes) -> Endpoint | None:
        """Give the endpoint as one that takes less, where `body` refuses what was sent and can be left out, or None."""


class EmbeddingWire(Protocol):
    """What a wire may have besides: its API's form of requests for embeddings, which is not that of chat."""

    def embeddings(self, request: Request) -> Wire:
        """Make what writes one request, and reads its reply: a chunk with a `VectorPart` for each message."""


class TwoWayWire(Wire, Protocol):
    """A codec that can also be spoken to: the wire run backwards."""

    def read_request(self, payload: Any) -> dict[str, Any]:
        """Read a request's JSON into fields of a `Request`. Raises `ConfigurationError` where it is none."""

    def read_message(self, given: Mapping[str, Any], place: int) -> Message:
        """Read one message in the wire's form, the one at `place`. Raises `ConfigurationError` with what is wrong."""

    def writer(
        self,
        *,
        model: str,
        id: str,  # noqa: A002 - the wires' name
        created: int,
        streamed: bool,
        asked: Mapping[str, Any] | None = None,
    ) -> Writer:
        """Make what writes a reply; `created` is in seconds since the epoch.

        `asked` is the JSON of the request that it is for, which says on some wires what the reply is to hold, and parts
        of which others repeat. Without it, the reply holds all that there is to say.
        """

    def read_usage(self, counts: Any) -> Usage | None:
        """Read an object that counts tokens; None where it counts nothing."""

    def write_usage(self, usage: Usage) -> dict[str, Any]:
        """Write what `read_usage` reads."""

    def write_error(self, error: InferkitError) -> tuple[int, dict[str, str], bytes]:
        """Write an error as a status, headers and a body."""

    def write_failure(self, error: InferkitError) -> bytes:
        """Write the event that ends a stream which broke, in place of its end."""
