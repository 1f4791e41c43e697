"""A ledger in a notebook: what was entered in the last day, and how its accounts stand. It reads and never writes."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from inferkit.core.errors import InferkitError
from inferkit.core.money import to_usd
from inferkit.core.shown import html_of, table_html
from inferkit.runtime import clock

if TYPE_CHECKING:
    from inferkit.ledger.amounts import Balance
    from inferkit.ledger.protocols import Records

__all__ = ["ledger_html"]

_DAY = 86_400.0  # seconds
_MOST_ENTRIES, _MOST_BALANCES = 10_000, 10_000  # that are read for it: some tenths of a second
_MOST_ACCOUNTS = 20


def ledger_html(title: str, records: Records) -> str:
    """Draw it. A ledger that cannot be read says so in its place, since a cell that shows something must not fail."""
    try:
        day, accounts = _day(records), _accounts(records)
    except InferkitError as error:
        return html_of(title, table_html([("cannot be read", str(error))]))
    return html_of(title, day, accounts)


def _day(records: Records) -> str:
    entries = list(islice(records.entries(since=clock.time() - _DAY), _MOST_ENTRIES + 1))
    more = "more than " if len(entries) > _MOST_ENTRIES else ""
    entries = entries[:_MOST_ENTRIES]
    calls = sum(entry.calls for entry in entries)
    usd = sum(entry.charge.usd or 0 for entry in entries)
    estimated = sum(entry.charge.usd or 0 for entry in entries if entry.charge.estimated)
    unpriced = sum(entry.calls for entry in entries if entry.charge.usd is None)
    said = f"{more}{calls:,} call{'s' * (calls != 1)}, {more}{_dollars(usd)}"
    said += f", of which {_dollars(estimated)} are estimates" if estimated else ""
    said += f"; {unpriced:,} of them without a price" if unpriced else ""
    return table_html([("the last 24 hours", said)])


def _accounts(records: Records) -> str:
    last: dict[tuple[str, str], tuple[str, Balance]] = {}
    for account, window, balance in islice(records.balances(), _MOST_BALANCES):
        key = (account, window.partition(":")[0])
        if key not in last or window > last[key][0]:
            last[key] = (window, balance)
    if not last:
        return ""
    spent = sorted(last.items(), key=lambda each: -each[1][1].posted.usd)
    rows = [
        (
            account,
            window,
            _dollars(balance.posted.usd),
            f"{balance.posted.tokens:,}",
            f"{balance.posted.calls:,}",
            _dollars(balance.pending.usd),
            _dollars(balance.extra.usd),
        )
        for (account, _), (window, balance) in spent[:_MOST_ACCOUNTS]
    ]
    heads = ("account", "latest period", "spent", "tokens", "calls", "held", "added")
    left = len(spent) - len(rows)
    return table_html(rows, heads) + (table_html([(f"and {left:,} more accounts",)]) if left else "")


def _dollars(nanos: int) -> str:
    return f"${to_usd(nanos):,f}"
