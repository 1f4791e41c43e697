"""What `inferkit calls ID` shows: all that the ledger knows of one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.budgets.windows import zone_named
from inferkit.cli.calling import as_dict, model_of, show_entries, status_of
from inferkit.cli.opening import records_at
from inferkit.cli.showing import Column, dollars, exact, pairs, say, show_table, write_json
from inferkit.cli.times import iso
from inferkit.core.errors import ConfigurationError
from inferkit.core.money import format_usd
from inferkit.economics.formatting import instant, plural
from inferkit.ledger.sqlite.search import calls_like, held_by
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from zoneinfo import ZoneInfo

    from inferkit.core.usage import UsageDetails
    from inferkit.ledger.journal import Charge, Entry, Part
    from inferkit.ledger.sqlite.journal import SqliteRecords
    from inferkit.ledger.state import Held

__all__ = ["show_call"]

_MOST = 20  # calls that begin alike and are shown
_ATTEMPTS = (
    Column("Attempt"),
    Column("Model", fold=True),
    Column("Outcome"),
    Column("In", 1, right=True),
    Column("Cached", 2, right=True),
    Column("Out", 1, right=True),
    Column("Reasoning", 3, right=True),
    Column("Cost", right=True),
    Column("Listed now, in and out", 4),
)
_COUNTED = {"server_tools", "service_tier", "speed", "region", "reported_nanos", "operation"}


def show_call(begin: str, *, ledger: str | None, zone: str, as_json: bool) -> None:
    """Show the one call whose id begins so, or which ones do. Raises `ConfigurationError` and `LedgerError`."""
    tz = zone_named(zone)
    records = records_at(ledger)
    try:
        found = calls_like(records.reader, begin, _MOST + 1) if begin else []
        if not found:
            raise ConfigurationError(
                f'no call in this ledger has an id that begins with "{begin}"; `inferkit calls` lists them'
            )
        if len(found) > 1 and found[0] != begin:
            _refuse_many(records, found, begin, tz)
        call = found[0]
        held = held_by(records.reader, call)
        entries = list(records.entries(call=call))
        if as_json:
            write_json(
                {
                    "call": call,
                    "entries": [as_dict(entry, tz) for entry in entries],
                    "held": None if held is None else _held_as_dict(held, tz),
                }
            )
            return
        _show(call, entries, held, tz)
    finally:
        records.close()


def _refuse_many(records: SqliteRecords, found: Sequence[str], begin: str, tz: ZoneInfo) -> None:
    """Show the calls whose ids begin alike, and raise `ConfigurationError`."""
    entries = [entry for call in found[:_MOST] if held_by(records.reader, call) is None
               for entry in records.entries(call=call)]  # fmt: skip
    if entries:
        show_entries(entries, tz, whole=True)
    number = f"more than {_MOST}" if len(found) > _MOST else str(len(found))
    raise ConfigurationError(f'{number} calls have ids that begin with "{begin}"; give one in full')


def _show(call: str, entries: Sequence[Entry], held: Held | None, tz: ZoneInfo) -> None:
    say(f"call {call}", "bold")
    if held is not None:
        pairs(list(_of_hold(held, tz)))
    for entry in entries:
        if len(entries) > 1 or entry.kind != "settled":
            say(_KINDS[entry.kind])
        pairs(list(_of_entry(entry, tz)))
        _show_attempts(entry.charge)


_KINDS = {
    "settled": "settled",
    "expired": "expired: its process did not settle it in time, and what it held was booked",
    "corrected": "corrected: its process settled it late, by the difference to what was booked",
}


def _of_hold(held: Held, tz: ZoneInfo) -> Iterator[tuple[str, str]]:
    over = held.lease <= clock.time()
    until = instant(held.lease, tz.key)
    yield "status", "its process is gone; it is booked when the ledger is used next" if over else "running"
    yield "holds", f"{dollars(held.amounts.usd)}, {held.amounts.tokens:,} tokens, until {until} at the latest"
    yield from _of_attribution(held.attribution)
    yield from _of_accounts(held.accounts)


def _of_entry(entry: Entry, tz: ZoneInfo) -> Iterator[tuple[str, str]]:
    charge = entry.charge
    yield "ended", f"{instant(entry.at, tz.key)} ({tz.key})"
    yield "status", status_of(entry) + (f", {charge.finish_reason}" if charge.finish_reason else "")
    asked = f", asked for as {charge.asked}" if charge.asked not in (None, model_of(entry)) else ""
    yield "served by", f"{model_of(entry) or 'not known'}{asked}"
    if charge.operation != "chat":
        yield "operation", charge.operation
    yield from _of_attribution(charge.attribution)
    yield "tokens", _tokens(charge)
    yield "cost", _cost(charge)
    if charge.prompt_cache_saved:
        more = "saved" if charge.prompt_cache_saved > 0 else "cost more by"
        yield "prompt cache", f"{more} {format_usd(abs(charge.prompt_cache_saved))}"
    if charge.routing_saved:
        yield "route", f"saved {format_usd(charge.routing_saved)} against the dearest model behind the name"
    if charge.overrun:
        yield "overrun", f"{format_usd(charge.overrun)} more than was held for it"
    yield from _of_details(charge.details)
    yield from _of_accounts(entry.accounts)


def _of_attribution(names: Sequence[str | None]) -> Iterator[tuple[str, str]]:
    for what, name in zip(("user", "tenant", "feature", "plan"), names, strict=True):
        if name is not None:
            yield what, name


def _of_accounts(accounts: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for place, (account, window) in enumerate(accounts):
        yield "" if place else "charged to", f"{account}  {window}"
    if not accounts:
        yield "charged to", "no budget"


def _tokens(charge: Charge) -> str:
    parts = [f"{charge.input_tokens:,} in"]
    if charge.cache_read_tokens or charge.cache_write_tokens:
        parts[0] += f" ({charge.cache_read_tokens:,} read from the prompt cache, {charge.cache_write_tokens:,} written)"
    parts.append(f"{charge.output_tokens:,} out")
    if charge.reasoning_tokens:
        parts[1] += f" ({charge.reasoning_tokens:,} of reasoning)"
    return ", ".join(parts)


def _cost(charge: Charge) -> str:
    if charge.usd is None:
        return "not known: the model has no price"
    said = format_usd(charge.usd)
    if charge.estimated:
        said += ", an estimate: the provider did not report everything"
    reported = charge.details.reported_nanos
    return said if reported is None else f"{said}; {format_usd(reported)} as the provider says"


def _of_details(details: UsageDetails) -> Iterator[tuple[str, str]]:
    known = details.as_json()
    for kind, requests in details.server_tools:
        yield kind.replace("_", " "), plural(requests, "request")
    for name in ("service_tier", "speed", "region"):
        if known.get(name):
            yield name.replace("_", " "), str(known[name])
    for name, number in known.items():
        if name.endswith("_tokens"):
            yield name.removesuffix("_tokens").replace("_", " "), plural(number, "token")
        elif name.endswith("_nanoseconds"):
            yield name.removesuffix("_nanoseconds"), f"{number / 1e9:.3f} seconds of computing"


def _show_attempts(charge: Charge) -> None:
    if charge.parts:
        rows = [_attempt(number, part) for number, part in enumerate(charge.parts, 1)]
    elif charge.attempts and charge.provider is not None:
        only = (
            "primary", charge.provider, charge.model or "", charge.outcome or "", charge.usd, charge.input_tokens,
            charge.output_tokens, charge.cache_read_tokens, charge.cache_write_tokens, charge.reasoning_tokens,
            charge.details,
        )  # fmt: skip
        rows = [_attempt(1, only)]
    else:
        return
    say("")
    show_table(_ATTEMPTS, rows)


def _attempt(number: int, part: Part | tuple[object, ...]) -> list[str]:
    kind, provider, model, outcome, usd, tokens_in, tokens_out, read, _, reasoning, _ = part
    return [
        f"{number} {kind}",
        ":".join(filter(None, (str(provider), str(model)))),
        str(outcome),
        f"{tokens_in:,}",
        f"{read:,}" if read else "",
        f"{tokens_out:,}",
        f"{reasoning:,}" if reasoning else "",
        dollars(usd),  # type: ignore[arg-type]  # it is one, or None
        _listed(str(provider), str(model)),
    ]


def _listed(provider: str, model: str) -> str:
    """Say what a model costs by the list of this version, for a million tokens; the ledger keeps amounts alone."""
    from inferkit.pricing.price_book import PriceBook

    price = PriceBook().find(provider, model)
    return "" if price is None or provider == "local" else f"${price.input}, ${price.output} per million"


def _held_as_dict(held: Held, tz: ZoneInfo) -> dict[str, object]:
    return {
        "usd": exact(held.amounts.usd),
        "tokens": held.amounts.tokens,
        "until": iso(held.lease, tz),
        "sent": held.sent,
        **held.attribution._asdict(),
        "budgets": [{"account": account, "window": window} for account, window in held.accounts],
    }
