"""`OpenAIChat`: the Chat Completions wire to OpenAI or a compatible server, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.providers.adapter import Adapter
from inferkit.providers.addresses import clean
from inferkit.providers.embedding_quirks import EmbeddingQuirks
from inferkit.providers.endpoints import Credential, Endpoint
from inferkit.providers.http.choosing import make_transport
from inferkit.providers.http.settings import Http, Library
from inferkit.providers.http.transport import Timeouts, Transport
from inferkit.providers.presets import PRESETS
from inferkit.providers.wires.chat.quirks import ChatQuirks
from inferkit.providers.wires.chat.wire import CHAT, ChatWire

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Http", "OpenAIChat", "Timeouts", "openai_headers"]

_OPENAI = "https://api.openai.com/v1"


class OpenAIChat(Adapter):
    """Answers requests through a Chat Completions server.

    `api_key` may be left to the environment variable `api_key_env`; for OpenAI's own hosts that is `OPENAI_API_KEY`.
    It is never taken from there for another `base_url`, where it would leak. `headers` are sent with every request.
    `http_client` is an httpx client (or httpx2, or anything with its interface) of the application's, of the kind that
    fits the caller; it is not closed here. Without one, `transport` says how requests travel: "httpx", "aiohttp", an
    `Http` with more to say, or a transport of your own. `timeouts` are in seconds; the call's own deadline holds
    besides. `max_kept_bytes` is what one reply may take in memory, 64 MiB if nothing is said. `quirks` say how the
    server differs, where its address does not say whose it is; `max_tokens_field` and `reasoning_field` are two of them
    by themselves. `embeddings` say the same of its embeddings, or with False that it gives none. `preset` makes the
    adapter for a well-known server. `free_fields` names fields of `extra=` that move no cost on this server: a budget
    refuses those that it does not know. `idempotency_header` is for servers that answer a request once however often it
    is sent, as some gateways do.
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
        transport: Library | Http | Transport | None = None,
        timeouts: Timeouts | None = None,
        organization: str | None = None,
        project: str | None = None,
        max_tokens_field: str | None = None,
        reasoning_field: str | None = None,
        quirks: ChatQuirks | None = None,
        embeddings: EmbeddingQuirks | bool = True,
        free_fields: Sequence[str] = (),
        idempotency_header: str | None = None,
        max_kept_bytes: int | None = None,
    ) -> None:
        known = next((preset for preset in PRESETS.values() if preset.owns(base_url)), None)
        is_openai = known is not None and known.name == "openai"
        quirks = quirks or (ChatQuirks() if known is None else known.quirks)
        if max_tokens_field is not None:
            quirks = replace(quirks, max_tokens_field=max_tokens_field)
        if reasoning_field is not None:
            quirks = replace(quirks, reasoning_field=reasoning_field)
        ways: EmbeddingQuirks | None = embeddings if isinstance(embeddings, EmbeddingQuirks) else None
        if embeddings is True:
            ways = EmbeddingQuirks() if known is None else known.embeddings
        endpoint = Endpoint(
            name,
            base_url,
            Credential(api_key, "OPENAI_API_KEY" if api_key_env is None and is_openai else api_key_env),
            openai_headers(headers, organization, project),
            quirks=quirks,
            embeddings=ways,
            free_fields=tuple(free_fields),
            idempotency_header=idempotency_header,
        )
        wire = CHAT if max_kept_bytes is None else ChatWire(max_kept_bytes=max_kept_bytes)
        super().__init__(wire, endpoint, make_transport(transport, http_client=http_client, timeouts=timeouts))

    @classmethod
    def preset(cls, server: str, **settings: Any) -> Self:
        """Make the adapter for a well-known server, for example `"groq"` or `"ollama"`.

        `settings` are the constructor's arguments, where they are to differ. Raises `ConfigurationError` for a name
        that is not known, and for a server without an address of its own that was given none.
        """
        known = PRESETS.get(server)
        if known is None:
            raise ConfigurationError(f"no preset {server!r}; there are {', '.join(sorted(PRESETS))}; or pass base_url=")
        preset: dict[str, Any] = {"name": server, "quirks": known.quirks, "embeddings": known.embeddings or False}
        address = settings.get("base_url")
        if address is None:
            preset["base_url"] = known.address()
        if address is None or known.owns(address):  # elsewhere, the key of this server has no business
            preset["api_key_env"] = known.env
        return cls(**(preset | settings))


def openai_headers(headers: Any, organization: str | None, project: str | None) -> Any:
    """Give the headers of every request; what makes no sense in them is found when they are checked."""
    own = {}
    for header, value in (("organization", organization), ("project", project)):
        if value is not None:
            own[f"openai-{header}"] = clean(f"{header}=", value) or ""
    headers = {} if headers is None else headers
    return {**own, **headers} if own and isinstance(headers, Mapping) else headers
