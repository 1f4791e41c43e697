"""What `inferkit budgets` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.cli.opening import records_at
from inferkit.cli.showing import Column, dollars, exact, progress, say, show_table, write_json
from inferkit.cli.standing import INTERNAL, rolling_seconds, standings
from inferkit.economics.formatting import MONTHS, count
from inferkit.ledger.decisions import UNITS
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inferkit.cli.standing import AccountStanding

__all__ = ["as_dict", "list_budgets", "show_standings"]

_COLUMNS = (
    Column("Budget", fold=True),
    Column("Key", fold=True),
    Column("Used", right=True),
    Column("Held", 2, right=True),
    Column("Left", right=True),
    Column("Of", right=True),
    Column("Added", 3, right=True),
    Column("Period", 4),
    Column("Resets", 1),
)
_HOUR, _MINUTE = 3600, 60


def list_budgets(
    *, ledger: str | None, name: str | None, key: str | None, used: int, everything: bool, limit: int, as_json: bool
) -> None:
    """Show them. Raises `ConfigurationError` and `LedgerError`."""
    records = records_at(ledger)
    now = clock.time()
    try:
        with progress("reading the budgets") as step:
            of_all = list(standings(records, now, name, step)) or list(standings(records, now))
    finally:
        records.close()
    asked = [each for each in of_all if name in (None, each.budget) and key in (None, each.key)]
    running = [each for each in asked if not each.is_over(now) and (name or not INTERNAL.fullmatch(each.budget))]
    chosen = asked if everything else list(_latest(running))
    chosen = [each for each in chosen if 100 * each.used_share >= used or not used]
    chosen.sort(key=lambda each: (-each.used_share, each.account, each.window))
    if as_json:
        write_json([as_dict(each) for each in chosen[:limit]])
        return
    if chosen:
        show_standings(chosen[:limit], windows=everything)
    else:
        say(_nothing(of_all, asked))
    if len(chosen) > limit:
        say(f"the scarcest {limit} of {count(len(chosen))}; more with --limit, others with --name, --key", "dim")


def _nothing(of_all: Sequence[AccountStanding], asked: Sequence[AccountStanding]) -> str:
    if not of_all:
        return "no budget has paid for a call in this ledger"
    if not asked:
        names = sorted({each.budget for each in of_all if not INTERNAL.fullmatch(each.budget)})
        return f"there is no such account in this ledger; the budgets are: {', '.join(names[:20]) or 'none'}"
    return "nothing of it was used in the running period; --all shows those before"


def _latest(running: Iterable[AccountStanding]) -> Iterable[AccountStanding]:
    """Give the last window of each account, of those of one period: where clocks differ, the next may be open."""
    latest: dict[tuple[str, str], AccountStanding] = {}
    for each in running:  # in the order of their windows
        latest[each.account, each.period] = each
    return latest.values()


def show_standings(chosen: Sequence[AccountStanding], *, windows: bool = False) -> None:
    """Print them as a table, a line for each unit that is limited; with their windows instead of their periods."""
    rows, styles = [], []
    for each in chosen:
        units = [unit for unit, limit in enumerate(each.limits) if limit is not None] or [0]
        for unit in units:
            rows.append(_row(each, unit, windows=windows))
            styles.append("red" if each.left[unit] == 0 else "")
    show_table(_COLUMNS, rows, styles=styles)


def _row(each: AccountStanding, unit: int, *, windows: bool) -> list[str]:
    posted, pending, extra = each.balance.posted, each.balance.pending, each.balance.extra
    limit, left = each.limits[unit], each.left[unit]
    return [
        each.budget,
        each.key or "",
        _amount(posted[unit], unit),
        _amount(pending[unit], unit) if pending[unit] else "",
        "" if left is None else _amount(left, unit),
        "not known" if limit is None else _amount(limit, unit),
        _amount(extra[unit], unit) if extra[unit] else "",
        each.window if windows else _period(each.period),
        _resets(each),
    ]


def _amount(amount: int, unit: int) -> str:
    return dollars(amount) if unit == 0 else f"{amount:,} {UNITS[unit]}"


def _period(period: str) -> str:
    length = rolling_seconds(period)
    if length is None:
        return period
    if length % _HOUR == 0:
        return f"any {length // _HOUR} h"
    return f"any {length // _MINUTE} min" if length % _MINUTE == 0 else f"any {length} s"


def _resets(each: AccountStanding) -> str:
    if each.ends is None:
        return "never" if each.period == "total" else "rolls"
    day = f"{each.ends.day} {MONTHS[each.ends.month - 1][:3]}"
    return f"{day} {each.ends:%H:%M} UTC" if each.period == "hour" else day


def as_dict(each: AccountStanding) -> dict[str, Any]:
    """Give one as JSON has it: amounts as texts in dollars, with every digit."""
    balance = each.balance

    def amounts(values: Sequence[int | None]) -> dict[str, Any]:
        return {"usd": exact(values[0]), "tokens": values[1], "calls": values[2]}

    return {
        "budget": each.budget,
        "key": each.key,
        "account": each.account,
        "period": each.period,
        "window": each.window,
        "resets": None if each.ends is None else each.ends.isoformat(),
        "used": amounts(balance.posted),
        "held": amounts(balance.pending),
        "limit": amounts(each.limits),
        "added": amounts(balance.extra),
        "left": amounts(each.left),
    }
