"""The `inferkit` command."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["main"]

app = typer.Typer(
    name="inferkit",
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
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Give the options that stand before a command."""


@app.command()
def demo(
    model: Annotated[str | None, typer.Option(help="A GGUF file to use instead of the embedded model.")] = None,
    jaeger: Annotated[
        str | None, typer.Option(help="Send the trace there too, for example http://localhost:4318.")
    ] = None,
) -> None:
    """Show a budgeted function at work on the embedded model: a stream, a cache hit, a refusal, the trace."""
    from inferkit._demo import run_demo

    run_demo(jaeger=jaeger, model=model)


def main() -> None:
    """Run the command; show inferkit's own errors as one line."""
    from inferkit._errors import InferkitError

    try:
        app()
    except InferkitError as error:
        typer.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
        raise SystemExit(1) from None
