"""Which releases of aiohttp are used: those that were tested, since connections are looked at by private names."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version

from inferkit.core.errors import ConfigurationError

__all__ = ["FIRST", "LAST", "check_aiohttp"]

FIRST, LAST = "3.14.0", "3.14.5"
"""The first and the last release that the tests have passed with; the extra `inferkit[aiohttp]` asks for these."""


def check_aiohttp(found: str | None = None) -> None:
    """Raise `ConfigurationError` where aiohttp is missing, or is a release that was not tested."""
    found = found or _installed()
    wanted = f"transport=\"aiohttp\" was tested with aiohttp {FIRST} to {LAST}: pip install 'inferkit[aiohttp]'"
    if found is None:
        raise ConfigurationError(f"aiohttp is not installed; {wanted}")
    if not _numbers(FIRST) <= _numbers(found) <= _numbers(LAST):
        raise ConfigurationError(f'aiohttp {found} is installed; {wanted}, or leave transport= at "httpx"')


@functools.lru_cache(maxsize=1)
def _installed() -> str | None:
    try:
        return version("aiohttp")
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    """Read a release; one that is not only numbers, as 4.0.0a1, is no release, and lies beyond all that were tested."""
    parts = text.split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else (2**31,)
