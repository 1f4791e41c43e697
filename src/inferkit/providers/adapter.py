"""The handler at the end of the stack: a wire, an endpoint and a transport put together."""

from __future__ import annotations

import contextlib
from hashlib import blake2b
from typing import TYPE_CHECKING, cast

from inferkit.core.embeddings import BatchLimits
from inferkit.core.errors import ConfigurationError, DeadlineExceeded, Unavailable
from inferkit.core.request import WIRES, extra_for
from inferkit.core.response import Response
from inferkit.providers.as_read import AS_READ
from inferkit.providers.endpoints import Endpoint, EndpointNames
from inferkit.providers.errors import redact
from inferkit.providers.schema_by_tool import AnswerReader, ask_by_tool, asks_by_tool, learn
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.loops import current_runtime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.body import Batch
    from inferkit.core.errors import ProviderError
    from inferkit.core.request import Request
    from inferkit.pricing.terms import CostRules
    from inferkit.providers.http.transport import Exchange, Transport
    from inferkit.providers.wires.capabilities import Capabilities
    from inferkit.providers.wires.prefill import Prefill
    from inferkit.providers.wires.protocol import EmbeddingWire, Reader, Wire

__all__ = ["Adapter"]

_GRACE_SECONDS = 2.0
"""For what follows the end of a reply: its usage, and the end of the stream. Some servers only give signs of life."""

_REPLY_BYTES = 8 << 20
"""What a reply with vectors may come to: it is read at once, and others wait meanwhile."""

_LIKELY_DIMENSIONS = 4096
_BASE64_BYTES, _NUMBER_BYTES, _AROUND_BYTES = 16 / 3, 22, 100  # of a number in a vector, in either form; around it

_LATE_SECONDS, _LATE_BYTES = 1.0, 1 << 20  # for what had come of a reply that its reader left


class Adapter:
    """Answers requests: writes them in the wire's form, sends them to the endpoint, and reads what comes back.

    `cost_rules` is what the wire declares of its fields, and the endpoint of its own; None where it declares nothing.
    `price_region` names the region that it serves all models from, where a list of prices may have one for that.

    A call raises `ConfigurationError` before anything is sent where the key is missing or the request cannot be
    written, and otherwise the kinds of `ProviderError`, or `DeadlineExceeded`.
    """

    is_shared = True
    """Whether what is known of it holds in other processes, too: there is one server, for all with the same key."""

    def __init__(self, wire: Wire, endpoint: Endpoint, transport: Transport) -> None:
        self.wire = wire
        self.endpoint = endpoint
        self.transport = transport
        self.name, self._names = endpoint.name, EndpointNames()
        self.price_region: str | None = None
        self.wire_name: str | None = getattr(wire, "name", None)
        rules: CostRules | None = getattr(wire, "cost_rules", None)
        self.cost_rules = rules if rules is None or not endpoint.free_fields else rules.and_free(endpoint.free_fields)
        self._headers: tuple[str | None, Mapping[str, str]] | None = None
        self._fingerprint: tuple[str | None, str] | None = None
        self._capabilities: tuple[Endpoint, Capabilities | None] | None = None

    def __repr__(self) -> str:
        """Name the server, without its credential."""
        return f"{type(self).__name__}(name={self.name!r}, base_url={self.endpoint.base_url!r})"

    @property
    def fingerprint(self) -> str:
        """What tells this adapter's replies from another's: provider, URL, and a one-way hash of the credentials.

        Made anew when the key changes, which is read from where it is each time.
        """
        key = self.endpoint.credential.read()
        known = self._fingerprint
        if known is None or known[0] != key:
            known = self._fingerprint = (key, self.endpoint.fingerprint_with(key))
        return known[1]

    @property
    def operations(self) -> tuple[str, ...]:
        """What can be asked of it beside chat."""
        return ("embed",) if self.endpoint.embeddings is not None and hasattr(self.wire, "embeddings") else ()

    async def __call__(self, request: Request) -> Response:
        """Send the request; see `Handler`. What the first read brought is known when this returns.

        What the server refused and can do without is left out from then on, and the request is sent once more.
        """
        wire, runtime, endpoint = self.wire, request.runtime, self._names.find(self.endpoint, request.provider)
        name, headers = endpoint.name, self._headers_now(endpoint)
        if request.operation == "embed":
            wire, endpoint = self._for_embeddings(request, endpoint)
        if request.extra:
            request = self._own_extra(request)
        tried = [endpoint]
        while True:
            endpoint = tried[-1]
            asked, answer = ask_by_tool(request) if asks_by_tool(request, endpoint) else (request, None)
            body = wire.write_request(asked, endpoint)
            url = endpoint.url(wire.path(request), request.model)
            if (again := endpoint.idempotency_header) is not None:
                headers = {**headers, again: _chain(request, body)}
            exchange = await self.transport.post(
                url, headers, body, provider=name, runtime=runtime, deadline=request.deadline
            )
            try:
                if 200 <= exchange.status < 300:  # noqa: PLR2004 - HTTP
                    reader: Reader = wire.reader(endpoint, exchange.headers, streamed=request.stream)
                    if answer is not None:
                        reader = AnswerReader(reader, answer)
                    reply = _Receiving(exchange, reader, self)
                    await reply.begin()
                    if (kept := request.extensions.get(AS_READ)) is not None:
                        kept.keep(wire, reader, reply.ready)
                    break
                tried.append(await self._lighter(wire, exchange, request, tried))
            except BaseException:
                await runtime.conclude(lambda _: exchange.aclose())  # noqa: B023 - before another one is made
                raise
        if len(tried) > 1:
            embeds = request.operation == "embed"
            self.endpoint = self.endpoint.with_embeddings(endpoint.quirks) if embeds else endpoint.named(self.name)
        return Response(reply, runtime=runtime, model=reader.model, id=reader.id, headers=exchange.headers)

    def _for_embeddings(self, request: Request, endpoint: Endpoint) -> tuple[Wire, Endpoint]:
        if not self.operations:
            raise ConfigurationError(f"{endpoint.name} gives no embeddings; name a model of a server that does")
        return cast("EmbeddingWire", self.wire).embeddings(request), endpoint.for_embeddings()

    def embedding_cost_rules(self, request: Request) -> CostRules | None:
        """Give what is declared of the fields of a request for embeddings."""
        rules: CostRules | None = getattr(self._for_embeddings(request, self.endpoint)[0], "cost_rules", None)
        return rules and rules.and_free(self.endpoint.free_fields)

    def batch_limits(self, dimensions: int | None) -> BatchLimits:
        """Give what one request for embeddings may hold; its reply stays within some megabytes, which are read at once.

        `dimensions` is how many numbers a vector is to have, where that is known.
        """
        quirks = self.endpoint.embeddings
        if quirks is None:
            return BatchLimits()
        size = (dimensions or _LIKELY_DIMENSIONS) * (_BASE64_BYTES if quirks.base64 else _NUMBER_BYTES) + _AROUND_BYTES
        room = max(1, int(_REPLY_BYTES / size))
        return BatchLimits(room if quirks.max_inputs is None else min(room, quirks.max_inputs), quirks.max_tokens)

    def _own_extra(self, request: Request) -> Request:
        """Give the request with the fields that are for this wire; those meant for another are named on the record."""
        own = extra_for(request, self)
        if own is request.extra:
            return request
        for name in request.extra:
            if name not in own and name not in WIRES:
                request.record.leave_out(name)
        return request.replace(extra=own)

    @property
    def capabilities(self) -> Capabilities | None:
        """What the endpoint's API can do; None where its wire does not say."""
        known = self._capabilities
        if known is None or known[0] is not self.endpoint:
            tell = getattr(self.wire, "capabilities", None)
            told = tell and tell(self.endpoint.quirks or getattr(self.wire, "plain", None))
            known = self._capabilities = (self.endpoint, told)
        return known[1]

    @property
    def prefill(self) -> Prefill | None:
        """How the endpoint is asked to go on with a message of the assistant's; None where it does not."""
        ways: Prefill | None = getattr(self.endpoint.quirks or getattr(self.wire, "plain", None), "prefill", None)
        return ways

    def preload(self) -> None:
        """Make ready for a first call, without opening a connection."""
        if hasattr(self.transport, "preload"):
            self.transport.preload(self.endpoint.base_url)

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self.transport.aclose(current_runtime())

    def close(self) -> None:
        """Close the connections of blocking calls."""
        drive(self.transport.aclose(DirectRuntime()))

    async def _lighter(self, wire: Wire, exchange: Exchange, request: Request, tried: list[Endpoint]) -> Endpoint:
        """Give the endpoint as one that is asked for less, or raise what its refusal means."""
        said = await exchange.read_error()
        lighten = getattr(wire, "lighten", None)
        lighter: Endpoint | None = lighten and lighten(request, tried[-1], exchange.status, said)
        if lighter is None or lighter in tried:
            lighter = learn(request, tried[-1], exchange.status, said)
        if lighter is None or lighter in tried:
            raise self.redact(wire.read_error(tried[-1].name, exchange.status, exchange.headers, said))
        return lighter

    def redact(self, error: ProviderError) -> ProviderError:
        """Take what was sent and is secret out of an error that a server made."""
        key = self._headers[0] if self._headers is not None else None
        return redact(error, self.endpoint.secrets_with(key))

    def _headers_now(self, endpoint: Endpoint) -> Mapping[str, str]:
        key = self.endpoint.credential.read()
        known = self._headers
        if known is None or known[0] != key:
            known = self._headers = (key, endpoint.headers_with(key))
        return known[1]


def _chain(request: Request, body: bytes) -> str:
    """Give what a request and its retries have in common, and no other request: a hedge is to be answered itself."""
    key = f"{request.record.id} {request.attempt_kind == 'hedge'} ".encode()
    return blake2b(body, digest_size=16, key=key[:64]).hexdigest()


class _Receiving:
    """A reply as it comes: what each read of the exchange brought, and after that what went wrong."""

    __slots__ = ("_adapter", "_closed", "_ending", "_exchange", "_over", "_reading", "reader", "ready")

    def __init__(self, exchange: Exchange, reader: Reader, adapter: Adapter) -> None:
        self.reader = reader
        self._adapter = adapter
        self._exchange = exchange
        self.ready: Batch = []
        self._over = False
        self._reading = False  # and still so where a read failed
        self._ending = False
        self._closed = False

    async def begin(self) -> None:
        """Wait for the first chunks, or the end."""
        while not self.ready and not self._over:
            await self._receive()

    async def __anext__(self) -> Batch:
        while not self.ready:
            if self._over:
                if not self._closed:
                    await self._exchange.finish()
                    self._closed = True
                raise StopAsyncIteration
            await self._receive()
        ready, self.ready = self.ready, []
        return ready

    async def aclose(self) -> Batch:
        """Close the connection, whatever waits for it; give what had been received, and nobody read."""
        late, self.ready = self.ready, []
        if not (self._closed or self._reading or self._over):
            await self._read_late(late)
        await self._close()
        return late

    async def _close(self) -> None:
        if not self._closed:
            await self._exchange.aclose()
            self._closed = True

    async def _read_late(self, late: Batch) -> None:
        """Read what has come, and waits in the buffers of this machine: the server has written it, and bills it."""
        reader, exchange, size = self.reader, self._exchange, 0
        exchange.end_within(_LATE_SECONDS)
        with contextlib.suppress(Exception):  # it is cut where no whole event has come, or broken
            while size < _LATE_BYTES and not (reader.done or reader.failure) and exchange.holds_more():
                size += len(data := await exchange.read())
                if not data:
                    break
                late += reader.feed(data)

    async def _receive(self) -> None:
        reader = self.reader
        if reader.failure is not None:
            raise self._adapter.redact(reader.failure)
        if reader.complete and not self._ending:
            self._ending = True
            self._exchange.end_within(_GRACE_SECONDS)
        self._reading = True
        try:
            data = await self._exchange.read()
        except (Unavailable, DeadlineExceeded):
            if not reader.complete:
                raise
            data = b""  # it broke, or went on and on, between the reply's end and the stream's
        self._reading = False
        if data:
            self.ready = reader.feed(data)
        else:
            self.ready = reader.end()
            await self._close()
        self._over = reader.done
