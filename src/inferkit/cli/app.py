"""The `inferkit` command."""

from __future__ import annotations

from typing import Annotated

import typer

from inferkit.cli.ask import ask
from inferkit.cli.budgets import commands as budgets
from inferkit.cli.cache import commands as cache
from inferkit.cli.calls import calls
from inferkit.cli.demo import demo
from inferkit.cli.doctor import doctor
from inferkit.cli.interrupts import INTERRUPTED, Commands
from inferkit.cli.ledger import commands as ledger
from inferkit.cli.models import commands as models
from inferkit.cli.plans import commands as plans
from inferkit.cli.report import report
from inferkit.cli.root_options import ROOT
from inferkit.cli.route import commands as route
from inferkit.cli.simulate import simulate

__all__ = ["app", "main"]

app = typer.Typer(
    name="inferkit",
    cls=Commands,
    help="Budgets, caching, routing, fallback and traces around every model call, inside your own process.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        import inferkit

        typer.echo(f"inferkit {inferkit.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # noqa: ARG001 - its callback has seen to it
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
    config: Annotated[
        str | None,
        typer.Option(help="The file that says how clients are set up (default: INFERKIT_CONFIG, or the nearest one)."),
    ] = None,
) -> None:
    """Give the options that stand before a command."""
    ROOT.config = config


app.command()(ask)
app.command()(calls)
app.command()(demo)
app.command()(doctor)
app.command()(report)
app.command()(simulate)
app.add_typer(budgets, name="budgets")
app.add_typer(plans, name="plans")
app.add_typer(cache, name="cache")
app.add_typer(ledger, name="ledger")
app.add_typer(route, name="route")
app.add_typer(models, name="models")


def main() -> None:
    """Run the command; show inferkit's own errors as one line."""
    from inferkit.core.errors import InferkitError

    try:
        app()
    except InferkitError as error:
        typer.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:  # before a command ran, or after
        raise SystemExit(INTERRUPTED) from None
