"""`inferkit calls`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["calls"]


def calls(
    call: Annotated[str | None, typer.Argument(help="One call, by its id or the beginning of it.")] = None,
    *,
    ledger: Annotated[str | None, typer.Option(help="The ledger's file (default: as configured).")] = None,
    user: Annotated[str | None, typer.Option(help="Of this user.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant.")] = None,
    feature: Annotated[str | None, typer.Option(help="Of this feature, or budgeted function.")] = None,
    plan: Annotated[str | None, typer.Option(help="Under this plan.")] = None,
    model: Annotated[
        str | None, typer.Option(help="By this model: MODEL, PROVIDER:MODEL, PROVIDER:*, or the name that was asked.")
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="That ended so: completed, closed, cancelled, abandoned, error, expired, corrected, degraded."
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="From a date or instant, or so long ago: 2026-11-01, 2026-11-01T12:00, 2h, 7d.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Until before one.")] = None,
    zone: Annotated[str, typer.Option(help="The time zone that dates and times are in.")] = "UTC",
    estimated: Annotated[bool, typer.Option("--estimated", help="Whose cost is an estimate.")] = False,
    dearest: Annotated[bool, typer.Option("--dearest", help="The dearest first, and not the newest.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many at most.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Show the calls in a ledger, newest first, or one in full. Nothing is written."""
    from inferkit.cli.call_in_full import show_call
    from inferkit.cli.calling import list_calls, wanted_of

    if call is not None:
        show_call(call, ledger=ledger, zone=zone, as_json=as_json)
        return
    wanted = wanted_of(
        since=since, until=until, zone=zone, user=user, tenant=tenant, feature=feature, plan=plan, model=model,
        status=status, estimated=estimated,
    )  # fmt: skip
    list_calls(wanted, ledger=ledger, zone=zone, dearest=dearest, limit=limit, as_json=as_json)
