"""`inferkit simulate`."""

from __future__ import annotations

from typing import Annotated

import typer

from inferkit.cli.interrupts import INTERRUPTED

__all__ = ["simulate"]


def simulate(
    scenario: Annotated[str, typer.Argument(help="A TOML file: traffic, customers, providers, outages, policies.")],
    *,
    compare: Annotated[
        str | None,
        typer.Option(help='Policies, with commas between them; "naive" and "plain" are always there.'),
    ] = None,
    calls: Annotated[int | None, typer.Option(min=1, help="So many calls instead of those in the file.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the one in the file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    plots: Annotated[str | None, typer.Option(help="A folder for pictures (SVG).")] = None,
    ledger: Annotated[
        str | None,
        typer.Option(help="A file to keep the ledger in, for `inferkit report`; with one policy alone."),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="A file to write.")] = None,
) -> None:
    """Play a month of traffic through the real stack in minutes: what it costs, who waits, what each policy does."""
    try:
        from inferkit.cli.simulating import Wanted, run

        run(
            scenario,
            Wanted(
                compare=compare,
                calls=calls,
                seed=seed,
                as_json=as_json,
                plots=plots,
                ledger=ledger,
                output=output,
            ),
            say=lambda text: typer.echo(text, err=True),
            write=typer.echo,
        )
    except KeyboardInterrupt:
        part = "" if ledger is None else f"; {ledger} may hold a part of it: delete it before the next run"
        typer.echo(f"stopped: the simulation is not over, and nothing of it is shown{part}", err=True)
        raise typer.Exit(INTERRUPTED) from None
