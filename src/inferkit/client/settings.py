"""What a client may be set up with, each setting declared once.

It is longer than other modules: as long as that list is.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict, cast

from inferkit.client import checks, texts
from inferkit.client.declarations import Declared, declared_in, reader, with_defaults
from inferkit.core.errors import ConfigurationError
from inferkit.core.misspelt import near

if TYPE_CHECKING:
    from inferkit.budgets.budget import Budget
    from inferkit.core.request import Handler, Layer
    from inferkit.core.stack import Insert
    from inferkit.layers.cache import Cache
    from inferkit.layers.hedge import Hedge
    from inferkit.ledger.ledger import Ledger
    from inferkit.plans.plan import Plan
    from inferkit.pricing.prices import Price
    from inferkit.providers.http.settings import Http, Library
    from inferkit.providers.http.transport import Transport
    from inferkit.resilience.failover import Failover
    from inferkit.resilience.health import Health
    from inferkit.resilience.limiter import RateLimit
    from inferkit.routing.combining import Route
    from inferkit.telemetry.instruments import Telemetry

__all__ = ["SETTINGS", "Settings", "read_settings"]


def _as_tuple(budget: "Budget | Sequence[Budget]") -> tuple["Budget", ...]:
    return tuple(budget) if isinstance(budget, Sequence) else (budget,)


class Settings(TypedDict, total=False):
    """The keyword arguments of `Client` and `AsyncClient`. One that is None counts as not given."""

    models: Annotated[
        Mapping[str, str | Sequence[str]],
        Declared(
            checks.is_mapping,
            'a dictionary of aliases, for example {"fast": ["openai:gpt-5-mini", "local"]}',
            'Names for what is called: each stands for a "provider:model", or for a list of them in order of '
            'preference. "local" is the embedded model.',
            otherwise="no aliases, and the embedded model",
        ),
    ]
    routes: Annotated[
        "Route | Mapping[str, Route]",
        Declared(
            checks.is_route,
            'a policy, such as "cheapest" or Weighted({...}), or a dictionary of one for each name, for example '
            '{"fast": ["fits", Cheapest()]}',
            "In which order the models behind a name are asked, and which of them are.",
            otherwise="as they are listed",
            from_text=texts.FromText(str, 'the name of a policy: "cheapest"'),
        ),
    ]
    default: Annotated[
        str,
        Declared(
            checks.is_text,
            "the name of an alias or model",
            "What a call asks that names no model.",
            otherwise="the first alias",
            from_text=texts.NAME,
        ),
    ]
    providers: Annotated[
        "Mapping[str, Handler]",
        Declared(
            checks.are_adapters,
            'a dictionary from a name without a colon to an adapter, such as OpenAIChat("...")',
            "Adapters of your own, by the name that stands before the colon.",
            otherwise="those that are known by name",
        ),
    ]
    transport: Annotated[
        "Library | Http | Transport",
        Declared(
            checks.is_transport,
            '"httpx", "aiohttp" or an Http, for example Http("aiohttp", max_connections=200)',
            "How requests travel to the providers that are known by name; one of your own says so itself.",
            otherwise="`INFERKIT_TRANSPORT`, or httpx",
        ),
    ]
    prices: Annotated[
        "Mapping[str, Price]",
        Declared(
            checks.is_mapping,
            'a dictionary, for example {"openai:gpt-5-mini": Price(input="0.25", output="2.00")}',
            "A price for each model that the price list does not know, or that has your own rates; the keys are "
            '"provider:model", "model" or "provider:*".',
            default={},
            otherwise="the price list",
        ),
    ]
    on_unpriced: Annotated[
        "Literal['block'] | Price",
        Declared(
            checks.is_price_or_block,
            '"block" or a Price to assume',
            "What a call under a budget of money does where its model has no price: it is refused, or held and "
            "charged at this one.",
            default="block",
        ),
    ]
    budget: Annotated[
        "Budget | Sequence[Budget]",
        Declared(
            checks.are_budgets,
            'a Budget or several: Budget(usd="200", per="month", name="all")',
            'What every call is charged to; each="user" makes it one for each user.',
            default=(),
            otherwise="none",
            convert=_as_tuple,
        ),
    ]
    plans: Annotated[
        "Sequence[Plan] | str | os.PathLike[str]",
        Declared(
            checks.are_plans,
            'a list of Plan values, or the path of a TOML file: [Plan("pro", price="99", ...)]',
            "What customers pay and may use; `client.plans` assigns them.",
            otherwise="none",
            from_text=texts.PATH,
        ),
    ]
    default_plan: Annotated[
        str,
        Declared(
            checks.is_text,
            'the name of a plan, for example "free"',
            "The plan of users and tenants who were assigned none.",
            otherwise="none",
            from_text=texts.NAME,
        ),
    ]
    cache: Annotated[
        "bool | Cache",
        Declared(
            checks.is_cache,
            "True, False or a Cache",
            "Where replies are kept: True is in memory and on disk.",
            default=True,
            none_counts=True,
            from_text=texts.SWITCH,
        ),
    ]
    ledger: Annotated[
        "bool | str | os.PathLike[str] | Ledger",
        Declared(
            checks.is_ledger,
            "True, False, a path or a ledger: Ledger(store) for a store of your own",
            "Where budgets are kept and calls are booked: True is an SQLite file in the user's data folder.",
            default=True,
            none_counts=True,
            from_text=texts.SWITCH_OR_PATH,
        ),
    ]
    on_store_error: Annotated[
        Literal["block", "allow"],
        Declared(
            checks.one_of("block", "allow"),
            '"block" or "allow"',
            "What a call under a budget does while the ledger is down.",
            default="block",
            from_text=texts.CHOICE,
        ),
    ]
    estimates: Annotated[
        Literal["strict", "learned"],
        Declared(
            checks.one_of("strict", "learned"),
            '"strict" or "learned"',
            'How a budget counts input before it is sent. "strict" is an upper bound, four times what English takes; '
            '"learned" goes by the model\'s recent calls, and a call that comes to more than they did may then '
            "overspend by the difference.",
            default="strict",
            from_text=texts.CHOICE,
        ),
    ]
    max_retries: Annotated[
        int,
        Declared(
            checks.whole(0),
            "0 or more, a whole number",
            "How many requests may follow the first one of a call, in all.",
            default=2,
            from_text=texts.WHOLE,
        ),
    ]
    on_interrupt: Annotated[
        Literal["raise", "continue"],
        Declared(
            checks.one_of("raise", "continue"),
            '"raise" or "continue"',
            "What becomes of a reply whose stream breaks in the middle: it ends with `StreamInterrupted`, or the rest "
            "is asked for, at the price of another attempt.",
            default="raise",
            from_text=texts.CHOICE,
        ),
    ]
    failover: Annotated[
        "Failover | Mapping[str, Failover]",
        Declared(
            checks.is_failover,
            'a Failover, or a dictionary of one for each name, for example {"fast": Failover(filtered="elsewhere")}',
            "What follows from each kind of failure: whether the next model is asked, the same one again, or nobody.",
            otherwise="`Failover()`",
        ),
    ]
    health: Annotated[
        "Health",
        Declared(
            checks.is_health,
            "a Health, for example Health(breaker=BreakerRules(failures=10))",
            "What is known of models that fail, and when they are left alone; clients that are given the same one know "
            "it together.",
            otherwise="one of its own",
        ),
    ]
    limits: Annotated[
        "Mapping[str, RateLimit]",
        Declared(
            checks.are_limits,
            'a dictionary from "provider:model" or "provider:*" to a RateLimit, for example '
            '{"openai:*": RateLimit(requests_per_minute=500, concurrent=50)}',
            'What may go to a model or, as "provider:*", to all of a provider; what is more waits, by `priority=` and '
            "turns of tenants.",
            otherwise="none",
        ),
    ]
    follow_limits: Annotated[
        bool,
        Declared(
            checks.is_switch,
            "True or False",
            "Whether calls wait, within their deadlines, while a provider's headers say that nothing is left of its "
            "limit, instead of being refused there.",
            default=True,
            from_text=texts.SWITCH,
        ),
    ]
    share: Annotated[
        bool,
        Declared(
            checks.is_switch,
            "True or False",
            "Whether what is known of models (circuits, pauses, what is left of providers' limits, measured speed) is "
            "shared, in the background, with the other processes on the same ledger.",
            default=True,
            from_text=texts.SWITCH,
        ),
    ]
    hedge: Annotated[
        "Hedge",
        Declared(
            checks.is_hedge,
            "a Hedge, for example Hedge(quantile=0.95)",
            "When a second request is sent because the first token of one is late.",
            otherwise="never",
        ),
    ]
    timeout: Annotated[
        float,
        Declared(
            checks.is_time,
            "a number of seconds greater than 0 (for no limit None, or no line in a file)",
            "The time for a whole call that names none.",
            otherwise="no limit",
            from_text=texts.NUMBER,
        ),
    ]
    layers: Annotated[
        "Sequence[Layer | Insert]",
        Declared(
            checks.are_layers,
            "a list of layers, which are callables of a request and the rest of the stack",
            "Layers of your own: each sees a call once, after the trace and before the cache, or where `Insert(layer, "
            'before="retry")` puts it.',
            default=(),
            otherwise="none",
        ),
    ]
    home: Annotated[
        str | os.PathLike[str],
        Declared(
            checks.is_path,
            "a path",
            "The folder for cache and ledger.",
            otherwise="`INFERKIT_HOME`, or the user's own folders",
        ),
    ]
    preload: Annotated[
        bool,
        Declared(
            checks.is_switch,
            "True or False",
            "Import and open at once what the first call would, so that the processes a server forks need not.",
            default=False,
            from_text=texts.SWITCH,
        ),
    ]
    telemetry: Annotated[
        "Telemetry",
        Declared(
            checks.is_telemetry,
            "a Telemetry",
            "Where spans and metrics go.",
            otherwise="OpenTelemetry's global providers",
        ),
    ]


SETTINGS = declared_in(Settings)


def _unknown(names: set[str]) -> ConfigurationError:
    if "api_key" in names:
        return ConfigurationError(
            "unknown setting api_key; a key is its provider's: it is read from the environment, for example from "
            'OPENAI_API_KEY, or passed as providers={"openai": OpenAIChat(api_key=...)}'
        )
    return ConfigurationError(
        f"unknown setting {', '.join(sorted(names))}{near(names, SETTINGS)}; the settings are: "
        f"{', '.join(sorted(SETTINGS))}"
    )


_read = reader(SETTINGS, _unknown)


def read_settings(settings: Settings) -> Settings:
    """Give a client's settings checked and with their defaults. Raises `ConfigurationError` for what makes no sense."""
    return cast("Settings", with_defaults(_read(settings), SETTINGS))
