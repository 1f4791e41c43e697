"""What adapters for models on Google Cloud (Vertex AI) have in common: where the models are, and whose account asks."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.providers.adapter import Adapter
from inferkit.providers.google_tokens import GoogleTokens, TokenCredential

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.request import Request
    from inferkit.core.response import Response
    from inferkit.providers.endpoints import Endpoint

__all__ = ["GOOGLE_LOCATION", "GOOGLE_PROJECT", "OnVertex", "VertexPlace", "refuse_keys"]

GOOGLE_PROJECT, GOOGLE_LOCATION = "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"
_EVERYWHERE = "global"
_NAME = re.compile(r"[a-z0-9][a-z0-9.:-]{0,99}")
_PAID_BY = "x-goog-user-project"


class VertexPlace:
    """A project and a location of Google Cloud, as they are given or as environment variables name them.

    `variables` are the names of those for the project and for the location; of several, with a bar between them, the
    first that holds something counts. Without a location, it is "global". Raises `ConfigurationError` for what makes no
    sense, and where no project is named.
    """

    def __init__(
        self,
        project: str | None,
        location: str | None,
        base_url: str | None,
        variables: tuple[str, str] = (GOOGLE_PROJECT, GOOGLE_LOCATION),
    ) -> None:
        self.project = _named("project=", variables[0], project)
        self.location = _named("location=", variables[1], location, otherwise=_EVERYWHERE)
        self._host = _host(self.location) if base_url is None else base_url.rstrip("/")

    @property
    def is_global(self) -> bool:
        """Whether requests are served wherever there is room, and not in a region."""
        return self.location == _EVERYWHERE

    def models_of(self, publisher: str) -> str:
        """Give the address of the models that somebody publishes there."""
        return f"{self._host}/v1/projects/{self.project}/locations/{self.location}/publishers/{publisher}"


class OnVertex(Adapter):
    """What an adapter is beside another one, if its requests go out with the token of an account of Google Cloud."""

    tokens: GoogleTokens

    def take_account(self, credentials: Any) -> None:
        """Have requests go out with the tokens of google-auth's `credentials`, or of the machine's where it is None.

        Raises `ConfigurationError` as `GoogleTokens` does.
        """
        self.tokens = GoogleTokens(credentials)
        self.endpoint = replace(self.endpoint, credential=TokenCredential(tokens=self.tokens))

    @property
    def fingerprint(self) -> str:
        """See `Adapter`. A new token of the same account is no other one."""
        return self.endpoint.fingerprint_with(self.tokens.account)

    async def __call__(self, request: Request) -> Response:
        """See `Adapter`. Raises also what `GoogleTokens.refresh` does."""
        await self.tokens.refresh(request.runtime, request.provider or self.name)
        return await super().__call__(request)

    def _headers_now(self, endpoint: Endpoint) -> Mapping[str, str]:
        headers, project = super()._headers_now(endpoint), self.tokens.paid_by
        return headers if project is None else {_PAID_BY: project, **headers}


def refuse_keys(settings: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` for settings that are for servers with keys."""
    if not settings.keys().isdisjoint({"api_key", "api_key_env"}):
        raise ConfigurationError("Vertex takes credentials=, and no key")


def _host(location: str) -> str:
    if location == _EVERYWHERE:
        return "https://aiplatform.googleapis.com"
    if location in {"us", "eu"}:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def _named(what: str, variables: str, given: str | None, *, otherwise: str | None = None) -> str:
    held = (os.environ.get(variable, "").strip() for variable in variables.split("|"))
    found = given or next(filter(None, held), None) or otherwise
    if found is None:
        raise ConfigurationError(
            f"Vertex needs a project of Google Cloud: pass {what}, or set {variables.replace('|', ' or ')}"
        )
    if not isinstance(found, str) or not _NAME.fullmatch(found):
        raise ConfigurationError(f"{what} is the name of one, in small letters; got another text, or none")
    return found
