"""`Http`: over which library requests travel, with which connections, and what is believed of who answers."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, Literal, get_args

from inferkit.core.errors import ConfigurationError
from inferkit.providers.http.transport import Timeouts

__all__ = ["LIBRARIES", "Http", "Library"]

Library = Literal["httpx", "aiohttp"]
LIBRARIES: tuple[str, ...] = get_args(Library)
_MAX_REPLY_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Http:
    """How requests travel.

    `library` is "httpx", which serves every caller, or "aiohttp", which is for asyncio and faster there (the extra
    `inferkit[aiohttp]`). Without one, the environment variable INFERKIT_TRANSPORT names it, and httpx is the default.

    At most `max_connections` are open at once, for each event loop and for all threads together; at most
    `max_idle_connections` of them wait for a next call, for `idle_seconds`. `http2` has requests share connections
    where the server can do that; it is httpx's alone and needs the extra `inferkit[h2]`.

    `ca` says whose certificates are believed: a PEM file, a folder of them, or an `ssl.SSLContext`, which may also hold
    a certificate of your own. Without it, the environment's SSL_CERT_FILE or SSL_CERT_DIR does, or the list of certifi.

    A reply that unpacks to more than `max_reply_bytes` is an error. Raises `ConfigurationError` for what makes no
    sense.
    """

    library: Library | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_connections: int = 1000
    max_idle_connections: int = 100
    idle_seconds: float = 30.0
    http2: bool = False
    ca: str | os.PathLike[str] | SSLContext | None = None
    max_reply_bytes: int = _MAX_REPLY_BYTES

    def __post_init__(self) -> None:
        if self.library is not None and self.library not in LIBRARIES:
            raise ConfigurationError(f"transport= is one of {_names()}, or an Http(...); got {_shown(self.library)}")
        check_timeouts(self.timeouts)
        for name in ("max_connections", "max_reply_bytes"):
            if not _is_count(getattr(self, name), least=1):
                raise ConfigurationError(f"Http({name}=...) is a whole number from 1")
        if not _is_count(self.max_idle_connections, least=0):
            raise ConfigurationError("Http(max_idle_connections=...) is a whole number from 0")
        if not _is_seconds(self.idle_seconds):
            raise ConfigurationError("Http(idle_seconds=...) is a number of seconds greater than 0")
        if not isinstance(self.http2, bool):
            raise ConfigurationError("Http(http2=...) is True or False")
        if self.ca is not None and not isinstance(self.ca, str | os.PathLike | SSLContext):
            raise ConfigurationError("Http(ca=...) is the path of a PEM file or a folder of them, or an ssl.SSLContext")
        if self.http2 and self.library == "aiohttp":
            raise ConfigurationError('aiohttp speaks no HTTP/2; leave http2=True out, or take transport="httpx"')


def check_timeouts(timeouts: Any) -> None:
    """Raise `ConfigurationError` for what cannot be timeouts."""
    if not isinstance(timeouts, Timeouts):
        raise ConfigurationError("timeouts= is a Timeouts: Timeouts(connect=5, read=600), in seconds")
    for name in Timeouts.__slots__:
        if not _is_seconds(getattr(timeouts, name)):
            raise ConfigurationError(f"Timeouts({name}=...) is a number of seconds greater than 0, or math.inf")


def _is_count(value: Any, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value) and value > 0


def _names() -> str:
    return " and ".join(f'"{name}"' for name in LIBRARIES)


def _shown(value: Any) -> str:
    return f'"{value[:40]}"' if isinstance(value, str) else f"a {type(value).__name__}"
