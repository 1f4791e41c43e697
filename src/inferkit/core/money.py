"""Money as integers: nano-dollars inside, `Decimal` at the edge, never float.

A nano-dollar is 10^-9 US dollars, fine enough for a thousandth of the cheapest token sold, and 64 bits of them reach
nine billion dollars.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext

from inferkit.core.errors import ConfigurationError

__all__ = ["NANOS_PER_USD", "format_usd", "to_nanos", "to_usd"]

NANOS_PER_USD = 1_000_000_000
_LARGEST_USD = 1_000_000_000
_CENT = Decimal("0.01")
_WHOLE = Decimal(0)


def to_nanos(amount: str | int | Decimal, what: str = "an amount of money") -> int:
    """Turn dollars into nano-dollars, exactly. `what` names the amount in the message of an error.

    Raises `ConfigurationError` for a float, for anything that is not a number, and for amounts that are negative,
    finer than a nano-dollar, or above a billion dollars.
    """
    if isinstance(amount, float) and math.isfinite(amount):
        raise ConfigurationError(f'{what} is given as a string, because a float is not exact: "{amount}", not {amount}')
    if isinstance(amount, bool) or not isinstance(amount, str | int | float | Decimal):
        raise ConfigurationError(
            f'{what} is a string, an int or a Decimal of dollars, for example "5.00"; got {type(amount).__name__}'
        )
    try:
        usd = Decimal(amount)
    except InvalidOperation:
        raise ConfigurationError(f'{what} is a plain number of dollars, for example "5.00"; got {amount!r}') from None
    if not usd.is_finite() or usd < 0:
        raise ConfigurationError(f"{what} is zero dollars or more; got {amount}")
    if usd > _LARGEST_USD:
        raise ConfigurationError(f"{what} is at most a billion dollars; got {amount}")
    with localcontext() as context:
        context.prec = 60  # room for every digit of any amount that passes the check below
        nanos = usd * NANOS_PER_USD
        if nanos != nanos.to_integral_value():
            raise ConfigurationError(f"{what} is a whole number of nano-dollars (nine decimals); got {amount}")
        return int(nanos)


_NOTHING = Decimal(0)


def to_usd(nanos: int) -> Decimal:
    """Turn nano-dollars into dollars, exactly, without zeros at the end: zero is 0, and not 0E-9."""
    if not nanos:  # as every hit of the cache has it, twice
        return _NOTHING
    usd = Decimal(nanos).scaleb(-9).normalize()
    return usd if usd % 10 else usd + _WHOLE  # or else 10 would be 1E+1


def format_usd(nanos: int) -> str:
    """Write an amount for people: to the cent, or to as many digits as an amount below a cent needs."""
    sign, size = ("-", -nanos) if nanos < 0 else ("", nanos)
    usd = to_usd(size)
    if size % (NANOS_PER_USD // 100) == 0 or size >= NANOS_PER_USD:
        return f"{sign}${usd.quantize(_CENT, ROUND_HALF_UP):,}"
    return f"{sign}${usd.normalize():f}"
