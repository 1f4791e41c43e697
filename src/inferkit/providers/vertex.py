"""`Vertex`: the Gemini wire to Google Cloud, with an account of it instead of a key."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.providers.gemini import Gemini
from inferkit.providers.google_tokens import GoogleTokens, TokenCredential

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.request import Request
    from inferkit.core.response import Response

__all__ = ["Vertex"]

_NAME = re.compile(r"[a-z0-9][a-z0-9.:-]{0,99}")
_PAID_BY = "x-goog-user-project"


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
        self.endpoint = replace(self.endpoint, credential=TokenCredential(tokens=self.tokens))

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
