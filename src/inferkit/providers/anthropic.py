"""`Anthropic`: the Messages wire to Anthropic, to a cloud, or to a server that speaks the same, over HTTP."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from inferkit.core.errors import ConfigurationError
from inferkit.providers.adapter import Adapter
from inferkit.providers.addresses import clean
from inferkit.providers.aws import AwsAccount, SigningTransport
from inferkit.providers.endpoints import Credential, Endpoint
from inferkit.providers.errors import redact
from inferkit.providers.http.choosing import make_transport
from inferkit.providers.vertex import GOOGLE_LOCATION, GOOGLE_PROJECT, OnVertex, VertexPlace, refuse_keys
from inferkit.providers.wires.anthropic.bedrock import BEDROCK_WIRE, AnthropicBedrockWire
from inferkit.providers.wires.anthropic.quirks import BEDROCK, MANTLE, VERTEX, AnthropicQuirks
from inferkit.providers.wires.anthropic.vertex import VERTEX_WIRE, AnthropicVertexWire
from inferkit.providers.wires.anthropic.wire import ANTHROPIC_WIRE, AnthropicWire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.core.errors import ProviderError
    from inferkit.providers.http.settings import Http, Library
    from inferkit.providers.http.transport import Timeouts, Transport
    from inferkit.providers.wires.protocol import TwoWayWire

__all__ = ["Anthropic", "AnthropicBedrock", "AnthropicVertex"]

_ADDRESS = "https://api.anthropic.com/v1"
_ENV = "ANTHROPIC_API_KEY"
_VERSION = "2023-06-01"
_BEDROCK_KEY = "AWS_BEARER_TOKEN_BEDROCK"
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_OF_VERTEX = (f"ANTHROPIC_VERTEX_PROJECT_ID|{GOOGLE_PROJECT}", f"CLOUD_ML_REGION|{GOOGLE_LOCATION}")


class Anthropic(Adapter):
    """Answers requests through Anthropic's Messages API.

    `api_key` may be left to the environment variable `api_key_env`; for Anthropic's own address that is
    `ANTHROPIC_API_KEY`. It is never taken from there for another `base_url`, where it would leak. `version` and `betas`
    are the API's, `headers` are sent besides. The API demands a limit for every reply: `max_tokens` is the one of calls
    that set none; what a model takes at most is learned from its refusals. `http_client`, `transport`, `timeouts`,
    `free_fields`, `idempotency_header` and `max_kept_bytes` are those of `OpenAIChat`. `vertex` and `bedrock` make the
    adapters for clouds.

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
        idempotency_header: str | None = None,
        max_kept_bytes: int | None = None,
    ) -> None:
        env = _ENV if api_key_env is None and base_url.rstrip("/") == _ADDRESS else api_key_env
        own = {"anthropic-version": clean("version=", version) or _VERSION}
        endpoint = Endpoint(
            name,
            base_url,
            Credential(api_key, env, header="x-api-key", scheme=""),
            {**own, **_in_header(betas), **(headers or {})},
            quirks=(quirks or AnthropicQuirks()).with_max_tokens(max_tokens),
            free_fields=tuple(free_fields),
            idempotency_header=idempotency_header,
        )
        wire = ANTHROPIC_WIRE if max_kept_bytes is None else AnthropicWire(max_kept_bytes=max_kept_bytes)
        super().__init__(wire, endpoint, make_transport(transport, http_client=http_client, timeouts=timeouts))

    @staticmethod
    def vertex(
        *,
        project: str | None = None,
        location: str | None = None,
        credentials: Any = None,
        base_url: str | None = None,
        name: str = "anthropic-vertex",
        **settings: Any,
    ) -> AnthropicVertex:
        """Make the adapter for Anthropic's models on Google Cloud (Vertex AI), which takes `inferkit[vertex]`.

        `project` and `location` may be left to `ANTHROPIC_VERTEX_PROJECT_ID` or `GOOGLE_CLOUD_PROJECT`, and to
        `CLOUD_ML_REGION` or `GOOGLE_CLOUD_LOCATION`; without any, the location is "global". `credentials` and
        `base_url` are those of `Gemini.vertex`. `settings` are the constructor's other arguments, without the key.

        Raises `ConfigurationError` for what makes no sense, and where google-auth is missing.
        """
        refuse_keys(settings)
        return AnthropicVertex(
            project=project, location=location, credentials=credentials, base_url=base_url, name=name, **settings
        )

    @staticmethod
    def bedrock(
        *,
        region: str | None = None,
        api: Literal["invoke", "messages"] = "invoke",
        api_key: str | None = None,
        credentials: Any = None,
        profile: str | None = None,
        base_url: str | None = None,
        name: str | None = None,
        **settings: Any,
    ) -> AnthropicBedrock:
        """Make the adapter for Anthropic's models on Amazon Bedrock.

        `region` may be left to `AWS_REGION` or `AWS_DEFAULT_REGION`. `api` is "invoke", which Bedrock has for all
        models, or "messages", which is Anthropic's own API on Bedrock's newer endpoint.

        `api_key` is a key of Bedrock's, and may be left to `AWS_BEARER_TOKEN_BEDROCK`; that is never sent to another
        `base_url`. Without a key, requests are signed, which takes `inferkit[bedrock]`: with botocore's `credentials`,
        or with those that botocore finds (in the environment, its files, a role of the machine), for `profile` if that
        is named. They are renewed before they expire, beside the event loop. `settings` are the constructor's other
        arguments.

        Raises `ConfigurationError` for what makes no sense, and where botocore is needed and missing.
        """
        return AnthropicBedrock(
            region=region,
            api=api,
            api_key=api_key,
            credentials=credentials,
            profile=profile,
            base_url=base_url,
            name=name,
            **settings,
        )


class AnthropicVertex(OnVertex):
    """Answers requests through Anthropic's models on Google Cloud; see `Anthropic.vertex`."""

    def __init__(
        self,
        *,
        project: str | None = None,
        location: str | None = None,
        credentials: Any = None,
        base_url: str | None = None,
        name: str = "anthropic-vertex",
        version: str | None = None,
        betas: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        http_client: Any = None,
        transport: Library | Http | Transport | None = None,
        timeouts: Timeouts | None = None,
        max_tokens: int | None = None,
        quirks: AnthropicQuirks = VERTEX,
        free_fields: Sequence[str] = (),
        idempotency_header: str | None = None,
        max_kept_bytes: int | None = None,
    ) -> None:
        place = VertexPlace(project, location, base_url, _OF_VERTEX)
        endpoint = Endpoint(
            name,
            place.models_of("anthropic"),
            headers={**_in_header(betas), **(headers or {})},
            quirks=_of_version(quirks, version).with_max_tokens(max_tokens),
            free_fields=tuple(free_fields),
            idempotency_header=idempotency_header,
        )
        wire = VERTEX_WIRE if max_kept_bytes is None else AnthropicVertexWire(max_kept_bytes=max_kept_bytes)
        super().__init__(wire, endpoint, make_transport(transport, http_client=http_client, timeouts=timeouts))
        self.take_account(credentials)
        if not place.is_global:
            self.price_region = "regional"


class AnthropicBedrock(Adapter):
    """Answers requests through Anthropic's models on Amazon Bedrock; see `Anthropic.bedrock`."""

    def __init__(
        self,
        *,
        region: str | None = None,
        api: Literal["invoke", "messages"] = "invoke",
        api_key: str | None = None,
        credentials: Any = None,
        profile: str | None = None,
        base_url: str | None = None,
        name: str | None = None,
        api_key_env: str | None = None,
        version: str | None = None,
        betas: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        http_client: Any = None,
        transport: Library | Http | Transport | None = None,
        timeouts: Timeouts | None = None,
        max_tokens: int | None = None,
        quirks: AnthropicQuirks | None = None,
        free_fields: Sequence[str] = (),
        idempotency_header: str | None = None,
        max_kept_bytes: int | None = None,
    ) -> None:
        if api not in ("invoke", "messages"):
            raise ConfigurationError(f'api= is "invoke" or "messages"; got {api!r}')
        signed = credentials is not None or profile is not None
        if signed and (api_key is not None or api_key_env is not None):
            raise ConfigurationError("pass api_key=, or credentials= or profile=, and not both")
        region = _region(region)
        if base_url is None:
            base_url = _host(api, region)
            api_key_env = _BEDROCK_KEY if api_key_env is None and not signed else api_key_env
        invokes = api == "invoke"
        quirks = quirks or (BEDROCK if invokes else MANTLE)
        if invokes:
            own = {"accept": "application/json"}
            quirks = replace(_of_version(quirks, version), betas=(*quirks.betas, *_checked(betas)))
        else:
            own = {"anthropic-version": clean("version=", version) or _VERSION, **_in_header(betas)}
        name = name or ("anthropic-bedrock" if invokes else "anthropic-mantle")
        endpoint = Endpoint(
            name,
            base_url,
            Credential(api_key, api_key_env, needed=False),
            {**own, **(headers or {})},
            quirks=quirks.with_max_tokens(max_tokens),
            free_fields=tuple(free_fields),
            idempotency_header=idempotency_header,
        )
        self.account = AwsAccount(credentials, profile)
        service = "bedrock" if invokes or "bedrock-runtime" in base_url else "bedrock-mantle"
        inner = make_transport(transport, http_client=http_client, timeouts=timeouts)
        super().__init__(
            _wire_of_bedrock(invokes=invokes, max_kept_bytes=max_kept_bytes),
            endpoint,
            SigningTransport(inner, self.account, service=service, region=region),
        )

    @property
    def fingerprint(self) -> str:
        """See `Adapter`. Renewed credentials of the same account are no other one."""
        if self.endpoint.credential.read() is not None:
            return super().fingerprint
        return self.endpoint.fingerprint_with(self.account.name)

    def redact(self, error: ProviderError) -> ProviderError:
        """See `Adapter`."""
        return redact(super().redact(error), self.account.secrets)


def _wire_of_bedrock(*, invokes: bool, max_kept_bytes: int | None) -> TwoWayWire:
    if max_kept_bytes is None:
        return BEDROCK_WIRE if invokes else ANTHROPIC_WIRE
    return (AnthropicBedrockWire if invokes else AnthropicWire)(max_kept_bytes=max_kept_bytes)


def _host(api: str, region: str) -> str:
    if api == "invoke":
        return f"https://bedrock-runtime.{region}.amazonaws.com"
    return f"https://bedrock-mantle.{region}.api.aws/anthropic/v1"


def _region(given: str | None) -> str:
    found = given or next(filter(None, (os.environ.get(name, "").strip() for name in _REGIONS)), None)
    if found is None:
        raise ConfigurationError(f"Amazon Bedrock has an address in each region: pass region=, or set {_REGIONS[0]}")
    if not isinstance(found, str) or not _REGION.fullmatch(found):
        raise ConfigurationError('region= is the name of one, such as "us-east-1"; got another text, or none')
    return found


def _of_version(quirks: AnthropicQuirks, version: str | None) -> AnthropicQuirks:
    return quirks if version is None else replace(quirks, version=clean("version=", version))


def _checked(betas: Sequence[str]) -> Sequence[str]:
    if isinstance(betas, str):
        raise ConfigurationError("betas= is a list of texts")
    return [clean("betas=", beta) or "" for beta in betas]


def _in_header(betas: Sequence[str]) -> Mapping[str, str]:
    return {"anthropic-beta": ",".join(_checked(betas))} if betas else {}
