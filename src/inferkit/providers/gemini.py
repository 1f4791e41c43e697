"""`Gemini`: the Gemini wire to Google's own API, to Google Cloud, or a server that speaks the same, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.providers.adapter import Adapter
from inferkit.providers.embedding_quirks import EmbeddingQuirks
from inferkit.providers.endpoints import Credential, Endpoint
from inferkit.providers.http.choosing import make_transport
from inferkit.providers.vertex import OnVertex, VertexPlace, refuse_keys
from inferkit.providers.wires.gemini.quirks import GeminiQuirks
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE, GeminiWire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.providers.http.settings import Http, Library
    from inferkit.providers.http.transport import Timeouts, Transport

__all__ = ["Gemini", "Vertex"]

_ADDRESS = "https://generativelanguage.googleapis.com/v1beta"
_ENV = "GEMINI_API_KEY|GOOGLE_API_KEY"


class Gemini(Adapter):
    """Answers requests through Google's Gemini API.

    `api_key` may be left to the environment variable `api_key_env`; for Google's own address that is `GEMINI_API_KEY`,
    or `GOOGLE_API_KEY`. It is never taken from there for another `base_url`, where it would leak, and never part of an
    address. `headers` are sent besides. `http_client`, `transport`, `timeouts`, `free_fields` and `max_kept_bytes` are
    those of `OpenAIChat`. `vertex` makes the adapter for Google Cloud.

    Raises `ConfigurationError` for what makes no sense.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str = _ADDRESS,
        name: str = "gemini",
        api_key_env: str | None = None,
        headers: Mapping[str, str] | None = None,
        http_client: Any = None,
        transport: Library | Http | Transport | None = None,
        timeouts: Timeouts | None = None,
        quirks: GeminiQuirks | None = None,
        free_fields: Sequence[str] = (),
        max_kept_bytes: int | None = None,
    ) -> None:
        env = _ENV if api_key_env is None and base_url.rstrip("/") == _ADDRESS else api_key_env
        endpoint = Endpoint(
            name,
            base_url,
            Credential(api_key, env, header="x-goog-api-key", scheme=""),
            {} if headers is None else headers,
            quirks=quirks or GeminiQuirks(),
            embeddings=EmbeddingQuirks(max_inputs=100, base64=False),
            free_fields=tuple(free_fields),
        )
        wire = GEMINI_WIRE if max_kept_bytes is None else GeminiWire(max_kept_bytes=max_kept_bytes)
        super().__init__(wire, endpoint, make_transport(transport, http_client=http_client, timeouts=timeouts))

    @staticmethod
    def vertex(
        *,
        project: str | None = None,
        location: str | None = None,
        credentials: Any = None,
        base_url: str | None = None,
        name: str = "vertex",
        **settings: Any,
    ) -> Gemini:
        """Make the adapter for Gemini models on Google Cloud (Vertex AI), which takes `inferkit[vertex]`.

        `project` and `location` may be left to `GOOGLE_CLOUD_PROJECT` and `GOOGLE_CLOUD_LOCATION`; without either, the
        location is "global". `credentials` are google-auth's; without them, those of the machine are found at the first
        call. A token is made anew before it expires, beside the event loop. `base_url` is another host than the
        location's, which the token is then sent to. `settings` are the constructor's other arguments.

        Raises `ConfigurationError` for what makes no sense, and where google-auth is missing.
        """
        return Vertex(
            project=project, location=location, credentials=credentials, base_url=base_url, name=name, **settings
        )


class Vertex(OnVertex, Gemini):
    """Answers requests through Gemini models on Google Cloud; see `Gemini.vertex`."""

    def __init__(
        self,
        *,
        project: str | None = None,
        location: str | None = None,
        credentials: Any = None,
        base_url: str | None = None,
        name: str = "vertex",
        **settings: Any,
    ) -> None:
        place = VertexPlace(project, location, base_url)
        refuse_keys(settings)
        super().__init__(base_url=place.models_of("google"), name=name, **settings)
        self.take_account(credentials)
        self.endpoint = self.endpoint.with_embeddings(None)  # which have another form there
