"""The servers that SDKs were pointed to, as adapters: who asks for a model by its own name is served by them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary, ref

from inferkit.providers.adapter import Adapter
from inferkit.providers.embedding_quirks import EmbeddingQuirks
from inferkit.providers.endpoints import Credential, Endpoint
from inferkit.providers.http.choosing import make_transport
from inferkit.providers.http.transport import Timeouts
from inferkit.providers.presets import PRESETS
from inferkit.providers.wires.anthropic.quirks import AnthropicQuirks
from inferkit.providers.wires.chat.quirks import ChatQuirks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.client.engine import Engine
    from inferkit.core.request import Target
    from inferkit.integrations.addresses import Address, Incoming
    from inferkit.providers.http.transport import Transport
    from inferkit.providers.wires.protocol import TwoWayWire

__all__ = ["Servers", "servers_of"]

_REMEMBERED = 128
_KEYS = {"authorization": "Bearer ", "x-api-key": "", "api-key": "", "x-goog-api-key": ""}
_HOSTS = {
    "anthropic": {"api.anthropic.com": "anthropic"},
    "gemini": {"generativelanguage.googleapis.com": "gemini"},
    "responses": {"api.openai.com": "openai-responses"},
}
_LIMITS = ("max_completion_tokens", "max_tokens")
_PORTS = {"http": 80, "https": 443, None: None}


_of_engines: WeakKeyDictionary[Engine, Servers] = WeakKeyDictionary()


def servers_of(engine: Engine, http_client: Any = None) -> Servers:
    """Give the servers of an inferkit client, whose connections all that is made of it shares.

    What goes over an HTTP client of the application's is that one's business.
    """
    if http_client is not None:
        return Servers(engine, http_client)
    known = _of_engines.get(engine)
    return _of_engines.setdefault(engine, Servers(engine)) if known is None else known


class Servers:
    """Makes an adapter for each address, credential and set of headers that a request of an SDK came with.

    `http_client` is the HTTP client that the SDK had, where the application made it: what it says of proxies and
    certificates goes on to hold.
    """

    def __init__(self, engine: Engine, http_client: Any = None) -> None:
        self._catalog = engine.catalog
        self._engine = ref(engine)  # which may be dropped: it is what keeps this, and not the other way round
        self._http_client = http_client
        self._adapters: dict[Any, Adapter] = {}
        self._transports: dict[Timeouts | None, Transport] = {}

    def target(self, wire: TwoWayWire, incoming: Incoming, asked: Mapping[str, Any], model: str) -> Target:
        """Give the model of the SDK's own server that a request is for. `asked` is its JSON."""
        address = incoming.address
        limit = next((name for name in _LIMITS if name in asked), None) if address.wire == "chat" else None
        waits = None if incoming.timeout is None else tuple(incoming.timeout.items())
        key = (address.wire, address.base_url, incoming.sent, waits, limit)
        adapter = self._adapters.get(key)
        if adapter is None:
            times = _timeouts(incoming.timeout)
            if len(self._adapters) >= _REMEMBERED:
                self._adapters.pop(next(iter(tuple(self._adapters))), None)
            endpoint = _endpoint(address, dict(incoming.sent), limit)
            adapter = self._adapters[key] = Adapter(wire, endpoint, self._transport(times))
        return self._catalog.priced(adapter.name, model, adapter)

    def _transport(self, timeouts: Timeouts | None) -> Transport:
        known = self._transports.get(timeouts)
        if known is None:
            if len(self._transports) >= _REMEMBERED:
                timeouts = None  # somebody makes them up; those of the client will do
            asked = None if self._http_client is not None else self._catalog.transport
            known = make_transport(asked, http_client=self._http_client, timeouts=timeouts)
            self._transports[timeouts] = known
            engine = self._engine()
            if self._http_client is None and engine is not None:
                engine.close_too(known)
        return known


def _timeouts(given: Mapping[str, float | None] | None) -> Timeouts | None:
    """Read httpx's timeouts, which are then those of an attempt. Where the SDK sets none, the client's own hold."""
    if given is None or all(value is None for value in given.values()):
        return None
    waits = {name: math.inf if value is None else value for name, value in given.items()}
    if not waits.keys() <= {"connect", "read", "write", "pool"} or min(waits.values(), default=1) <= 0:
        return None
    return Timeouts(**waits, between=waits.get("read", math.inf))


def _endpoint(address: Address, headers: dict[str, str], limit: str | None) -> Endpoint:
    credential = Credential()
    for header, scheme in _KEYS.items():
        if headers.get(header, "").startswith(scheme) and header in headers:
            credential = Credential(headers.pop(header).removeprefix(scheme), header=header, scheme=scheme)
            break
    name, quirks, embeddings = _ways(address, limit)
    return Endpoint(name, address.base_url, credential, headers, quirks=quirks, embeddings=embeddings)


def _ways(address: Address, limit: str | None) -> tuple[str, Any, EmbeddingQuirks | None]:
    """Give the name that a server has in prices and errors, and how it differs, as far as its address tells."""
    base_url = address.base_url.partition("?")[0]
    if address.wire == "chat":
        known = next((one for one in PRESETS.values() if one.owns(base_url) or one.base_url == base_url), None)
        if known is not None:
            return known.name, known.quirks, known.embeddings
        quirks = ChatQuirks() if limit is None else ChatQuirks(limit)
        return _name_of(address), quirks, EmbeddingQuirks()
    if address.wire == "anthropic":
        return _name_of(address), AnthropicQuirks(), None
    if address.wire == "gemini":
        return _name_of(address), None, EmbeddingQuirks(max_inputs=100, base64=False)
    return _name_of(address), None, None


def _name_of(address: Address) -> str:
    parts = urlsplit(address.base_url)
    host = parts.hostname or "server"
    if parts.port not in (None, _PORTS.get(parts.scheme)):
        host = f"{host}-{parts.port}"
    host = host.replace(":", "-")  # as an address of IPv6 has them, and a model's name has one of its own
    return _HOSTS.get(address.wire, {}).get(host, host)
