"""Asks servers whether they are there, all at once, and what time it is for them. No key is sent, and nothing asked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import httpx

__all__ = ["Reached", "reach"]

_SECONDS = 5.0  # for each, and so for all of them


class Reached(NamedTuple):
    """What came of it: the `status` that a server answered with, after `seconds`, or the `error` in its place.

    `ahead` is how many seconds this machine's clock is ahead of the server's, as well as a header in whole seconds
    can tell; None where it has none.
    """

    status: int | None
    seconds: float
    ahead: float | None = None
    error: str = ""


def reach(addresses: Iterable[str], step: Callable[[int, int], object] = lambda *_: None) -> dict[str, Reached]:
    """Ask each address; `step` is told how many have answered."""
    wanted = list(dict.fromkeys(addresses))
    found: dict[str, Reached] = {}
    if not wanted:
        return found
    import httpx

    with (
        httpx.Client(timeout=_SECONDS, follow_redirects=False) as client,
        ThreadPoolExecutor(max_workers=min(16, len(wanted))) as threads,
    ):
        for address, reached in zip(wanted, threads.map(lambda address: _ask(client, address), wanted), strict=True):
            found[address] = reached
            step(len(found), len(wanted))
    return found


def _ask(client: httpx.Client, address: str) -> Reached:
    import httpx

    begun, at = clock.now(), clock.time()
    try:
        with client.stream("GET", address) as response:
            seconds = clock.now() - begun
            date = response.headers.get("date")
            return Reached(response.status_code, seconds, _ahead(date, at + seconds / 2))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return Reached(None, clock.now() - begun, error=_said(error))


def _ahead(date: str | None, at: float) -> float | None:
    try:
        return None if date is None else at - (parsedate_to_datetime(date).timestamp() + 0.5)
    except ValueError:
        return None


def _said(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return f"it did not answer within {_SECONDS:g} seconds"
    return str(error) or type(error).__name__
