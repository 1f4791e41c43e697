"""The `inferkit` command."""

from __future__ import annotations

from typing import Annotated, Literal

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


@app.command()
def report(
    *,
    ledger: Annotated[str | None, typer.Option(help="The ledger's file (default: the user's own).")] = None,
    month: Annotated[str | None, typer.Option(help="A calendar month, 2026-11 (default: the running one).")] = None,
    since: Annotated[str | None, typer.Option(help="From a date or instant: 2026-11-01, 2026-11-01T12:00.")] = None,
    until: Annotated[str | None, typer.Option(help="Until before a date or instant (default: now).")] = None,
    zone: Annotated[str, typer.Option(help="The time zone that dates and days are in.")] = "UTC",
    by: Annotated[
        str, typer.Option(help="What to group by: customer, user, tenant, plan, feature, model.")
    ] = "plan,customer,feature,model",
    top: Annotated[int, typer.Option(min=1, help="How many rows of each table.")] = 10,
    form: Annotated[
        Literal["table", "json", "html"],
        typer.Option("--format", help="Tables for a terminal, JSON, or one HTML page."),
    ] = "table",
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
    from inferkit.economics.command import dimensions_of, period_of, write_report

    write_report(
        ledger=ledger,
        period=period_of(since, until, month, zone),
        plans=plans,
        what_if=what_if,
        baseline=baseline,
        form=form,
        by=dimensions_of(by),
        top=top,
        output=output,
    )


def main() -> None:
    """Run the command; show inferkit's own errors as one line."""
    from inferkit._errors import InferkitError

    try:
        app()
    except InferkitError as error:
        typer.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
        raise SystemExit(1) from None
