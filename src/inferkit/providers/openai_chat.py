"""`OpenAIChat`: the Chat Completions wire to OpenAI or a compatible server, over httpx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from inferkit.core.errors import ConfigurationError
from inferkit.providers.adapter import Adapter
from inferkit.providers.addresses import clean
from inferkit.providers.endpoints import Credential, Endpoint
from inferkit.providers.http.httpx_transport import HttpxTransport
from inferkit.providers.http.transport import Timeouts
from inferkit.providers.presets import PRESETS
from inferkit.providers.wires.chat.quirks import ChatQuirks
from inferkit.providers.wires.chat.wire import CHAT

if TYPE_CHECKING:
    from typing import Self

__all__ = ["OpenAIChat", "Timeouts"]

_OPENAI = "https://api.openai.com/v1"


class OpenAIChat(Adapter):
    """Answers requests through a Chat Completions server.

    `api_key` may be left to the environment variable `api_key_env`; for OpenAI's own hosts that is `OPENAI_API_KEY`.
    It is never taken from there for another `base_url`, where it would leak. `headers` are sent with every request.
    `http_client` is an httpx client (or httpx2, or anything with its interface) of the application's, of the kind that
    fits the caller; it is not closed here. `timeouts` are in seconds; the call's own deadline holds besides.
    `max_tokens_field` and `reasoning_field` are for servers that differ (see `preset`). `free_fields` names fields of
    `extra=` that move no cost on this server: a budget refuses those that it does not know.
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
        free_fields: Sequence[str] = (),
    ) -> None:
        is_openai = _is_openai(base_url)
        own = {}
        for header, value in (("organization", organization), ("project", project)):
            if value is not None:
                own[f"openai-{header}"] = clean(f"{header}=", value) or ""
        headers = {} if headers is None else headers
        endpoint = Endpoint(
            name,
            base_url,
            Credential(api_key, "OPENAI_API_KEY" if api_key_env is None and is_openai else api_key_env),
            {**own, **headers} if own and isinstance(headers, Mapping) else headers,
            quirks=ChatQuirks(
                max_tokens_field or ("max_completion_tokens" if is_openai else "max_tokens"), reasoning_field
            ),
            free_fields=tuple(free_fields),
        )
        super().__init__(CHAT, endpoint, HttpxTransport(http_client=http_client, timeouts=timeouts))

    @classmethod
    def preset(cls, server: str, **settings: Any) -> Self:
        """Make the adapter for a well-known server, for example `"groq"` or `"ollama"`.

        `settings` are the constructor's arguments, where they are to differ.
        """
        known = PRESETS.get(server)
        if known is None:
            raise ConfigurationError(f"no preset {server!r}; there are {', '.join(sorted(PRESETS))}; or pass base_url=")
        preset: dict[str, Any] = {
            "name": server,
            "base_url": known.base_url,
            "max_tokens_field": known.quirks.max_tokens_field,
            "reasoning_field": known.quirks.reasoning_field,
        }
        if "base_url" not in settings:  # elsewhere, the key of this server has no business
            preset["api_key_env"] = known.credential.env
        return cls(**(preset | settings))


def _is_openai(base_url: str) -> bool:
    """Say whether this is a server of OpenAI's own. What is no address is told by the endpoint."""
    try:
        host = urlsplit(base_url).hostname or ""
    except (ValueError, AttributeError):
        return False
    return isinstance(host, str) and (host == "api.openai.com" or host.endswith(".api.openai.com"))
