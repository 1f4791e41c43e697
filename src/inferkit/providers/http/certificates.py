"""Whose certificates are believed: those of a file, a folder or a context, the environment's, or certifi's list."""

from __future__ import annotations

import functools
import os
import ssl

from inferkit.core.errors import ConfigurationError

__all__ = ["tls_context"]


def tls_context(ca: str | os.PathLike[str] | ssl.SSLContext | None, *, http2: bool) -> ssl.SSLContext:
    """Give the context that TLS connections are made with; loading one takes 40 ms, so that each is made once.

    Raises `ConfigurationError` that names the setting, or the environment's variable, whose file cannot be used.
    """
    if isinstance(ca, ssl.SSLContext):
        return ca
    if ca is not None:
        return _context("ca=", os.fspath(ca), http2)
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if os.environ.get(variable):
            return _context(f"the environment variable {variable}", os.environ[variable], http2)
    return _context("", "", http2)


@functools.lru_cache(maxsize=32)
def _context(named_by: str, path: str, http2: bool) -> ssl.SSLContext:
    if not named_by:
        import certifi

        named_by, path = "certifi", certifi.where()
    is_folder = os.path.isdir(path)  # noqa: PTH112 - a text, which may be anything
    try:
        context = ssl.create_default_context(capath=path) if is_folder else ssl.create_default_context(cafile=path)
    except FileNotFoundError:
        raise ConfigurationError(f"{named_by} names a file of certificates that is not there") from None
    except (OSError, ValueError):  # ssl.SSLError among them
        raise ConfigurationError(f"{named_by} names a file that holds no certificates in PEM form") from None
    # aiohttp leaves this as it is, and httpx sets it to the same
    context.set_alpn_protocols(["http/1.1", "h2"] if http2 else ["http/1.1"])
    return context
