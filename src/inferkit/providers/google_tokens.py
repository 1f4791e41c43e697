"""Tokens of Google Cloud: read, and made anew before they expire, through google-auth."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import AuthenticationFailed, ConfigurationError, Unavailable
from inferkit.providers.endpoints import Credential
from inferkit.runtime import imports
from inferkit.runtime.forks import renew_after_fork
from inferkit.runtime.protocol import Threads

if TYPE_CHECKING:
    from inferkit.runtime.protocol import Runtime

__all__ = ["GoogleTokens", "TokenCredential"]

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_SECONDS = 20.0  # for one request to the server of tokens
_THREADS = Threads(2)
_MISSING = "Vertex takes the package google-auth: pip install 'inferkit[vertex]'"


class GoogleTokens:
    """The tokens of one account: of google-auth's `credentials`, or those that the machine itself is given.

    Safe from any thread. Raises `ConfigurationError` where google-auth is missing, or
    `credentials` are none of its.
    """

    def __init__(self, credentials: Any) -> None:
        with imports.lock:
            try:
                from google.auth.credentials import Credentials, with_scopes_if_required
                from google.auth.transport.requests import Request
            except ImportError:
                raise ConfigurationError(_MISSING) from None
        if credentials is not None and not isinstance(credentials, Credentials):
            raise ConfigurationError(
                "credentials= are google-auth's, for example google.oauth2.service_account.Credentials"
                f".from_service_account_file(...); got a {type(credentials).__name__}"
            )
        scoped: Any = with_scopes_if_required
        self._credentials: Any = None if credentials is None else scoped(credentials, [_SCOPE])
        self._transport: Any = Request
        self.account: str | None = getattr(credentials, "service_account_email", None)
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Renew the lock in a forked child, where nobody is asking for a token."""
        self._lock = threading.Lock()

    @property
    def token(self) -> str | None:
        """The token as it is now; None before the first one."""
        token: str | None = None if self._credentials is None else self._credentials.token
        return token

    @property
    def paid_by(self) -> str | None:
        """The project whose quota the account uses, where it is another's."""
        project: str | None = getattr(self._credentials, "quota_project_id", None)
        return project

    async def refresh(self, runtime: Runtime, provider: str) -> None:
        """Have a token that is valid, without keeping an event loop waiting. `provider` is named in errors.

        Raises `ConfigurationError` where the machine has no account, `AuthenticationFailed` where the account is given
        no token, and `Unavailable` where nobody could be asked.
        """
        if not self._is_valid:
            await runtime.run_blocking(self._refresh, provider, apart=_THREADS)

    @property
    def _is_valid(self) -> bool:
        return self._credentials is not None and bool(self._credentials.valid)

    def _refresh(self, provider: str) -> None:
        import google.auth
        from google.auth import exceptions

        with self._lock:
            if self._is_valid:
                return  # another call's was waited for
            try:
                if self._credentials is None:
                    self._credentials, _ = google.auth.default(scopes=[_SCOPE])
                ask = self._transport()
                with ask.session:
                    self._credentials.refresh(functools.partial(ask, timeout=_SECONDS))
            except exceptions.DefaultCredentialsError:
                raise ConfigurationError(
                    f"{provider} found no account of Google Cloud: run `gcloud auth application-default login`, "
                    "set GOOGLE_APPLICATION_CREDENTIALS, or pass credentials="
                ) from None
            except exceptions.GoogleAuthError as error:
                raise _failure(error, provider) from None  # its text may quote what the server said


@dataclass(frozen=True, slots=True, repr=False)
class TokenCredential(Credential):
    """The credential whose key is a token."""

    tokens: GoogleTokens = field(kw_only=True)

    def read(self) -> str | None:
        """Give the token as it is now."""
        return self.tokens.token


def _failure(error: Any, provider: str) -> Exception:
    from google.auth.exceptions import TransportError

    if isinstance(error, TransportError) or error.retryable:
        return Unavailable(f"{provider}: Google's server of tokens could not be asked", provider=provider)
    return AuthenticationFailed(
        f"{provider}: Google gives the account no token ({type(error).__name__}); check that it exists, and "
        "that its key is still valid",
        provider=provider,
    )
