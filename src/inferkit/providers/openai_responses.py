"""`OpenAIResponses`: the Responses wire to OpenAI or a server that speaks the same, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.providers.adapter import Adapter
from inferkit.providers.endpoints import Credential, Endpoint
from inferkit.providers.http.choosing import make_transport
from inferkit.providers.openai_chat import openai_headers
from inferkit.providers.presets import PRESETS
from inferkit.providers.wires.responses.quirks import ResponsesQuirks
from inferkit.providers.wires.responses.wire import RESPONSES_WIRE, ResponsesWire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.providers.http.settings import Http, Library
    from inferkit.providers.http.transport import Timeouts, Transport

__all__ = ["OpenAIResponses"]

_OPENAI = "https://api.openai.com/v1"


class OpenAIResponses(Adapter):
    """Answers requests through OpenAI's Responses API, or a server that speaks the same.

    All settings are those of `OpenAIChat`. `quirks` say how the server differs, and what was learned of its models.

    Raises `ConfigurationError` for what makes no sense.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str = _OPENAI,
        name: str = "openai-responses",
        api_key_env: str | None = None,
        headers: Mapping[str, str] | None = None,
        http_client: Any = None,
        transport: Library | Http | Transport | None = None,
        timeouts: Timeouts | None = None,
        organization: str | None = None,
        project: str | None = None,
        quirks: ResponsesQuirks | None = None,
        free_fields: Sequence[str] = (),
        idempotency_header: str | None = None,
        max_kept_bytes: int | None = None,
    ) -> None:
        is_openai = PRESETS["openai"].owns(base_url)
        endpoint = Endpoint(
            name,
            base_url,
            Credential(api_key, "OPENAI_API_KEY" if api_key_env is None and is_openai else api_key_env),
            openai_headers(headers, organization, project),
            quirks=quirks or ResponsesQuirks(),
            free_fields=tuple(free_fields),
            idempotency_header=idempotency_header,
        )
        wire = RESPONSES_WIRE if max_kept_bytes is None else ResponsesWire(max_kept_bytes=max_kept_bytes)
        super().__init__(wire, endpoint, make_transport(transport, http_client=http_client, timeouts=timeouts))
