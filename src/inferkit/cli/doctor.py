"""`inferkit doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["doctor"]


def doctor(
    *,
    ledger: Annotated[str | None, typer.Option(help="The ledger's file (default: the user's own).")] = None,
) -> None:
    """Look whether a ledger is sound, and say what to do where it is not. Nothing is written."""
    import time
    from pathlib import Path

    from inferkit.client.home import ledger_file
    from inferkit.ledger.sqlite.checkup import check_up

    path = (ledger_file() if ledger is None else Path(ledger).expanduser()).absolute()
    typer.echo(f"the ledger {path}")
    sound = True
    for finding in check_up(path, time.time()):
        sound = sound and finding.level != "wrong"
        typer.echo(f"  {finding.level:<6}{finding.about}: {finding.found}")
        if finding.remedy:
            typer.echo(f"        -> {finding.remedy}")
    if not sound:
        raise typer.Exit(1)
