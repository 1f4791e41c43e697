"""What a test asks of the calls that were made: which, for whom, at what cost, and that there was none."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.errors import ConfigurationError
from inferkit.ledger.ledger import Ledger
from inferkit.testing.fakes import settled

if TYPE_CHECKING:
    from typing import TypedDict, Unpack

    from inferkit.client.shared import Shared
    from inferkit.ledger.journal import Charge

    class Which(TypedDict, total=False):
        """Which calls are meant: those that are all of these."""

        user: str
        tenant: str
        feature: str
        model: str
        provider: str
        asked: str


__all__ = ["Spending", "calls", "never_called", "spent"]

_WHOSE = frozenset({"user", "tenant", "feature"})
_WHAT = frozenset({"model", "provider", "asked"})


class Spending(NamedTuple):
    """What calls came to: dollars, tokens, and how many there were."""

    usd: Decimal
    tokens: int
    calls: int


def calls(llm: Shared | Ledger, **which: Unpack[Which]) -> list[Charge]:
    """Give what was booked of each call that was sent to a provider, in the order in which they ended.

    `llm` is a client or its ledger. `user`, `tenant` and `feature` are whom a call was for, `model` and `provider` who
    served it, and `asked` the name that the caller used. Streams that were dropped are waited for. What the cache
    answered, or a budget refused, is no call here.

    Raises `ConfigurationError` for a client that keeps no ledger.
    """
    if unknown := which.keys() - _WHOSE - _WHAT:
        raise ConfigurationError(f"calls are told apart by {', '.join(sorted(_WHOSE | _WHAT))}; not by {min(unknown)}")
    settled()
    ledger = llm if isinstance(llm, Ledger) else llm.ledger
    return [
        entry.charge
        for entry in ledger.entries()
        if all(
            getattr(entry.charge.attribution if name in _WHOSE else entry.charge, name) == wanted
            for name, wanted in which.items()
        )
    ]


def spent(llm: Shared | Ledger, **which: Unpack[Which]) -> Spending:
    """Give what calls came to in all; see `calls`. A call without a known price counts as no dollars.

    ```python
    assert spent(llm, user="ana").usd <= Decimal("0.01")
    ```
    """
    found = calls(llm, **which)
    usd = Decimal(sum(charge.usd or 0 for charge in found)) / 10**9
    return Spending(usd, sum(charge.tokens for charge in found), len(found))


def never_called(llm: Shared | Ledger, **which: Unpack[Which]) -> None:
    """Raise `AssertionError`, which names them, where such calls were sent to a provider; see `calls`."""
    found = calls(llm, **which)
    if found:
        meant = ", ".join(f"{name}={value!r}" for name, value in which.items())
        lines = "\n".join(f"  {_shown(charge)}" for charge in found)
        raise AssertionError(f"expected no call{meant and f' with {meant}'}; there were {len(found)}:\n{lines}")


def _shown(charge: Charge) -> str:
    who = charge.attribution
    said = {"asked": charge.asked, "user": who.user, "tenant": who.tenant, "feature": who.feature}
    named = ", ".join(f"{name} {value}" for name, value in said.items() if value is not None)
    cost = "price unknown" if charge.usd is None else f"{charge.usd / 1e9:.6f} USD"
    served = f"{charge.provider}:{charge.model}" if charge.model else "nobody answered"
    return f"{served} ({named}), {charge.outcome}, {charge.tokens} tokens, {cost}"
