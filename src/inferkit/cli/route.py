"""`inferkit route`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["commands"]

_Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
commands = typer.Typer(help="Fit a router to recorded outcomes, and show what one does.", no_args_is_help=True)


@commands.command()
def fit(
    outcomes: Annotated[
        str, typer.Argument(help="A file with one outcome in JSON on each line: prompt, model, good, usd.")
    ],
    *,
    out: Annotated[str, typer.Option(help="The file to write the router to.")],
    loss: Annotated[
        float, typer.Option(help="How much of the quality it may lose at most, against the dearest model alone.")
    ] = 0.02,
    certainty: Annotated[float, typer.Option(help="How certain that has to be, from 0 to 1.")] = 0.95,
    models: Annotated[
        str | None, typer.Option(help="The models to choose among, with commas between them (default: all).")
    ] = None,
    ledger: Annotated[
        str | None, typer.Option(help="The ledger's file, for outcomes that name a call in place of model and cost.")
    ] = None,
    seed: Annotated[int, typer.Option(help="What chance begins with.")] = 0,
    as_json: _Json = False,
) -> None:
    """Fit a router that sends each call to the cheapest model that is likely to suffice.

    It is judged by what it was not fitted to, and written only where it clears its gate.
    """
    from inferkit.cli.routing import fit_file, refused
    from inferkit.cli.showing import write_json

    fitted = fit_file(outcomes, out=out, loss=loss, certainty=certainty, models=models, ledger=ledger, seed=seed)
    if as_json:
        write_json({**fitted.facts, "refusal": fitted.refusal, "written": None if fitted.refusal else out})
    else:
        typer.echo(fitted.text)
    if fitted.refusal is not None:
        typer.secho(refused(fitted.refusal, out), fg="red", err=True)
        raise typer.Exit(1)
    if not as_json:
        typer.echo(f"written to {out}")


@commands.command()
def show(router: Annotated[str, typer.Argument(help="The file of a router.")], *, as_json: _Json = False) -> None:
    """Show what a router is expected to do."""
    from inferkit.cli.routing import shown
    from inferkit.cli.showing import write_json

    found = shown(router)
    if as_json:
        write_json(found.facts)
    else:
        typer.echo(found.text)
