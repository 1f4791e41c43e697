"""What never gets onto a tape: keys, cookies and names of accounts, wherever they stand.

Of a request's headers only those are kept that say what is asked for. In bodies a secret becomes as many asterisks, so
that every byte keeps its place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["masked", "reply_headers", "request_headers", "secrets_in", "shown_url"]

_KEPT_OF_REQUESTS = {"accept", "anthropic-beta", "anthropic-version", "content-type", "openai-beta"}
_SECRET_NAME = re.compile(r"auth|api-?key|token|cookie|secret|organi[sz]ation|project|account|session|user", re.ASCII)
_HARMLESS = re.compile(r"(?:x|anthropic)-ratelimit-[a-z-]+", re.ASCII)
_KEPT_OF_QUERIES = {"alt", "api-version"}
_KEYS = re.compile(rb"(?:sk|gsk|xai|rk|pk|hf|r8|AIza|csk|fw|key)[-_][A-Za-z0-9_\-]{16,}|AIza[A-Za-z0-9_\-]{30,}")
_SHORTEST = 6  # what is shorter is in every text by chance


def request_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Give those headers of a request that are kept."""
    return {name.lower(): value for name, value in headers.items() if name.lower() in _KEPT_OF_REQUESTS}


def reply_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Give those headers of a reply that are kept: all whose name tells of no secret."""
    lowered = ((name.lower(), value) for name, value in headers)
    return [(name, value) for name, value in lowered if _HARMLESS.fullmatch(name) or not _SECRET_NAME.search(name)]


def shown_url(url: str) -> str:
    """Give a URL without what its query may hold of a key, and without a password."""
    parts = urlsplit(url)
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name in _KEPT_OF_QUERIES])
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def secrets_in(url: str, headers: Mapping[str, str], more: Iterable[str] = ()) -> list[bytes]:
    """Give the secrets that a request carries, and `more`, the longest first."""
    found = set(more)
    for name, value in headers.items():
        if name.lower() not in _KEPT_OF_REQUESTS and _SECRET_NAME.search(name.lower()):
            found |= {value, value.rpartition(" ")[2]}  # with its scheme, and without
    found |= {value for name, value in parse_qsl(urlsplit(url).query) if name not in _KEPT_OF_QUERIES}
    return sorted((each.encode() for each in found if len(each) >= _SHORTEST), key=len, reverse=True)


def masked(data: bytes, secrets: Iterable[bytes]) -> bytes:
    """Give bytes in which secrets, and what looks like a key, are asterisks."""
    for secret in secrets:
        data = data.replace(secret, b"*" * len(secret))
    return _KEYS.sub(lambda match: b"*" * len(match.group()), data)
