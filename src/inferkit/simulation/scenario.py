"""What a simulation plays: who asks how much and when, what providers can do and when they fail, and the policies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from inferkit.layers.cache import Cache
    from inferkit.plans.plan import Plan
    from inferkit.pricing.prices import Price

__all__ = ["NAIVE", "CustomerGroup", "Outage", "OutageKind", "Provider", "Setup", "Simulation", "Spike", "Traffic"]

OutageKind = Literal["down", "hanging", "slow", "refusing"]


@dataclass(frozen=True)
class Spike:
    """So many times the usual traffic, for a while. Instants are seconds from the start of the scenario."""

    start: float
    end: float
    times: float


@dataclass(frozen=True)
class Traffic:
    """How many calls there are, and how they are spread over the time. Spikes come on top.

    `busiest` is the hour of the day with the most of them, in UTC, `night` what the quietest hour has of that, and
    `weekend` what a Saturday or a Sunday has of another day.

    The share `repeated` of all calls (0 to 1) is one of so many `questions` that are asked again and again, word for
    word: the first one most often, the one in place n 1 / n ** `popularity` as often (Zipf).
    """

    calls: int
    busiest: float = 14.0
    night: float = 0.2
    weekend: float = 0.5
    spikes: tuple[Spike, ...] = ()
    repeated: float = 0.0
    questions: int = 1000
    popularity: float = 1.0


@dataclass(frozen=True)
class CustomerGroup:
    """The customers of one plan, and what they ask for: medians, around which calls are spread.

    `count` is how many they are, `calls` the share of all calls that is theirs, relative to other plans'. A few of them
    make most of the calls. `timeout` is how many seconds they wait.
    """

    plan: str
    count: int
    calls: float
    model: str
    priority: int = 0
    input_tokens: int = 500
    output_tokens: int = 250
    max_output_tokens: int | None = 1000
    timeout: float | None = 30.0


@dataclass(frozen=True)
class Provider:
    """What one model can do. Times are in seconds, `first_token` and `tokens_per_second` are medians.

    `spread` is that of both (the standard deviation of their logarithm). `concurrent` requests run at once; so many
    more wait as `queue` says, and the rest is refused, with a wait that `retry_after` asks for, where it says one. Of
    what is more than `requests_per_minute` the provider says itself when there is room again, and in the headers of all
    its replies what is left. `errors` is the share of requests that fail before a reply begins,
    `breaks` of those that break in its middle, and `good` of calls that its reply would be good enough for.
    """

    name: str
    price: Price | None = None
    first_token: float = 0.5
    tokens_per_second: float = 80.0
    spread: float = 0.4
    concurrent: int | None = None
    queue: int = 0
    requests_per_minute: float | None = None
    retry_after: float | None = None
    errors: float = 0.0
    breaks: float = 0.0
    good: float = 1.0


@dataclass(frozen=True)
class Outage:
    """A time in which a model, or all models of a provider, do not work as they should.

    "down" fails at once, "hanging" begins no reply, "slow" takes `factor` times as long, "refusing" refuses all as too
    many.
    """

    provider: str
    start: float
    end: float
    kind: OutageKind = "down"
    factor: float = 10.0


@dataclass(frozen=True)
class Setup:
    """One way to run the client: its settings, as far as they differ from the usual ones.

    `routes`, `limits` and `hedge` are what the client takes. `only_first` leaves of each name's models the first.
    `pause` is a fixed wait between retries, in seconds, in place of one that grows and is spread by chance. `cache`
    makes the cache, none without it.
    """

    name: str
    says: str = ""
    routes: Any = None
    limits: Mapping[str, Any] | None = None
    hedge: Any = None
    health: Any = None
    max_retries: int = 2
    only_first: bool = False
    pause: float | None = None
    cache: Callable[[], Cache] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Simulation:
    """A whole scenario. `start` is aware; `policies` make what is new in each run, since they remember things."""

    name: str
    seed: int
    start: datetime
    days: float
    traffic: Traffic
    plans: tuple[Plan, ...]
    customers: tuple[CustomerGroup, ...]
    models: Mapping[str, tuple[str, ...]]
    providers: tuple[Provider, ...]
    outages: tuple[Outage, ...] = ()
    policies: Mapping[str, Callable[[], Setup]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.days * 86_400.0


NAIVE = "naive"
