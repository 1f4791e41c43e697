"""What every call takes, whether it is for a reply or for embeddings: who asks, who pays, how long it may take."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from inferkit.client import checks
from inferkit.client.declarations import Declared

if TYPE_CHECKING:
    from inferkit.budgets.budget import Budget

__all__ = ["PROVIDER", "EveryCallOptions"]

PROVIDER = "the provider's own"
"""What holds where an option is not given that providers have a default of."""

_IDENTITY = "a text that is valid and not empty; pass str(...) of an id"


def _as_tags(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(dict.fromkeys(value))


class EveryCallOptions(TypedDict, total=False):
    """What every call takes, whatever is asked for."""

    extra: Annotated[
        Mapping[str, Any],
        Declared(
            checks.are_parameters,
            "a dictionary of parameters, with no nan and no infinity in it, which JSON has no word for",
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
            otherwise="the innermost `attributed(...)`, or function with a budget for each user, around it",
        ),
    ]
    tenant: Annotated[
        str,
        Declared(
            checks.is_text,
            _IDENTITY,
            "Whose user that is, and the boundary that no cached reply crosses.",
            otherwise="the innermost `attributed(...)`, or function with a budget for each tenant, around it",
        ),
    ]
    feature: Annotated[
        str,
        Declared(
            checks.is_text,
            'a text, for example "search"',
            "What the call is for, in reports.",
            otherwise="the innermost `attributed(...)`, or function with a budget, around it",
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
            "a number of seconds greater than 0 (for no limit None, or no line in a file)",
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
    cache_tags: Annotated[
        str | Sequence[str],
        Declared(
            checks.are_tags,
            "a text of one line or a list of them",
            "What the kept reply is found by when some are to be forgotten: `llm.cache.clear(tag=...)`.",
            otherwise="none",
            convert=_as_tags,
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
