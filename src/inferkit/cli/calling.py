"""What `inferkit calls` lists."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from inferkit.budgets.windows import zone_named
from inferkit.cli.opening import records_at
from inferkit.cli.showing import Column, dollars, exact, progress, say, show_table, write_json
from inferkit.cli.times import instant_of, iso, short_times
from inferkit.core.attempt import Outcome
from inferkit.core.errors import ConfigurationError
from inferkit.economics.formatting import plural
from inferkit.ledger.journal import EntryKind
from inferkit.ledger.sqlite.search import CallFilter, archived_between, search
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    from inferkit.ledger.journal import Entry
    from inferkit.ledger.sqlite.journal import SqliteRecords

__all__ = ["as_dict", "list_calls", "model_of", "show_entries", "status_of", "wanted_of"]

_STATUSES = (*get_args(Outcome), *(kind for kind in get_args(EntryKind) if kind != "settled"), "degraded")
_SHOWN, _WHOLE = 16, 28  # characters of an id: twelve of them are its time
_COLUMNS = (
    Column("Call"),
    Column("Ended"),
    Column("User", 1, fold=True),
    Column("Tenant", 5, fold=True),
    Column("Feature", 2, fold=True),
    Column("Plan", 6, fold=True),
    Column("Model", fold=True),
    Column("In", 3, right=True),
    Column("Out", 3, right=True),
    Column("Cost", right=True),
    Column("Status"),
    Column("Tries", 4, right=True),
)


def wanted_of(*, since: str | None, until: str | None, zone: str, status: str | None, **others: Any) -> CallFilter:
    """Read what is asked for. Raises `ConfigurationError`."""
    if status is not None and status not in _STATUSES:
        raise ConfigurationError(f'a status is one of {", ".join(_STATUSES)}; got "{status}"')
    first, end = instant_of(since, zone), instant_of(until, zone)
    if first is not None and end is not None and first >= end:
        raise ConfigurationError(f"the time ends ({until}) before it begins ({since})")
    if first is not None and first > clock.time():
        raise ConfigurationError(f"the time begins in the future ({since})")
    return CallFilter(first, end, status=status, **others)


def list_calls(wanted: CallFilter, *, ledger: str | None, zone: str, dearest: bool, limit: int, as_json: bool) -> None:
    """Show entries. Raises `ConfigurationError` and `LedgerError`."""
    tz = zone_named(zone)
    records = records_at(ledger)
    try:
        with progress("looking through the ledger") as step:
            found = search(records.reader, wanted, limit=limit, dearest=dearest, step=step)
        if as_json:
            write_json([as_dict(entry, tz) for entry in found])
            return
        if found:
            show_entries(found, tz)
        else:
            say(
                "no call in this ledger is like that" if wanted != CallFilter() else "there are no calls in this ledger"
            )
        if len(found) == limit:
            what = "dearest" if dearest else "newest"
            say(f"the {what} {limit}; more with --limit, one in full with `inferkit calls ID`", "dim")
        _say_what_is_elsewhere(records, wanted)
    finally:
        records.close()


def show_entries(entries: Sequence[Entry], tz: ZoneInfo, *, whole: bool = False) -> None:
    """Print entries as a table, with `whole` ids or as much of them as tells them apart."""
    times = short_times([entry.at for entry in entries], tz)
    rows = [_row(entry, when, whole=whole) for entry, when in zip(entries, times, strict=True)]
    columns = [column._replace(title=f"Ended ({tz.key})") if column.title == "Ended" else column for column in _COLUMNS]
    styles = ["red" if entry.charge.outcome == "error" else "" for entry in entries]
    show_table(columns, rows, styles=styles)


def _row(entry: Entry, when: str, *, whole: bool) -> list[str]:
    charge = entry.charge
    cost = dollars(charge.usd)
    return [
        entry.call[:_SHOWN] if len(entry.call) >= _WHOLE and not whole else entry.call,
        when,
        *(getattr(charge.attribution, name) or "" for name in ("user", "tenant", "feature", "plan")),
        model_of(entry),
        f"{charge.input_tokens:,}",
        f"{charge.output_tokens:,}",
        f"~{cost}" if charge.estimated and charge.usd else cost,
        status_of(entry),
        str(charge.attempts) if charge.attempts != 1 else "",
    ]


def model_of(entry: Entry) -> str:
    """Name the model that served a call."""
    charge = entry.charge
    return ":".join(filter(None, (charge.provider, charge.model))) or charge.asked or ""


def status_of(entry: Entry) -> str:
    """Say in a word how a call ended."""
    if entry.kind != "settled":
        return entry.kind
    ended = entry.charge.outcome or "settled"
    return f"{ended}, degraded" if entry.charge.degraded else ended


def _say_what_is_elsewhere(records: SqliteRecords, wanted: CallFilter) -> None:
    since = -math.inf if wanted.since is None else wanted.since
    until = math.inf if wanted.until is None else wanted.until
    archived = archived_between(records.reader, since, until)
    if archived is not None:
        first, last, names = (_day(archived[0]), _day(archived[1]), archived[2])
        say(f"calls from {first} to {last} are archived; ask the archive, which is a ledger too: {names}", "dim")
    if wanted == CallFilter():
        held = records.pending(clock.time())
        if held.calls:
            gone = f", {plural(held.lapsed_calls, 'one')} of a process that is gone" if held.lapsed_calls else ""
            are = "is" if held.calls == 1 else "are"
            say(f"{plural(held.calls, 'call')} {are} not settled yet and held {dollars(held.usd)}{gone}", "dim")


def _day(at: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
    except (OverflowError, ValueError, OSError):
        return "the beginning" if at < 0 else "the end"


def as_dict(entry: Entry, tz: ZoneInfo) -> dict[str, Any]:
    """Give an entry as JSON has it: amounts as texts in dollars, with every digit."""
    charge = entry.charge
    counts = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    return {
        "call": entry.call,
        "kind": entry.kind,
        "at": iso(entry.at, tz),
        "calls": entry.calls,
        "operation": charge.operation,
        "asked": charge.asked,
        "provider": charge.provider,
        "model": charge.model,
        "outcome": charge.outcome,
        "finish_reason": charge.finish_reason,
        "usd": exact(charge.usd),
        "reported_usd": exact(charge.details.reported_nanos),
        "estimated": charge.estimated,
        "degraded": charge.degraded,
        **{name: getattr(charge, name) for name in counts},
        "details": charge.details.as_json(),
        "prompt_cache_saved_usd": exact(charge.prompt_cache_saved),
        "routing_saved_usd": exact(charge.routing_saved),
        "overrun_usd": exact(charge.overrun),
        "attempts": charge.attempts,
        "parts": [
            {
                "kind": part.kind,
                "provider": part.provider,
                "model": part.model,
                "outcome": part.outcome,
                "usd": exact(part.usd),
                **{name: getattr(part, name) for name in counts},
                "details": part.details.as_json(),
            }
            for part in charge.parts
        ],
        **charge.attribution._asdict(),
        "budgets": [{"account": account, "window": window} for account, window in entry.accounts],
    }
