"""`Gemini`: the Gemini wire to Google's own API, to Google Cloud, or a server that speaks the same, over HTTP."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.providers.adapter import Adapter
from inferkit.providers.endpoints import Credential, Endpoint
from inferkit.providers.google_tokens import GoogleTokens, TokenCredential
from inferkit.providers.http.choosing import make_transport
from inferkit.providers.wires.embeddings.quirks import EmbeddingQuirks
from inferkit.providers.wires.gemini.quirks import GeminiQuirks
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE, GeminiWire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.core.request import Request
    from inferkit.core.response import Response
    from inferkit.providers.http.settings import Http, Library
    from inferkit.providers.http.transport import Timeouts, Transport

__all__ = ["Gemini", "Vertex"]

_ADDRESS = "https://generativelanguage.googleapis.com/v1beta"
_ENV = "GEMINI_API_KEY|GOOGLE_API_KEY"
_NAME = re.compile(r"[a-z0-9][a-z0-9.:-]{0,99}")
_PAID_BY = "x-goog-user-project"


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


class Vertex(Gemini):
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
        project = _named("project=", "GOOGLE_CLOUD_PROJECT", project)
        location = _named("location=", "GOOGLE_CLOUD_LOCATION", location, otherwise="global")
        if not settings.keys().isdisjoint({"api_key", "api_key_env"}):
            raise ConfigurationError("Vertex takes credentials=, and no key")
        host = _host(location) if base_url is None else base_url.rstrip("/")
        self.tokens = GoogleTokens(credentials, name)
        super().__init__(
            base_url=f"{host}/v1/projects/{project}/locations/{location}/publishers/google",
            name=name,
            **settings,
        )
        self.endpoint = replace(self.endpoint, credential=TokenCredential(tokens=self.tokens), embeddings=None)

    @property
    def fingerprint(self) -> str:
        """See `Adapter`. A new token of the same account is no other one."""
        return self.endpoint.fingerprint_with(self.tokens.account)

    async def __call__(self, request: Request) -> Response:
        """See `Adapter`. Raises also what `GoogleTokens.refresh` does."""
        await self.tokens.refresh(request.runtime)
        return await super().__call__(request)

    def _headers_now(self) -> Mapping[str, str]:
        headers, project = super()._headers_now(), self.tokens.paid_by
        return headers if project is None else {_PAID_BY: project, **headers}


def _host(location: str) -> str:
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in {"us", "eu"}:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def _named(what: str, variable: str, given: str | None, *, otherwise: str | None = None) -> str:
    found = given or os.environ.get(variable, "").strip() or otherwise
    if found is None:
        raise ConfigurationError(f"Vertex needs a project of Google Cloud: pass {what}, or set {variable}")
    if not isinstance(found, str) or not _NAME.fullmatch(found):
        raise ConfigurationError(f"{what} is the name of one, in small letters; got another text, or none")
    return found
