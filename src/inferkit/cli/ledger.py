"""`inferkit ledger`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["commands"]

commands = typer.Typer(help="Look after a ledger's file.", no_args_is_help=True)


@commands.callback()
def _root() -> None:
    """Give the name that stands before a command."""


@commands.command()
def compact(
    *,
    before: Annotated[str, typer.Option(help="Archive what was entered before this date: 2026-11-01.")],
    ledger: Annotated[str | None, typer.Option(help="The ledger's file (default: as configured).")] = None,
    zone: Annotated[str, typer.Option(help="The time zone that the date and the days are in.")] = "UTC",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Move entries of days that are over into an archive beside the ledger, and keep their sums for reports."""
    from inferkit.cli.compacting import archive_days, compact_ledger
    from inferkit.cli.showing import write_json

    if as_json:
        done = archive_days(ledger=ledger, before=before, zone=zone)
        write_json([{"archive": str(each.archive), "archived": each.entries, "stay": each.stay} for each in done])
        return
    for line in compact_ledger(ledger=ledger, before=before, zone=zone):
        typer.echo(line)
