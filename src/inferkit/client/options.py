"""What a caller may ask for with one call, each option declared once, and how it becomes a request."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from inferkit.client import checks
from inferkit.client.declarations import Declared, declared_in, near, reader
from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from inferkit.budgets.budget import Budget
    from inferkit.core.messages import CustomTool, Tool

__all__ = ["OPTIONS", "AllOptions", "CallOptions", "RoundOptions", "read_options"]

_PROVIDER = "the provider's own"
_IDENTITY = "a text that is valid and not empty; pass str(...) of an id"


def _as_float(value: float) -> float:
    """Make equal numbers one: 0, 0.0 and -0.0 are the same temperature, to the cache as well."""
    return float(value) + 0.0


def _as_stops(value: str | Sequence[str]) -> tuple[str, ...]:
    return ((value,) if value else ()) if isinstance(value, str) else tuple(value)


class RoundOptions(TypedDict, total=False):
    """The keyword arguments of each call that `run_tools` makes: those of `complete`, but for `tools` and `schema`.

    One that is None counts as not given, but for `timeout=None`. Each becomes the field of `Request` that has its
    name, but for `timeout`, `budget`, `cache`, `schema` and `repair`, which are read at the door.
    """

    max_output_tokens: Annotated[
        int,
        Declared(
            checks.whole(1),
            "a whole number from 1",
            "The most tokens that the reply may take; a budget may lower it.",
            otherwise=_PROVIDER,
            convert=int,
        ),
    ]
    temperature: Annotated[
        float,
        Declared(
            checks.number(0),
            "a number from 0",
            "How much chance there is in the choice of a token.",
            otherwise=_PROVIDER,
            convert=_as_float,
        ),
    ]
    top_p: Annotated[
        float,
        Declared(
            checks.number(0, 1),
            "a number from 0 to 1",
            "The part of the likeliest tokens that is chosen from.",
            otherwise=_PROVIDER,
            convert=_as_float,
        ),
    ]
    seed: Annotated[
        int,
        Declared(
            checks.whole(),
            "a whole number",
            "Makes chance repeat itself, where the provider can.",
            otherwise=_PROVIDER,
            convert=int,
        ),
    ]
    stop: Annotated[
        str | Sequence[str],
        Declared(
            checks.are_stops,
            "a text or a list of texts",
            "Texts that end the reply where they would come.",
            otherwise="none",
            convert=_as_stops,
        ),
    ]
    tool_choice: Annotated[
        str,
        Declared(
            checks.is_text,
            'a text, for example "auto"',
            "Whether the model calls a tool, or which one.",
            otherwise=_PROVIDER,
        ),
    ]
    repair: Annotated[
        int,
        Declared(
            checks.whole(0),
            "a whole number from 0",
            "How often the model is asked again, and told what is wrong, where its reply does not fit the `schema`. "
            "The call pays for it.",
            default=0,
            convert=int,
        ),
    ]
    reasoning_effort: Annotated[
        str,
        Declared(
            checks.is_text,
            'a text, for example "low"',
            "How long the model may think.",
            otherwise=_PROVIDER,
        ),
    ]
    logprobs: Annotated[
        bool,
        Declared(
            checks.is_switch,
            "True or False",
            "Whether the provider says how likely each token of the reply was: `Reply.logprobs`, `Reply.confidence`.",
            otherwise=_PROVIDER,
        ),
    ]
    top_logprobs: Annotated[
        int,
        Declared(
            checks.whole(0),
            "a whole number from 0",
            "How many of the likeliest tokens are named in each place; it asks for `logprobs` too.",
            otherwise="none",
            convert=int,
        ),
    ]
    prediction: Annotated[
        str,
        Declared(
            checks.is_text,
            "a text",
            "What the reply will be much like: it comes sooner, and what of this does not come is billed as output. "
            "Not with a budget of money or tokens.",
            otherwise="none",
        ),
    ]
    prompt_cache_key: Annotated[
        str,
        Declared(
            checks.is_text,
            'a text, for example "support"',
            "Has the provider send calls with one key, whose prompts begin alike, to where the beginning is cached.",
            otherwise=_PROVIDER,
        ),
    ]
    prompt_cache_retention: Annotated[
        str,
        Declared(
            checks.is_text,
            'a text, for example "24h"',
            "For how long the provider keeps the beginning of the prompt in its cache.",
            otherwise=_PROVIDER,
        ),
    ]
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


class CallOptions(RoundOptions, total=False):
    """The keyword arguments of `complete` and `stream`, but for `schema`, which says what type `Reply.parsed` has."""

    tools: Annotated[
        "Sequence[Tool | CustomTool | Mapping[str, Any] | Callable[..., Any]]",
        Declared(
            checks.are_tools,
            "a list of functions, of inferkit.Tool and inferkit.CustomTool values, or of dictionaries in OpenAI's or "
            "Anthropic's form",
            "What the model may call.",
            otherwise="none",
            convert=tuple,
        ),
    ]


class AllOptions(CallOptions, total=False):
    """All that a call reads."""

    schema: Annotated[
        type | Mapping[str, Any],
        Declared(
            checks.is_schema,
            "a pydantic model, a dataclass, a TypedDict, or a JSON schema as a dictionary",
            "What the reply has to look like. `Reply.parsed` is the valid object.",
            otherwise="free text",
        ),
    ]


OPTIONS = declared_in(AllOptions)
_LENGTHS = {"max_tokens", "max_completion_tokens"}  # what other libraries call `max_output_tokens`


def _unknown(names: set[str]) -> ConfigurationError:
    if names & _LENGTHS:
        name = min(names & _LENGTHS)
        return ConfigurationError(f"unknown option {name}; the limit of the reply is max_output_tokens=...")
    unknown = ", ".join(sorted(names))
    if "response_schema" in names:
        return ConfigurationError("unknown option response_schema; what the reply has to look like is schema=...")
    if "stream" in names:
        return ConfigurationError("stream is a method of its own: client.stream(...), in place of client.complete(...)")
    return ConfigurationError(
        f"unknown option {unknown}{near(names, OPTIONS)}; provider-specific parameters go into extra={{...}}"
    )


read_options: Callable[[Mapping[str, Any]], dict[str, Any]] = reader(OPTIONS, _unknown)
"""Give what a caller asks for, checked and converted. Raises `ConfigurationError` for what makes no sense."""
