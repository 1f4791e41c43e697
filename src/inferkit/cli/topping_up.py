"""What `inferkit budgets top-up` does: finds the account that is meant, adds to it, and says how it stands."""

from __future__ import annotations

from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING

from inferkit.budgets.limits import MOST
from inferkit.budgets.windows import rolling_window
from inferkit.cli.budgeting import as_dict, show_standings
from inferkit.cli.interrupts import Interrupted
from inferkit.cli.opening import ledger_at, records_at
from inferkit.cli.showing import dollars, say, write_json
from inferkit.cli.standing import rolling_seconds, standings
from inferkit.core.errors import ConfigurationError
from inferkit.core.money import to_nanos
from inferkit.ledger.amounts import Amounts, Line
from inferkit.ledger.decisions import UNITS
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.cli.standing import AccountStanding

__all__ = ["top_up_budget"]


def top_up_budget(
    name: str,
    key: str | None,
    amount: str,
    *,
    unit: str,
    per: str | None,
    new: bool,
    ledger: str | None,
    as_json: bool,
) -> None:
    """Do what the command does. Raises `ConfigurationError` and `LedgerError`; then nothing was added."""
    amounts = _amounts(amount, unit)
    now = clock.time()
    records = records_at(ledger)
    try:
        known = list(standings(records, now, name))
        names = sorted({each.budget for each in standings(records, now)}) if not known else []
    finally:
        records.close()
    if not known:
        raise ConfigurationError(
            f'no budget "{name}" has paid for a call in this ledger{_near(name, names)}; `inferkit budgets` lists them'
        )
    line = _line(name, key, known, per=per, new=new, at=now)
    limits = next((each.limits for each in known if each.account == line.account and any(each.limits)), None)
    if limits is not None and limits[UNITS.index(unit)] is None:
        limited = " and ".join(each for each, limit in zip(UNITS, limits, strict=True) if limit is not None)
        raise ConfigurationError(f"budget {name} does not limit {unit}; it limits {limited}: --unit")
    book = ledger_at(ledger)
    try:
        book.top_up(line, amounts, at=now)
    except KeyboardInterrupt:
        raise Interrupted(f"`inferkit budgets --name {name}` shows whether it was added") from None
    finally:
        book.close()
    records = records_at(ledger)
    try:
        account = line.account
        after = [
            each for each in standings(records, now, name) if each.account == account and each.window >= line.window
        ]
    finally:
        records.close()
    period = line.window.partition(":")[0]
    after = [each for each in after if each.period == period][-1:]
    if as_json:
        write_json([as_dict(each) for each in after])
        return
    added = dollars(amounts.usd) if unit == "usd" else f"{amount} {unit}"
    say(f"added {added} to {line.account}")
    show_standings(after)


def _amounts(amount: str, unit: str) -> Amounts:
    if unit not in UNITS:
        raise ConfigurationError(f'a unit is one of {", ".join(UNITS)}; got "{unit}"')
    if unit == "usd":
        found = Amounts(usd=to_nanos(amount.strip().removeprefix("$"), "the amount"))
    else:
        number = int(amount) if amount.isascii() and amount.isdigit() and len(amount) <= len(str(MOST)) else 0
        found = Amounts(**{unit: number})
    if not any(found) or max(found[1:]) > MOST:
        raise ConfigurationError(f'the amount is above zero, and a whole number of tokens or calls; got "{amount}"')
    return found


def _line(
    name: str, key: str | None, known: Sequence[AccountStanding], *, per: str | None, new: bool, at: float
) -> Line:
    """Find the account, and its last window: what is added there and not used goes on into those to come."""
    account = name if key is None else f"{name}:{key}"
    own = [each for each in known if each.account == account]
    if not own:
        keys = sorted({each.key for each in known if each.key is not None})
        if key is None:
            raise ConfigurationError(
                f"budget {name} is kept by key; say whose share: inferkit budgets top-up {name} KEY AMOUNT"
            )
        if not keys:
            raise ConfigurationError(f"budget {name} has no shares; leave the key out")
        if not new:
            raise ConfigurationError(
                f'"{key}" has used nothing of budget {name} yet{_near(key, keys)}; '
                "with --new it is topped up all the same"
            )
    among = own or known
    periods = sorted({each.period for each in among})
    if per is not None:
        if per not in periods:
            raise ConfigurationError(f'{account} is kept per {" and per ".join(periods)}; got --per "{per}"')
    elif len(periods) > 1:
        raise ConfigurationError(f"{account} is kept per {' and per '.join(periods)}; say which: --per {periods[0]}")
    period = per or periods[0]
    length = rolling_seconds(period)
    if length is not None:
        short, since = rolling_window(timedelta(seconds=length), at)
        return Line(account, short.label, since=since)
    return Line(account, max(each.window for each in among if each.period == period))


def _near(name: str, names: Sequence[str]) -> str:
    close = get_close_matches(name, names, n=3)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
