"""What `inferkit report` does: reads a ledger, and writes its economics as tables, JSON or a page."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from inferkit.budgets.windows import zone_named
from inferkit.cli.configured import existing_ledger
from inferkit.core.errors import ConfigurationError
from inferkit.economics.report.report import DIMENSIONS, Period, Report, build_report
from inferkit.ledger.sqlite.journal import SqliteRecords
from inferkit.plans.file import read_plans
from inferkit.pricing.price_book import PriceBook

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from zoneinfo import ZoneInfo

    from inferkit.economics.report.report import Dimension
    from inferkit.economics.what_if.what_if import WhatIf
    from inferkit.plans.plan import Plan
    from inferkit.pricing.prices import Price

__all__ = ["Format", "dimensions_of", "period_of", "write_report"]

Format = Literal["table", "json", "csv", "html"]
_FIRST_YEAR, _LAST_YEAR = 1970, 9000  # what lies outside overflows in one zone or the other


def period_of(since: str | None, until: str | None, month: str | None, zone: str) -> Period:
    """Read a period: a month ("2026-11"), or dates or instants; by default the running month.

    Dates begin at midnight in `zone`. The period ends now at the latest. Raises `ConfigurationError`.
    """
    tz = zone_named(zone)
    now = datetime.now(UTC).astimezone(tz)
    if month is None:
        start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) if since is None else _instant(since, tz)
        end = now if until is None else _instant(until, tz)
    elif since is None and until is None:
        start = _read(month, lambda text: datetime.strptime(text, "%Y-%m").replace(tzinfo=tz), "a month", "2026-11")
        end = (start + timedelta(days=31)).replace(day=1)
    else:
        raise ConfigurationError("give a month, or since and until, not both")
    if start >= now:
        raise ConfigurationError(f"the period begins in the future ({start:%Y-%m-%d %H:%M})")
    if start >= end:
        raise ConfigurationError(f"the period ends ({end:%Y-%m-%d %H:%M}) before it begins ({start:%Y-%m-%d %H:%M})")
    return Period(start, min(end, now), zone)


def _instant(text: str, tz: ZoneInfo) -> datetime:
    moment = _read(text, datetime.fromisoformat, "an instant", "2026-11-01 or 2026-11-01T12:00")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=tz)


def _read(text: str, read: Callable[[str], datetime], what: str, form: str) -> datetime:
    try:
        moment = read(text)
    except ValueError:
        moment = None
    if moment is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ConfigurationError(f'{what} is written {form}; got "{text}"')
    return moment


def dimensions_of(text: str) -> list[Dimension]:
    """Read what to group by: names with commas between them. Raises `ConfigurationError`."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in DIMENSIONS:
            raise ConfigurationError(f'a report is by {", ".join(DIMENSIONS)}; got "{name}"')
    return cast("list[Dimension]", list(dict.fromkeys(names)))


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
    file = existing_ledger(ledger)
    book = SqliteRecords(file)
    try:
        _keep_apart(output, ledger=file, plans=plans, what_if=what_if)
        price = _price(baseline)
        report = build_report(book, period, plans=_plans(book, plans, period.until), baseline=price)
        replayed = None
        if what_if is not None:
            from inferkit.economics.what_if.file import read_scenario
            from inferkit.economics.what_if.what_if import play

            replayed = play(book, report, read_scenario(what_if), baseline=price)
        if form == "table":
            _print(report, replayed, by=by, top=top, output=output)
        else:
            _write(_rendered(report, replayed, form, by), output)
    finally:
        book.close()


def _keep_apart(output: str | None, **inputs: str | Path | None) -> None:
    """Raise `ConfigurationError` for an output that is one of the inputs: a ledger that is written over is lost."""
    for name, file in inputs.items():
        with contextlib.suppress(OSError):  # one of the two is not there
            if output is not None and file is not None and Path(output).samefile(file):
                raise ConfigurationError(f"{output} is what --{name.replace('_', '-')} names; write to another file")


def _plans(ledger: SqliteRecords, path: str | None, until: datetime) -> list[Plan]:
    """Give the plans as the ledger knows them at the end of the period, and over them those of a file."""
    from inferkit.plans.models import plan_from

    definitions = ledger.definitions(before=until.timestamp())
    known = {name: plan_from(name, json.loads(text)) for name, text in definitions.items()}
    if path is not None:
        known |= {plan.name: plan for plan in read_plans(path)}
    return list(known.values())


def _price(baseline: str | None) -> Price | None:
    if baseline is None:
        return None
    provider, colon, model = baseline.partition(":")
    if not colon:
        raise ConfigurationError(f'baseline is a model, written "provider:model"; got "{baseline}"')
    price = PriceBook().find(provider, model)
    if price is None:
        raise ConfigurationError(f'baseline is "{baseline}", which has no known price; name a listed model')
    return price


def _rendered(report: Report, what_if: WhatIf | None, form: Format, by: Sequence[Dimension]) -> str:
    if form == "csv":
        from inferkit.economics.render.as_csv import as_csv

        return as_csv(report if what_if is None else what_if.after, by)
    if form == "json":
        from inferkit.economics.render.as_json import as_json

        return as_json(report, what_if)
    from inferkit.economics.render import render_page, what_if_sections

    return render_page(report, what_if=[] if what_if is None else what_if_sections(what_if))


def _print(report: Report, what_if: WhatIf | None, *, by: Sequence[Dimension], top: int, output: str | None) -> None:
    from rich.console import Console

    from inferkit.economics.render.document import document_of
    from inferkit.economics.render.terminal import as_tables
    from inferkit.economics.render.what_if_sections import what_if_sections

    sections = [] if what_if is None else what_if_sections(what_if)
    tables = as_tables(document_of(report, by=by, shown=top, what_if=sections))
    if output is None:
        _never_fail_at("replace")
        Console().print(tables)
        return
    text = io.StringIO()
    Console(width=120, file=text).print(tables)
    _write(text.getvalue(), output)


def _write(text: str, output: str | None) -> None:
    if output is None:
        _never_fail_at("xmlcharrefreplace")  # for a page; JSON is plain ASCII
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        return
    try:
        Path(output).write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from error


def _never_fail_at(errors: str) -> None:
    """Write what the terminal's encoding does not have in another way."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=errors)
