"""Requests to Amazon's services, signed (Signature Version 4) with credentials that botocore finds and keeps fresh."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import AuthenticationFailed, ConfigurationError, Unavailable
from inferkit.runtime import imports
from inferkit.runtime.forks import renew_after_fork
from inferkit.runtime.protocol import Threads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.providers.http.transport import Exchange, Transport
    from inferkit.runtime.protocol import Runtime

__all__ = ["AwsAccount", "SigningTransport"]

_THREADS = Threads(2)
_MISSING = (
    "without a key (AWS_BEARER_TOKEN_BEDROCK, or api_key=), requests to Amazon Bedrock are signed, which takes the "
    "package botocore: pip install 'inferkit[bedrock]'"
)
_SIGNED = ("content-type",)  # others may change on their way


class AwsAccount:
    """The credentials of one account: botocore's `credentials`, or those that its chain finds, for `profile` if named.

    Safe from any thread. botocore is needed where something is given here, or else when
    credentials are first asked for. Raises `ConfigurationError` where it is missing, or `credentials` are none of its.
    """

    def __init__(self, credentials: Any, profile: str | None) -> None:
        if credentials is not None or profile is not None:
            _load()
        if credentials is not None and not callable(getattr(credentials, "get_frozen_credentials", None)):
            raise ConfigurationError(
                "credentials= are botocore's, for example botocore.credentials.Credentials(key_id, secret), or what "
                f"boto3.Session().get_credentials() gives; got a {type(credentials).__name__}"
            )
        if profile is not None and (credentials is not None or not isinstance(profile, str)):
            raise ConfigurationError("profile= is the name of one, and stands instead of credentials=")
        self._credentials = credentials
        self._profile = profile
        self._frozen: Any = None
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Renew the lock in a forked child, where nobody is asking for credentials."""
        self._lock = threading.Lock()

    @property
    def name(self) -> str | None:
        """What tells the account from others, where that is known without asking."""
        lasting = self._credentials is not None and not hasattr(self._credentials, "refresh_needed")
        return str(self._credentials.access_key) if lasting else self._profile

    @property
    def secrets(self) -> tuple[str, ...]:
        """What goes out with requests, and is not for errors."""
        token = None if self._frozen is None else self._frozen.token
        return (token,) if token else ()

    async def refresh(self, runtime: Runtime, provider: str) -> None:
        """Have credentials that are valid, without keeping an event loop waiting. `provider` is named in errors.

        Raises `ConfigurationError` where the machine has none, `AuthenticationFailed` where they are not renewed, and
        `Unavailable` where nobody could be asked.
        """
        if not self._is_fresh:
            await runtime.run_blocking(self._refresh, provider, apart=_THREADS)

    def sign(self, url: str, headers: Mapping[str, str], body: bytes, *, service: str, region: str) -> dict[str, str]:
        """Give the headers of a request with its signature, which holds for some minutes."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        signed = {name: value for name, value in headers.items() if name in _SIGNED}
        request: Any = AWSRequest(method="POST", url=url, headers=signed, data=body)
        SigV4Auth(self._frozen, service, region).add_auth(request)
        return {**headers, **{name.lower(): value for name, value in request.headers.items()}}

    @property
    def _is_fresh(self) -> bool:
        needs = getattr(self._credentials, "refresh_needed", None)
        return self._frozen is not None and (needs is None or not needs())

    def _refresh(self, provider: str) -> None:
        _load()
        import botocore.session
        from botocore import exceptions

        with self._lock:
            if self._is_fresh:
                return  # another call's were waited for
            try:
                if self._credentials is None:
                    self._credentials = botocore.session.Session(profile=self._profile).get_credentials()
                if self._credentials is not None:
                    self._frozen = self._credentials.get_frozen_credentials()
            except (exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.MetadataRetrievalError):
                raise Unavailable(
                    f"{provider}: whoever gives out Amazon's credentials could not be asked",
                    provider=provider,
                ) from None
            except exceptions.ProfileNotFound:
                raise ConfigurationError(f"{provider}: there is no profile of the name that was given") from None
            except (exceptions.BotoCoreError, exceptions.ClientError) as error:  # its text may quote what was sent
                raise AuthenticationFailed(
                    f"{provider}: Amazon's credentials cannot be read or renewed ({type(error).__name__}); check "
                    "the profile, and sign in again where it is for a time",
                    provider=provider,
                ) from None
            if self._frozen is None:
                raise ConfigurationError(
                    f"{provider} found neither a key nor an account of Amazon's: set AWS_BEARER_TOKEN_BEDROCK, "
                    "run `aws configure`, or pass api_key=, credentials= or profile="
                )


def _load() -> None:
    try:
        imports.load("botocore.auth", "botocore.session")
    except ImportError:
        raise ConfigurationError(_MISSING) from None


class SigningTransport:
    """Sends requests over another transport, signed where they hold no key."""

    def __init__(self, inner: Transport, account: AwsAccount, *, service: str, region: str) -> None:
        self.inner = inner
        self._account = account
        self._service = service
        self._region = region

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        provider: str,
        runtime: Runtime,
        deadline: float | None = None,
    ) -> Exchange:
        """See `Transport`. Raises also what `AwsAccount.refresh` does."""
        if "authorization" not in headers:
            await self._account.refresh(runtime, provider)
            headers = self._account.sign(url, headers, body, service=self._service, region=self._region)
        return await self.inner.post(url, headers, body, provider=provider, runtime=runtime, deadline=deadline)

    def preload(self, url: str) -> None:
        """Make ready for a first call, as far as the transport inside can."""
        if hasattr(self.inner, "preload"):
            self.inner.preload(url)

    async def aclose(self, runtime: Runtime) -> None:
        """See `Transport`."""
        await self.inner.aclose(runtime)
