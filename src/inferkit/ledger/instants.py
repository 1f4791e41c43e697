"""Instants as a ledger has them: in seconds since the epoch, which are the same in every time zone."""

from __future__ import annotations

import math

from inferkit.core.errors import ConfigurationError

__all__ = ["check_instant"]


def check_instant(what: str, given: float | None) -> None:
    """Refuse what is no instant, such as a date: a comparison with it would find nothing, and say nothing."""
    number = isinstance(given, int | float) and not isinstance(given, bool) and not math.isnan(given)
    if given is not None and not number:
        raise ConfigurationError(
            f"{what} is in seconds since the epoch, datetime.timestamp() gives them; got {given!r}"
        )
