"""The Chat Completions wire: OpenAI, and every server that speaks the same."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from inferkit.core.body import AllAtOnce
from inferkit.core.errors import ConfigurationError
from inferkit.core.response import Response
from inferkit.providers.errors import refusal
from inferkit.providers.http.http import Http, Timeouts
from inferkit.providers.presets import PRESETS
from inferkit.providers.wires.chat.body import StreamedReply, error_in, whole_reply
from inferkit.providers.wires.chat.reply import Malformed, parse
from inferkit.providers.wires.chat.request import body_of
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.loops import current_runtime

if TYPE_CHECKING:
    from typing import Self

    from inferkit.core.request import Request
    from inferkit.providers.http.http import Exchange

__all__ = ["OpenAIChat", "Timeouts"]

_OPENAI = "https://api.openai.com/v1"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


class OpenAIChat:
    """Answers requests through a Chat Completions server.

    `api_key` may be left to the environment variable `api_key_env`; for OpenAI's own hosts that is `OPENAI_API_KEY`.
    It is never taken from there for another `base_url`, where it would leak. `headers` are sent with every request.
    `http_client` is an httpx client (or httpx2, or anything with its interface) of the application's, of the kind that
    fits the caller; it is not closed here. `timeouts` are in seconds; the call's own deadline holds besides.
    `max_tokens_field` and `reasoning_field` are for servers that differ (see `preset`).

    A call raises `ConfigurationError` before anything is sent where the key is missing or the request cannot be
    written, and otherwise the kinds of `ProviderError`, or `DeadlineExceeded`.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str = _OPENAI,
        name: str = "openai",
        api_key_env: str | None = None,
        headers: Mapping[str, str] | None = None,
        http_client: Any = None,
        timeouts: Timeouts | None = None,
        organization: str | None = None,
        project: str | None = None,
        max_tokens_field: str | None = None,
        reasoning_field: str | None = None,
    ) -> None:
        self.name = name
        self._base_url, self._url, is_openai = _urls(base_url)
        self._api_key = _clean("api_key=", api_key)
        self._api_key_env = "OPENAI_API_KEY" if api_key_env is None and is_openai else api_key_env
        self._max_tokens_field = max_tokens_field or ("max_completion_tokens" if is_openai else "max_tokens")
        self._reasoning_field = reasoning_field
        self._fixed = {
            "accept": "application/json, text/event-stream",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": "inferkit",
        }
        for header, value in (("openai-organization", organization), ("openai-project", project)):
            if value is not None:
                self._fixed[header] = _clean(f"{header[7:]}=", value) or ""
        if not isinstance(headers or {}, Mapping):
            raise ConfigurationError("headers= is a dictionary of names and values")
        for header, value in (headers or {}).items():
            if not isinstance(header, str) or not _HEADER_NAME.fullmatch(header):
                raise ConfigurationError("headers= has a name that is no HTTP header's")
            self._fixed[header.lower()] = _clean(f"headers[{header!r}]", value) or ""
        self._headers: tuple[str | None, dict[str, str]] | None = None
        self._http = Http(self._url, provider=name, http_client=http_client, timeouts=timeouts)

    @classmethod
    def preset(cls, server: str, **settings: Any) -> Self:
        """Make the adapter for a well-known server, for example `"groq"` or `"ollama"`.

        `settings` are the constructor's arguments, where they are to differ.
        """
        known = PRESETS.get(server)
        if known is None:
            raise ConfigurationError(f"no preset {server!r}; there are {', '.join(sorted(PRESETS))}; or pass base_url=")
        preset: dict[str, Any] = {"name": server, "base_url": known.base_url, "reasoning_field": known.reasoning_field}
        if "base_url" not in settings:  # elsewhere, the key of this server has no business
            preset["api_key_env"] = known.env
        preset["max_tokens_field"] = known.max_tokens_field
        return cls(**(preset | settings))

    def __repr__(self) -> str:
        """Name the server, without its credential."""
        return f"OpenAIChat(name={self.name!r}, base_url={self._base_url!r})"

    @property
    def fingerprint(self) -> str:
        """What tells this adapter's replies from another's: provider, URL, and a one-way hash of the credentials."""
        secret = blake2b(digest_size=12, key=b"inferkit credentials")
        secret.update(repr((self._url, sorted(self._fixed.items()), self._key())).encode())
        return f"{self.name} {self._base_url} {secret.hexdigest()}"

    async def __call__(self, request: Request) -> Response:
        """Send the request; see `Handler`. The first event of a stream was read when this returns."""
        headers = self._headers_for(self._key())
        body = body_of(request, max_tokens_field=self._max_tokens_field, reasoning_field=self._reasoning_field)
        runtime = request.runtime
        exchange = await self._http.post(body, headers, runtime=runtime, deadline=request.deadline)
        try:
            await self._check_status(exchange)
            if _is_streamed(exchange, asked=request.stream):
                stream = StreamedReply(exchange, self.name)
                first = await stream.prime()
                content = first.raw if first is not None else {}
                chunks: Any = stream
            else:
                whole = await whole_reply(exchange, self.name)
                content, chunks = whole.raw, AllAtOnce([whole])
        except BaseException:
            await runtime.conclude(exchange.aclose)
            raise
        model, id_ = content.get("model"), content.get("id")
        return Response(
            chunks,
            runtime=runtime,
            model=model if isinstance(model, str) else None,
            id=id_ if isinstance(id_, str) else None,
            headers=exchange.headers,
        )

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._http.aclose(current_runtime())

    def close(self) -> None:
        """Close the connections of blocking calls."""
        drive(self._http.aclose(DirectRuntime()))

    def _key(self) -> str | None:
        if self._api_key is None and self._api_key_env is not None:
            return _clean(self._api_key_env, os.environ.get(self._api_key_env))
        return self._api_key

    def _headers_for(self, key: str | None) -> dict[str, str]:
        known = self._headers
        if known is not None and known[0] == key:
            return known[1]
        headers = self._fixed
        if key is not None:
            headers = {**headers, "authorization": f"Bearer {key}"}
        elif self._api_key_env is not None and "authorization" not in headers:
            raise ConfigurationError(
                f"{self.name} needs an API key: set the environment variable {self._api_key_env}, or pass api_key="
            )
        self._headers = (key, headers)
        return headers

    async def _check_status(self, exchange: Exchange) -> None:
        if 200 <= exchange.status < 300:  # noqa: PLR2004 - HTTP
            return
        data = await exchange.read_error()
        text = data.decode("utf-8", "replace")
        try:
            error = error_in(parse(data))
        except Malformed:
            error = None
        raise refusal(self.name, exchange.status, exchange.headers, error, text=text)


def _is_streamed(exchange: Exchange, *, asked: bool) -> bool:
    """Say how the reply comes: as its content type says, since some servers do not do as they are asked."""
    kind = exchange.headers.get("content-type", "").lower()
    if "event-stream" in kind:
        return True
    return asked and "json" not in kind and "html" not in kind


def _urls(base_url: str) -> tuple[str, str, bool]:
    """Check a base URL; return it without its slash, the URL to post to, and whether it is OpenAI's own."""
    if not isinstance(base_url, str):
        raise ConfigurationError(f"base_url= is a text like https://host/v1; got a {type(base_url).__name__}")
    try:
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        parts.port  # noqa: B018 - raises for a bad one
    except ValueError:
        raise ConfigurationError("base_url= is not a URL; pass one like https://host/v1") from None
    if parts.scheme not in {"http", "https"} or not host or not base_url.isprintable() or " " in base_url:
        raise ConfigurationError("base_url= must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("base_url= holds a password; pass it as headers={'authorization': ...} instead")
    path = parts.path.rstrip("/")
    base = urlunsplit((parts.scheme, parts.netloc, path, "", ""))  # a query may hold a key, and this is shown
    url = urlunsplit((parts.scheme, parts.netloc, f"{path}/chat/completions", parts.query, ""))
    return base, url, host == "api.openai.com" or host.endswith(".api.openai.com")


def _clean(what: str, secret: str | None) -> str | None:
    """Take the blanks off a credential, as they come with copying, and refuse what no header can carry."""
    if secret is None:
        return None
    if not isinstance(secret, str):
        raise ConfigurationError(f"{what} is a text; got a {type(secret).__name__}")
    secret = secret.strip()
    if not secret.isascii() or not secret.isprintable():
        raise ConfigurationError(f"{what} holds characters that an HTTP header cannot carry; copy it again")
    return secret or None
