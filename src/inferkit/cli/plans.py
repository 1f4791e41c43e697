"""`inferkit plans`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["commands"]

commands = typer.Typer(help="Who is on which plan since when, and putting a customer on one.", no_args_is_help=False)

_Ledger = Annotated[str | None, typer.Option(help="The ledger's file (default: as configured).")]
_Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
_Zone = Annotated[str, typer.Option(help="The time zone that dates and times are in.")]
_User = Annotated[str | None, typer.Option(help="The user.")]
_Tenant = Annotated[str | None, typer.Option(help="The tenant, and not a user.")]
_Since = Annotated[
    str | None, typer.Option(help="From a date or instant on, also one that is past: 2026-11-01 (default: now).")
]
_New = Annotated[bool, typer.Option("--new", help="The customer is right, although the ledger knows nothing of it.")]


@commands.callback(invoke_without_command=True)
def plans(
    context: typer.Context,
    *,
    ledger: _Ledger = None,
    user: _User = None,
    tenant: _Tenant = None,
    plan: Annotated[str | None, typer.Option(help="Those on this plan.")] = None,
    history: Annotated[bool, typer.Option("--history", help="What was before, and those who left, too.")] = False,
    zone: _Zone = "UTC",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="How many at most.")] = 50,
    as_json: _Json = False,
) -> None:
    """Show who is on which plan since when, the latest first. Nothing is written.

    `inferkit plans assign` puts a customer on one, `inferkit plans end` takes it off.
    """
    if context.invoked_subcommand is not None:
        return
    from inferkit.cli.subscribing import list_subscriptions

    list_subscriptions(
        ledger=ledger, user=user, tenant=tenant, plan=plan, history=history, zone=zone, limit=limit, as_json=as_json
    )  # fmt: skip


@commands.command()
def assign(
    plan: Annotated[str, typer.Argument(help="The plan's name.")],
    *,
    user: _User = None,
    tenant: _Tenant = None,
    since: _Since = None,
    seats: Annotated[int | None, typer.Option(min=1, help="How many it pays for (default: the plan's).")] = None,
    new: _New = False,
    zone: _Zone = "UTC",
    ledger: _Ledger = None,
    as_json: _Json = False,
) -> None:
    """Put a customer on a plan. Running applications know it within five seconds."""
    from inferkit.cli.subscribing import assign_plan

    assign_plan(
        plan, user=user, tenant=tenant, since=since, seats=seats, new=new, zone=zone, ledger=ledger, as_json=as_json
    )  # fmt: skip


@commands.command()
def end(
    *,
    user: _User = None,
    tenant: _Tenant = None,
    since: _Since = None,
    zone: _Zone = "UTC",
    ledger: _Ledger = None,
    as_json: _Json = False,
) -> None:
    """Take a customer off its plan. Running applications know it within five seconds."""
    from inferkit.cli.subscribing import assign_plan

    assign_plan(
        None, user=user, tenant=tenant, since=since, seats=None, new=False, zone=zone, ledger=ledger, as_json=as_json
    )  # fmt: skip
