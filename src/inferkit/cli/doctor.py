"""`inferkit doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["doctor"]


def doctor(
    *,
    ledger: Annotated[
        str | None, typer.Option(help="A ledger's file; then nothing else is looked at (default: everything).")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no server.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Look whether everything is in order, and say what to do where it is not.

    What is configured and where it was found, whether each model's key is there
    and its server answers, the clock, the ledger, the cache, and where traces go.
    Nothing is written, and no key is sent. The exit status is 1 where something
    is wrong.
    """
    from inferkit.cli.doctoring import examine

    if not examine(ledger=ledger, offline=offline, as_json=as_json):
        raise typer.Exit(1)
