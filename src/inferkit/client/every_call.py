"""What every call takes, whether it is for a reply or for embeddings: who asks, who pays, how long it may take."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from inferkit.client import checks
from inferkit.client.declarations import Declared

if TYPE_CHECKING:
    from inferkit.budgets.budget import Budget

__all__ = ["PROVIDER", "EveryCallOptions"]

PROVIDER = "the provider's own"
"""What holds where an option is not given that providers have a default of."""

_IDENTITY = "a text that is valid and not empty; pass str(...) of an id"


class EveryCallOptions(TypedDict, total=False):
    """What every call takes, whatever is asked for."""

    extra: Annotated[
        Mapping[str, Any],
        Declared(
            checks.is_mapping,
            "a dictionary of parameters",
            "Parameters that only this provider has, sent as they are.",
            otherwise="none",
        ),
    ]
    user: Annotated[
        str,
        Declared(
            checks.is_text,
            _IDENTITY,
            "Who asks, and is charged under budgets that are for each user. Never sent to a provider.",
            otherwise="the key of the innermost function around the call whose budget is for each user",
        ),
    ]
    tenant: Annotated[
        str,
        Declared(
            checks.is_text,
            _IDENTITY,
            "Whose user that is, and the boundary that no cached reply crosses.",
            otherwise="the key of the innermost function around the call whose budget is for each tenant",
        ),
    ]
    feature: Annotated[
        str,
        Declared(
            checks.is_text,
            'a text, for example "search"',
            "What the call is for, in reports.",
            otherwise="the innermost function with a budget",
        ),
    ]
    priority: Annotated[
        int,
        Declared(
            checks.whole(),
            "a whole number",
            "Who goes first where calls wait for the client's `limits=`: the highest.",
            default=0,
            convert=int,
        ),
    ]
    plan: Annotated[
        str,
        Declared(
            checks.is_text,
            'the name of a plan, for example "pro"',
            "The plan of the user, or without a user, or where it is pooled, of the tenant, as the application knows "
            "it. Where the ledger says otherwise, it is assigned from now on.",
            otherwise="the one that was assigned",
        ),
    ]
    timeout: Annotated[
        float | None,
        Declared(
            checks.is_time_or_none,
            "a number of seconds greater than 0",
            "The time for the whole call with its retries; None lifts the client's.",
            otherwise="the client's",
            none_counts=True,
        ),
    ]
    budget: Annotated[
        "Budget",
        Declared(
            checks.is_budget,
            'a Budget: Budget(usd="0.01", per="call", name="cheap")',
            "One more budget that this call is charged to.",
            otherwise="none",
        ),
    ]
    cache: Annotated[
        Literal["use", "bypass", "refresh"],
        Declared(
            checks.one_of("use", "bypass", "refresh"),
            '"use", "bypass" or "refresh"',
            "Whether the cache may answer: bypassed, it is neither read nor written; refreshed, it is written anew.",
            default="use",
        ),
    ]
    extensions: Annotated[
        Mapping[Any, Any],
        Declared(
            checks.is_mapping,
            "a dictionary from Key to value",
            "What your own layers want to know of the call.",
            otherwise="none",
            convert=dict,
        ),
    ]
