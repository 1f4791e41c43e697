"""What an address, a header and a key may be: checked where they are given, and never quoted, since they are secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from inferkit.core.errors import ConfigurationError

__all__ = ["checked_headers", "clean", "split_address"]

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def split_address(base_url: str) -> tuple[str, str]:
    """Check a base URL; return it without its slash and its query, which may hold a key, and that query."""
    if not isinstance(base_url, str):
        raise ConfigurationError(f"base_url= is a text like https://host/v1; got a {type(base_url).__name__}")
    try:
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        parts.port  # noqa: B018 - raises for a bad one
    except ValueError:
        raise ConfigurationError("base_url= is not a URL; pass one like https://host/v1") from None
    if parts.scheme not in {"http", "https"} or not host or not base_url.isprintable() or " " in base_url:
        raise ConfigurationError("base_url= must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("base_url= holds a password; pass it as headers={'authorization': ...} instead")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")), parts.query


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Check headers; return them with their names in lower case."""
    if not isinstance(headers, Mapping):
        raise ConfigurationError("headers= is a dictionary of names and values")
    checked = {}
    for header, value in headers.items():
        if not isinstance(header, str) or not _HEADER_NAME.fullmatch(header):
            raise ConfigurationError("headers= has a name that is no HTTP header's")
        checked[header.lower()] = clean(f"headers[{header!r}]", value) or ""
    return checked


def clean(what: str, secret: str | None) -> str | None:
    """Take the blanks off a credential, as they come with copying, and refuse what no header can carry."""
    if secret is None:
        return None
    if not isinstance(secret, str):
        raise ConfigurationError(f"{what} is a text; got a {type(secret).__name__}")
    secret = secret.strip()
    if not secret.isascii() or not secret.isprintable():
        raise ConfigurationError(f"{what} holds characters that an HTTP header cannot carry; copy it again")
    return secret or None
