"""What a caller may ask for with one call for a reply, each option declared once, and how it becomes a request."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from inferkit.client import checks
from inferkit.client.declarations import Declared, declared_in, reader
from inferkit.client.every_call import PROVIDER, EveryCallOptions
from inferkit.core.errors import ConfigurationError
from inferkit.core.misspelt import near
from inferkit.core.request import MOST_OUTPUT_TOKENS

if TYPE_CHECKING:
    from inferkit.core.messages import CustomTool, Tool

__all__ = ["OPTIONS", "AllOptions", "CallOptions", "RoundOptions", "read_options"]


def _as_float(value: float) -> float:
    """Make equal numbers one: 0, 0.0 and -0.0 are the same temperature, to the cache as well."""
    return float(value) + 0.0


def _as_stops(value: str | Sequence[str]) -> tuple[str, ...]:
    return ((value,) if value else ()) if isinstance(value, str) else tuple(value)


class _ReplyOptions(TypedDict, total=False):
    """What is asked of a reply."""

    max_output_tokens: Annotated[
        int,
        Declared(
            checks.whole(1, MOST_OUTPUT_TOKENS),
            f"a whole number from 1 to {MOST_OUTPUT_TOKENS:,}",
            "The most tokens that the reply may take; a budget may lower it.",
            otherwise=PROVIDER,
            convert=int,
        ),
    ]
    temperature: Annotated[
        float,
        Declared(
            checks.number(0),
            "a number from 0",
            "How much chance there is in the choice of a token.",
            otherwise=PROVIDER,
            convert=_as_float,
        ),
    ]
    top_p: Annotated[
        float,
        Declared(
            checks.number(0, 1),
            "a number from 0 to 1",
            "The part of the likeliest tokens that is chosen from.",
            otherwise=PROVIDER,
            convert=_as_float,
        ),
    ]
    seed: Annotated[
        int,
        Declared(
            checks.whole(),
            "a whole number",
            "Makes chance repeat itself, where the provider can.",
            otherwise=PROVIDER,
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
            otherwise=PROVIDER,
        ),
    ]
    grammar: Annotated[
        str,
        Declared(
            checks.is_text,
            'a text in the notation GBNF, for example \'root ::= "yes" | "no"\'',
            "What a local model has to keep to while it writes. Others refuse the call.",
            otherwise="free text",
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
            otherwise=PROVIDER,
        ),
    ]
    logprobs: Annotated[
        bool,
        Declared(
            checks.is_switch,
            "True or False",
            "Whether the provider says how likely each token of the reply was: `Reply.logprobs`, `Reply.confidence`.",
            otherwise=PROVIDER,
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
            otherwise=PROVIDER,
        ),
    ]
    prompt_cache_retention: Annotated[
        str,
        Declared(
            checks.is_text,
            'a text, for example "24h"',
            "For how long the provider keeps the beginning of the prompt in its cache.",
            otherwise=PROVIDER,
        ),
    ]


class RoundOptions(_ReplyOptions, EveryCallOptions, total=False):
    """The keyword arguments of each call that `run_tools` makes: those of `complete`, but for `tools` and `schema`.

    One that is None counts as not given, but for `timeout=None`. Each becomes the field of `Request` that has its
    name, but for `timeout`, `budget`, `cache`, `schema` and `repair`, which are read at the door.
    """


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
_SEVERAL = {"n", "best_of"}


def _unknown(names: set[str]) -> ConfigurationError:
    if names & _LENGTHS:
        name = min(names & _LENGTHS)
        return ConfigurationError(f"unknown option {name}; the limit of the reply is max_output_tokens=...")
    unknown = ", ".join(sorted(names))
    if "response_schema" in names:
        return ConfigurationError("unknown option response_schema; what the reply has to look like is schema=...")
    if names & _SEVERAL:
        return ConfigurationError(f"unknown option {min(names & _SEVERAL)}; a call gives one reply: make several calls")
    if "stream" in names:
        return ConfigurationError("stream is a method of its own: client.stream(...), in place of client.complete(...)")
    return ConfigurationError(
        f"unknown option {unknown}{near(names, OPTIONS)}; provider-specific parameters go into extra={{...}}"
    )


read_options: Callable[[Mapping[str, Any]], dict[str, Any]] = reader(OPTIONS, _unknown)
"""Give what a caller asks for, checked and converted. Raises `ConfigurationError` for what makes no sense."""
