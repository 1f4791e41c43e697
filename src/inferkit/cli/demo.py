"""`inferkit demo`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    model: Annotated[str | None, typer.Option(help="A GGUF file to use instead of the embedded model.")] = None,
    jaeger: Annotated[
        str | None, typer.Option(help="Send the trace there too, for example http://localhost:4318.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, once all is over.")] = False,
) -> None:
    """Show a budgeted function at work on the embedded model: a stream, a cache hit, a refusal, the trace."""
    from inferkit.cli.showcase import run_demo

    run_demo(jaeger=jaeger, model=model, as_json=as_json)
