"""One request of an SDK, answered by the stack in the words of the SDK's own provider. It knows no HTTP library.

The wire is run backwards: the request's JSON becomes a call, and what the call gives becomes the bytes that the
provider's server would have sent.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inferkit.client.call import Call
from inferkit.client.embed_options import read_embed_options
from inferkit.core.errors import ConfigurationError, InferkitError, ProviderError
from inferkit.core.money import to_usd
from inferkit.integrations.addresses import wire_named
from inferkit.integrations.headers import options_in, told
from inferkit.integrations.schemas import take_schema
from inferkit.pricing.terms import refuse_always
from inferkit.providers.as_read import AS_READ, AsRead
from inferkit.providers.wires.payload import Malformed, parse
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.client.engine import Engine
    from inferkit.core.chunks import Chunk
    from inferkit.core.record import CallRecord
    from inferkit.core.request import Target
    from inferkit.integrations.addresses import Incoming
    from inferkit.integrations.servers import Servers
    from inferkit.providers.wires.protocol import TwoWayWire, Writer
    from inferkit.runtime.protocol import Runtime

__all__ = ["Answered", "Served", "refused"]

_USUAL_SECONDS = 600.0
_IDS = {"chat": "chatcmpl-", "responses": "resp_", "anthropic": "msg_", "gemini": ""}


@dataclass(slots=True)
class Answered:
    """What the SDK is given: `body` is None for a stream, which `Served.next` gives; `error` is what it tells of."""

    status: int
    headers: dict[str, str]
    body: bytes | None
    error: InferkitError | None = None


@dataclass(slots=True)
class _Asked:
    """A request, read: its `payload`, what of it is the call's, and what of its own wire's words others have said."""

    payload: dict[str, Any]
    model: str
    messages: Any
    stream: bool
    fields: dict[str, Any] = field(default_factory=dict)
    said: frozenset[str] = frozenset()


def refused(wire: TwoWayWire, error: InferkitError) -> Answered:
    """Give the answer that tells an error."""
    status, headers, body = wire.write_error(_as_said(error))
    return Answered(status, headers, body, error)


def _as_said(error: InferkitError) -> InferkitError:
    """Give an error with what the provider said of it as its text: whoever reads it had that from the provider before.

    Errors of inferkit's own do not quote it, since they get into logs.
    """
    if not isinstance(error, ProviderError) or not error.detail:
        return error
    said = copy(error)
    said.args = (error.detail,)
    return said


class Served:
    """One request on its way through the stack. Made in the caller's own context; answered once."""

    def __init__(self, engine: Engine, servers: Servers, incoming: Incoming, options: Mapping[str, Any]) -> None:
        self.wire = wire_named(incoming.address.wire)
        self.failure: InferkitError | None = None
        self._engine = engine
        self._incoming = incoming
        self._call: Call | None = None
        self._embedding: Any = None
        self._writer: Writer | None = None
        self._as_read = AsRead()
        self._over = False
        try:
            self._begin(servers, {**options, **options_in(incoming.said)})
        except InferkitError as error:
            self.failure = error

    def _begin(self, servers: Servers, options: dict[str, Any]) -> None:
        incoming = self._incoming
        self._asked = asked = _read(self.wire, incoming)
        if not self._engine.catalog.is_name(asked.model):
            target = servers.target(self.wire, incoming, asked.payload, asked.model)
            asked.fields["candidates"] = (target,)
        if incoming.address.operation == "embed":
            from inferkit.client.embedding import EmbeddingCall

            texts = [message.text for message in asked.messages]
            read_embed_options(options)
            self._embedding = EmbeddingCall(self._engine, asked.model, texts, options, asked.fields)  # type: ignore[arg-type]
            return
        if not asked.stream:
            _bound(options, incoming.timeout, self._engine.timeout)
            asked.fields["extensions"] = {AS_READ: self._as_read}
        self._call = Call(
            self._engine,
            asked.model,
            asked.messages,
            options,  # type: ignore[arg-type]  # it reads them
            stream=asked.stream,
            fields=asked.fields,
        )

    async def answer(self, runtime: Runtime) -> Answered:
        """Give the reply, or the beginning of a stream."""
        try:
            if self.failure is not None:
                raise self.failure
            if self._embedding is not None:
                return await self._vectors(runtime)
            return await self._reply(runtime)
        except InferkitError as error:
            self.failure = error
            return refused(self.wire, error)

    async def next(self) -> bytes | None:
        """Give the next piece of a stream, and None after its end.

        What ends it comes last, after the call was settled: some readers stop there.
        """
        assert self._call is not None
        assert self._writer is not None
        while not self._over:
            try:
                data = self._writer.write(await self._call.read_batch())
            except StopAsyncIteration:
                self._over = True
                return self._writer.end()
            except InferkitError as error:
                self._over = True
                self.failure = error
                return self.wire.write_failure(_as_said(error))
            if data:
                return data
        return None

    async def close(self, error: BaseException | None = None) -> None:
        """Leave a stream, wherever it is."""
        if self._call is not None:
            await self._call.close(error)

    async def _reply(self, runtime: Runtime) -> Answered:
        call, asked = self._call, self._asked
        assert call is not None
        if asked.stream:
            await call.open(runtime)
        else:
            await call.read(runtime)
        served = self._served_by(call.record)
        own = served is not None and getattr(served.adapter, "wire_name", None) == self._incoming.address.wire
        if not own:
            for name in asked.fields.get("extra", {}).get(self._incoming.address.wire, {}):
                if name not in asked.said:
                    call.record.leave_out(name)
        headers = told(call.record, call.response.headers if own else {})
        if asked.stream:
            self._writer = self._writing(call, own=own)
            return Answered(200, {**headers, "content-type": "text/event-stream; charset=utf-8"}, None)
        cost = call.record.cost_nanos
        if cost is not None:
            headers["x-inferkit-cost"] = f"{to_usd(cost):f}"
        body = _as_it_came(self.wire, served, call.chunks, self._as_read) if own else None
        if body is None:
            writer = self._writing(call, own=own)
            writer.write(call.chunks)
            body = writer.end()
        return Answered(200, {**headers, "content-type": "application/json"}, body)

    def _writing(self, call: Call, *, own: bool) -> Writer:
        """Make what writes the reply, under the names that the provider gave it where it speaks this wire."""
        response, record = call.response, call.record
        id_ = response.id if own else None
        return self.wire.writer(
            model=(response.model if own else None) or record.model,
            id=id_ or f"{_IDS[self._incoming.address.wire]}{record.id}",
            created=int(clock.time()),
            streamed=self._asked.stream,
            asked=self._asked.payload,
        )

    def _served_by(self, record: CallRecord) -> Target | None:
        found = [*self._asked.fields.get("candidates", ()), *_all_in(record.names)]
        return next((one for one in found if (one.provider, one.model) == (record.provider, record.model)), None)

    async def _vectors(self, runtime: Runtime) -> Answered:
        from inferkit.integrations.vectors import written

        embeddings = await self._embedding.run(runtime)
        headers = told(self._embedding.record, {})
        if embeddings.cost is not None:
            headers["x-inferkit-cost"] = f"{embeddings.cost:f}"
        body = written(self._incoming.address.wire, embeddings, self._asked.payload)
        return Answered(200, {**headers, "content-type": "application/json"}, body)


def _read(wire: TwoWayWire, incoming: Incoming) -> _Asked:
    """Read a request. Raises `ConfigurationError` for what is none."""
    address = incoming.address
    try:
        payload = parse(incoming.body)
    except Malformed as why:
        raise ConfigurationError(f"the body of the request cannot be read: {why}") from None
    if not isinstance(payload, dict):
        raise ConfigurationError("the body of the request is not an object")
    if address.operation == "embed":
        from inferkit.integrations.vectors import read

        fields = read(address.wire, payload)
    else:
        said = {name: address.said[name] for name in address.said if name != "stream"}
        fields = wire.read_request({**payload, **said} if said else payload)
    in_schema = take_schema(address.wire, payload, fields)
    fields.pop("operation", None)
    stream = fields.pop("stream", False)
    if fields.get("extra"):  # means something to servers that speak this wire, whoever else serves the call
        rules = getattr(wire, "cost_rules", None)
        if rules is not None:  # and what no call can ask for is no call's, whoever serves it
            refuse_always(fields["extra"], rules)
        fields["extra"] = {address.wire: fields["extra"]}
    streamed = bool(address.said.get("stream", stream))
    return _Asked(payload, fields.pop("model"), fields.pop("messages"), streamed, fields, in_schema)


def _bound(options: dict[str, Any], timeout: Mapping[str, float | None] | None, client: float | None) -> None:
    """Have a whole reply come within the SDK's own patience, which is for one read, and a whole reply is one.

    What SDKs have by themselves was nobody's choice, and is kept to by each attempt alone.
    """
    read = None if timeout is None else timeout.get("read")
    if read is not None and 0 < read < _USUAL_SECONDS and "timeout" not in options:
        options["timeout"] = read if client is None else min(read, client)


def _all_in(names: Any) -> list[Target]:
    return [target for targets in names.values() for target in targets] if names else []


def _as_it_came(wire: TwoWayWire, served: Target | None, chunks: list[Chunk], as_read: AsRead) -> bytes | None:
    """Give a whole reply as its provider sent it, where it means what is to be said: no layer has changed a word."""
    events = [chunk.event for chunk in chunks if chunk.event is not None]
    if served is None or len(events) != 1 or type(events[0]) is not bytes:
        return None
    if as_read.is_still(wire, chunks):
        return events[0]
    reader = wire.reader(served.adapter.endpoint, {"content-type": "application/json"}, streamed=False)  # type: ignore[attr-defined]
    again = [*reader.feed(events[0]), *reader.end()]
    return events[0] if reader.failure is None and again == chunks else None
