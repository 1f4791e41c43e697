"""Where a wire is spoken: the address of a server, the credential it takes, its headers, and how it differs."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from inferkit.core.errors import ConfigurationError
from inferkit.providers.addresses import checked_headers, clean, split_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.providers.embedding_quirks import EmbeddingQuirks

__all__ = ["Credential", "Endpoint", "EndpointNames"]

_SHORTEST_SECRET = 8
_FIXED = {
    "accept": "application/json, text/event-stream",
    "accept-encoding": "identity",
    "content-type": "application/json",
    "user-agent": "inferkit",
}


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """A key, where one is needed: `value`, or what the environment variable `env` holds when a request is sent.

    Of several variables, with a bar between their names, the first that holds something counts. The key is sent in
    `header`, behind `scheme`. `needed` is False where requests may go without one, which are signed on their way.
    """

    value: str | None = None
    env: str | None = None
    header: str = "authorization"
    scheme: str = "Bearer "
    needed: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", clean("api_key=", self.value))

    def __repr__(self) -> str:
        """Say where the key comes from, and not what it is."""
        return f"Credential({'value=...' if self.value is not None else f'env={self.env!r}'})"

    def read(self) -> str | None:
        """Give the key as it is now. Raises `ConfigurationError` where the environment holds what no header can."""
        if self.value is None and self.env is not None:
            held = (clean(name, os.environ.get(name)) for name in self.env.split("|"))
            return next((key for key in held if key is not None), None)
        return self.value


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """One server that speaks a wire.

    `name` is the provider's, in errors, prices and traces, where a client does not call it otherwise. `base_url` may
    have a query, which goes with every request. `path` is where requests go under it, if not where the wire says;
    `{model}` in it stands for the model's name.
    `quirks` are of the wire's own kind. `embeddings` are its ways of giving embeddings; None where it gives none.
    `free_fields` are fields of `extra=` that only this server knows and that move no cost, so that they may go with
    calls that a budget pays for. `idempotency_header` is where the server takes a key by which it knows a request that
    is sent again, and answers it once; None where it takes none. `schema_by_tool` are models that take no schema for
    their replies, and are asked for an object by a tool. Raises `ConfigurationError` for an address or a header that
    makes no sense.
    """

    name: str
    base_url: str
    credential: Credential = Credential()
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    quirks: Any = None
    free_fields: tuple[str, ...] = ()
    embeddings: EmbeddingQuirks | None = None
    idempotency_header: str | None = None
    schema_by_tool: frozenset[str] = frozenset()
    query: str = field(default="", init=False)

    def __post_init__(self) -> None:
        base_url, query = split_address(self.base_url)
        object.__setattr__(self, "base_url", base_url)
        object.__setattr__(self, "query", query)
        object.__setattr__(self, "headers", checked_headers(self.headers))
        if self.idempotency_header is not None:
            checked_headers({self.idempotency_header: "key"})

    def __repr__(self) -> str:
        """Name the server, without what is secret of it."""
        return f"Endpoint(name={self.name!r}, base_url={self.base_url!r})"

    def url(self, path: str, model: str) -> str:
        """Give the URL that a request for `model` goes to; `path` is where the wire has it."""
        if self.path is not None:
            path = self.path
        if "{model}" not in path:
            return _url(self.base_url, path, self.query)
        return _url(self.base_url, path.replace("{model}", quote(model, safe="")), self.query)

    def headers_with(self, key: str | None) -> Mapping[str, str]:
        """Give the headers of a request. Raises `ConfigurationError` where a key is needed, and none is there."""
        credential = self.credential
        headers = _FIXED | dict(self.headers)
        if key is not None:
            headers[credential.header] = f"{credential.scheme}{key}"
        elif credential.env is not None and credential.needed and credential.header not in headers:
            raise ConfigurationError(
                f"{self.name} needs an API key: set the environment variable {credential.env.replace('|', ' or ')}, "
                "or pass api_key="
            )
        return headers

    def secrets_with(self, key: str | None) -> tuple[str, ...]:
        """Give what of a request is not for errors, should a server repeat it: the key, and what else may be one."""
        others = [*self.headers.values(), *(value for _, value in parse_qsl(self.query))]
        return (*([key] if key else []), *(other for other in others if len(other) >= _SHORTEST_SECRET))

    def with_quirks(self, quirks: Any) -> Endpoint:
        """Give the same server with other ways."""
        return replace(self, base_url=self._address, quirks=quirks)

    def with_schema_by_tool(self, model: str) -> Endpoint:
        """Give the same server with one more model that is asked for objects by a tool."""
        return replace(self, base_url=self._address, schema_by_tool=self.schema_by_tool | {model})

    def with_embeddings(self, quirks: EmbeddingQuirks | None) -> Endpoint:
        """Give the same server with other ways of giving embeddings, or none."""
        return replace(self, base_url=self._address, embeddings=quirks)

    def named(self, name: str) -> Endpoint:
        """Give the same server under another name."""
        return replace(self, base_url=self._address, name=name)

    def for_embeddings(self) -> Endpoint:
        """Give the same server as requests for embeddings see it: their place, and its ways of giving them."""
        quirks = self.embeddings
        return replace(self, base_url=self._address, path=None if quirks is None else quirks.path, quirks=quirks)

    @property
    def _address(self) -> str:
        return f"{self.base_url}?{self.query}" if self.query else self.base_url

    def fingerprint_with(self, key: str | None) -> str:
        """Say in one way, and not back, what tells replies of this server to this key from others."""
        secret = blake2b(digest_size=12, key=b"inferkit credentials")
        where = (self.base_url, self.query, self.path, sorted(self.headers.items()), key)
        secret.update(repr(where).encode())
        return f"{self.name} {self.base_url} {secret.hexdigest()}"


class EndpointNames:
    """One server under the names that it is registered by: clients that share an adapter may call it differently."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Endpoint, Endpoint]] = {}

    def find(self, endpoint: Endpoint, name: str | None) -> Endpoint:
        """Give the server as the client calls it, in whose errors it is named; its own name is the first choice."""
        if name is None or name == endpoint.name:
            return endpoint
        known = self._known.get(name)
        if known is None or known[0] is not endpoint:
            known = self._known[name] = (endpoint, endpoint.named(name))
        return known[1]


@functools.lru_cache(maxsize=256)
def _url(base_url: str, path: str, query: str) -> str:
    parts = urlsplit(base_url)
    own, _, more = path.partition("?")
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path}{own}", "&".join(filter(None, (more, query))), ""))
