"""`inferkit budgets`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["commands"]

commands = typer.Typer(help="What is used, held and left of each budget, and adding to one.", no_args_is_help=False)

_Ledger = Annotated[str | None, typer.Option(help="The ledger's file (default: as configured).")]
_Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@commands.callback(invoke_without_command=True)
def budgets(
    context: typer.Context,
    *,
    ledger: _Ledger = None,
    name: Annotated[str | None, typer.Option(help="The budget of this name.")] = None,
    key: Annotated[str | None, typer.Option(help="The share of this key: a user, a tenant, ...")] = None,
    used: Annotated[
        int, typer.Option(min=0, max=100, help="Only where so many per cent or more are used or held.")
    ] = 0,
    everything: Annotated[
        bool, typer.Option("--all", help="Periods that are over, too, and the accounts of blocks and plans' books.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="How many at most.")] = 50,
    as_json: _Json = False,
) -> None:
    """Show what is used, held and left of each budget in its running period, the scarcest first. Nothing is written.

    `inferkit budgets top-up` adds to one.
    """
    if context.invoked_subcommand is not None:
        return
    from inferkit.cli.budgeting import list_budgets

    list_budgets(
        ledger=ledger, name=name, key=key, used=used, everything=everything, limit=limit, as_json=as_json
    )  # fmt: skip


@commands.command("top-up")
def top_up(
    name: Annotated[str, typer.Argument(help="The budget's name.")],
    key_and_amount: Annotated[
        list[str],
        typer.Argument(
            metavar="[KEY] AMOUNT", help="Whose share, where it has shares; and how much: 5.00, in dollars."
        ),
    ],
    *,
    unit: Annotated[str, typer.Option(help="What AMOUNT counts: usd, tokens or calls.")] = "usd",
    per: Annotated[str | None, typer.Option(help="Which one, where budgets of several periods have the name.")] = None,
    new: Annotated[bool, typer.Option("--new", help="The key is right, although it has used nothing yet.")] = False,
    ledger: _Ledger = None,
    as_json: _Json = False,
) -> None:
    """Add to what a budget's account may use. It is used after the limit, and what is left of it stays.

    In one step, beside the applications that run. An amount that begins with a minus is refused.
    """
    from inferkit.cli.topping_up import top_up_budget

    if len(key_and_amount) > 2:  # noqa: PLR2004 - a key and an amount
        raise typer.BadParameter("give NAME AMOUNT, or NAME KEY AMOUNT; a key with spaces goes into quotes")
    *keys, amount = key_and_amount
    top_up_budget(
        name, keys[0] if keys else None, amount, unit=unit, per=per, new=new, ledger=ledger, as_json=as_json
    )  # fmt: skip
