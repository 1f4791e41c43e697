"""`inferkit ask`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["ask"]


def ask(
    question: Annotated[
        str | None, typer.Argument(help="The question; what is piped in follows it, or is the question.")
    ] = None,
    *,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help='A configured name, or "provider:model" (default: the first).'),
    ] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="What the model is told before it.")] = None,
    user: Annotated[str | None, typer.Option(help="Who asks, where budgets or plans are for each user.")] = None,
    max_output_tokens: Annotated[int | None, typer.Option(min=1, help="The most tokens of the reply.")] = None,
    timeout: Annotated[float | None, typer.Option(help="The time for the whole call, in seconds.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither ask the cache nor write it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, once all is there.")] = False,
) -> None:
    """Ask a model, through everything that is configured: cache, budgets, routes, retries.

    The reply is written as it comes. Its trace, and what it cost, goes to the
    error output. The spans are sent too where the environment says whereto, as
    with OTEL_EXPORTER_OTLP_ENDPOINT.

    The exit status is 0 for a whole reply, 1 for a mistake in what is set up or
    asked, 3 where a budget refused the call or cut it, 4 where no provider
    answered it whole, 5 where its time was over, and 130 after Ctrl-C: what was
    spent until then is entered, and said.
    """
    from inferkit.cli.asking import AskOptions, ask_model

    asked = AskOptions(question, model, system, user, max_output_tokens, timeout, bypass=no_cache, as_json=as_json)
    code = ask_model(asked)
    if code:
        raise typer.Exit(code)
