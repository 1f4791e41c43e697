"""`inferkit report`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

__all__ = ["report"]


def report(
    *,
    ledger: Annotated[str | None, typer.Option(help="The ledger's file (default: as configured).")] = None,
    month: Annotated[str | None, typer.Option(help="A calendar month, 2026-11 (default: the running one).")] = None,
    since: Annotated[str | None, typer.Option(help="From a date or instant: 2026-11-01, 2026-11-01T12:00.")] = None,
    until: Annotated[str | None, typer.Option(help="Until before a date or instant (default: now).")] = None,
    zone: Annotated[str, typer.Option(help="The time zone that dates and days are in.")] = "UTC",
    by: Annotated[
        str, typer.Option(help="What to group by: customer, user, tenant, plan, feature, model.")
    ] = "plan,customer,feature,model",
    top: Annotated[int, typer.Option(min=1, help="How many rows of each table.")] = 10,
    form: Annotated[
        Literal["table", "json", "csv", "html"],
        typer.Option("--format", help="Tables for a terminal, JSON, CSV, or one HTML page."),
    ] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[str | None, typer.Option("--output", "-o", help="A file to write.")] = None,
    plans: Annotated[str | None, typer.Option(help="A TOML file of plans that the ledger does not know.")] = None,
    what_if: Annotated[
        str | None, typer.Option(help="A TOML file of other plans, limits and prices to replay the calls against.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="What local models are compared to, for example openai:gpt-5-mini.")
    ] = None,
) -> None:
    """Show what a period cost, what it brought in, who is unprofitable, and what was saved and wasted."""
    from inferkit.cli.reporting import dimensions_of, period_of, write_report

    write_report(
        ledger=ledger,
        period=period_of(since, until, month, zone),
        plans=plans,
        what_if=what_if,
        baseline=baseline,
        form="json" if as_json else form,
        by=dimensions_of(by),
        top=top,
        output=output,
    )
