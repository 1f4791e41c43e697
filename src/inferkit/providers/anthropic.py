"""`Anthropic`: the Messages wire to Anthropic or a server that speaks the same, over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.providers.adapter import Adapter
from inferkit.providers.addresses import clean
from inferkit.providers.endpoints import Credential, Endpoint
from inferkit.providers.http.choosing import make_transport
from inferkit.providers.wires.anthropic.quirks import AnthropicQuirks
from inferkit.providers.wires.anthropic.wire import ANTHROPIC_WIRE, AnthropicWire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.providers.http.settings import Http, Library
    from inferkit.providers.http.transport import Timeouts, Transport

__all__ = ["Anthropic"]

_ADDRESS = "https://api.anthropic.com/v1"
_ENV = "ANTHROPIC_API_KEY"
_VERSION = "2023-06-01"


class Anthropic(Adapter):
    """Answers requests through Anthropic's Messages API.

    `api_key` may be left to the environment variable `api_key_env`; for Anthropic's own address that is
    `ANTHROPIC_API_KEY`. It is never taken from there for another `base_url`, where it would leak. `version` and `betas`
    are the API's, `headers` are sent besides. The API demands a limit for every reply: `max_tokens` is the one of calls
    that set none; what a model takes at most is learned from its refusals. `http_client`, `transport`, `timeouts`,
    `free_fields` and `max_kept_bytes` are those of `OpenAIChat`.

    Raises `ConfigurationError` for what makes no sense.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str = _ADDRESS,
        name: str = "anthropic",
        api_key_env: str | None = None,
        version: str = _VERSION,
        betas: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        http_client: Any = None,
        transport: Library | Http | Transport | None = None,
        timeouts: Timeouts | None = None,
        max_tokens: int | None = None,
        quirks: AnthropicQuirks | None = None,
        free_fields: Sequence[str] = (),
        max_kept_bytes: int | None = None,
    ) -> None:
        own = {"anthropic-version": clean("version=", version) or _VERSION}
        if isinstance(betas, str):
            raise ConfigurationError("betas= is a list of texts")
        if betas:
            own["anthropic-beta"] = clean("betas=", ",".join(betas)) or ""
        quirks = quirks or AnthropicQuirks()
        if max_tokens is not None:
            if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
                raise ConfigurationError(f"max_tokens= is a whole number from 1; got {max_tokens!r}")
            quirks = replace(quirks, max_tokens=max_tokens)
        env = _ENV if api_key_env is None and base_url.rstrip("/") == _ADDRESS else api_key_env
        endpoint = Endpoint(
            name,
            base_url,
            Credential(api_key, env, header="x-api-key", scheme=""),
            {**own, **(headers or {})},
            quirks=quirks,
            free_fields=tuple(free_fields),
        )
        wire = ANTHROPIC_WIRE if max_kept_bytes is None else AnthropicWire(max_kept_bytes=max_kept_bytes)
        super().__init__(wire, endpoint, make_transport(transport, http_client=http_client, timeouts=timeouts))
