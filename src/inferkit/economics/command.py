"""`inferkit report`: reads a ledger, and writes its economics as tables, JSON or a page."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from inferkit._errors import ConfigurationError
from inferkit._home import ledger_file
from inferkit.budgets.plan import Plan, plan_from
from inferkit.budgets.plan_file import read_plans
from inferkit.budgets.prices import Price, PriceBook
from inferkit.budgets.sqlite import SqliteLedger
from inferkit.budgets.windows import window, zone_named
from inferkit.economics.report import DIMENSIONS, Period, Report, build_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.economics.report import Dimension
    from inferkit.economics.what_if import WhatIf

__all__ = ["Format", "dimensions_of", "period_of", "write_report"]

Format = Literal["table", "json", "html"]
_DAY = 86400.0


def period_of(since: str | None, until: str | None, month: str | None, zone: str) -> Period:
    """Read a period: a month ("2026-11"), or dates or instants; by default the running month up to now.

    Dates begin at midnight in `zone`. Raises `ConfigurationError`.
    """
    tz = zone_named(zone)
    now = datetime.now(UTC).astimezone(tz)
    if month is not None:
        if since is not None or until is not None:
            raise ConfigurationError("give a month, or since and until, not both")
        start = _instant(f"{month}-01", f'a month is written 2026-11; got "{month}"', zone)
        end = window("month", start.timestamp() + _DAY, zone).end
        assert end is not None
        return Period(start, min(end.astimezone(tz), max(now, start)), zone)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = first if since is None else _instant(since, _form(since), zone)
    end = now if until is None else _instant(until, _form(until), zone)
    if start >= end:
        raise ConfigurationError(f"the period ends ({end:%Y-%m-%d %H:%M}) before it begins ({start:%Y-%m-%d %H:%M})")
    return Period(start, end, zone)


def _form(text: str) -> str:
    return f'an instant is written 2026-11-01 or 2026-11-01T12:00; got "{text}"'


def _instant(text: str, form: str, zone: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(form) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone_named(zone))


def dimensions_of(text: str) -> list[Dimension]:
    """Read what to group by: names with commas between them. Raises `ConfigurationError`."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in DIMENSIONS:
            raise ConfigurationError(f'a report is by {", ".join(DIMENSIONS)}; got "{name}"')
    return cast("list[Dimension]", names)


def write_report(
    *,
    ledger: str | None,
    period: Period,
    plans: str | None,
    what_if: str | None,
    baseline: str | None,
    form: Format,
    by: Sequence[Dimension],
    top: int,
    output: str | None,
) -> None:
    """Do what the command does. Raises `ConfigurationError`, `UnpricedModel` and `LedgerError`."""
    book = _ledger(ledger)
    try:
        price = _price(baseline)
        report = build_report(book, period, plans=_plans(book, plans), baseline=price)
        played = None
        if what_if is not None:
            from inferkit.economics.scenario import read_scenario
            from inferkit.economics.what_if import play

            played = play(book, report, read_scenario(what_if), baseline=price)
        if form == "table":
            _print(report, played, by=by, top=top, output=output)
        else:
            _write(_rendered(report, played, form), output)
    finally:
        book.close()


def _ledger(path: str | None) -> SqliteLedger:
    file = ledger_file() if path is None else Path(path)
    if not file.is_file():
        raise ConfigurationError(f"there is no ledger at {file}; name the one that your application writes: --ledger")
    return SqliteLedger(file)


def _plans(ledger: SqliteLedger, path: str | None) -> list[Plan]:
    """Give the plans that the ledger knows, and over them those of a file."""
    known = {name: plan_from(name, json.loads(text)) for name, text in ledger.definitions().items()}
    if path is not None:
        known |= {plan.name: plan for plan in read_plans(path)}
    return list(known.values())


def _price(baseline: str | None) -> Price | None:
    if baseline is None:
        return None
    provider, colon, model = baseline.partition(":")
    if not colon:
        raise ConfigurationError(f'baseline is a model, written "provider:model"; got "{baseline}"')
    return PriceBook().price(provider, model)


def _rendered(report: Report, what_if: WhatIf | None, form: Format) -> str:
    if form == "json":
        from inferkit.economics.as_json import as_json

        return as_json(report, what_if)
    from inferkit.economics.page import render_page, what_if_sections

    return render_page(report, what_if=[] if what_if is None else what_if_sections(what_if))


def _print(report: Report, what_if: WhatIf | None, *, by: Sequence[Dimension], top: int, output: str | None) -> None:
    from rich.console import Console

    from inferkit.economics.terminal import as_tables

    tables = as_tables(report, what_if, by=by, top=top)
    if output is None:
        Console().print(tables)
        return
    text = io.StringIO()
    Console(width=120, file=text).print(tables)
    _write(text.getvalue(), output)


def _write(text: str, output: str | None) -> None:
    if output is None:
        sys.stdout.write(text + "\n")
        return
    try:
        Path(output).write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from error
