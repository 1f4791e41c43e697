"""The tokens that a call took, and what else of it a provider bills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["NO_DETAILS", "Usage", "UsageDetails"]


class UsageDetails(NamedTuple):
    """What of a usage may have a price of its own, beside the kinds of tokens that every model has.

    The tokens are parts of those that `Usage` counts: writes to the cache that live longer than the shortest time
    (`cache_write_30m_tokens`, `cache_write_1h_tokens`, `cache_write_12h_tokens`), and audio and images in the input
    (those read from the cache apart) and the output. Of a prediction, `accepted_prediction_tokens` came in the reply,
    and `rejected_prediction_tokens` did not: they are billed all the same, as output. `server_tools` counts requests to
    tools that the provider runs, by kind, for example `(("web_search", 3),)`.

    `service_tier`, `speed` and `region` are the provider's words for how it was served; None where it said nothing.
    An `Attempt` has None for the standard too, and where the provider said nothing, what was asked for.
    `reported_nanos` is what the provider itself says that it cost, in nano-dollars. `operation` is "embed" for what
    vectors took, and None for what a reply did. `prompt_nanoseconds` and `reply_nanoseconds` are how long a model on
    this machine computed.
    """

    cache_write_30m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_write_12h_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    cache_read_audio_tokens: int = 0
    cache_read_image_tokens: int = 0
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0
    server_tools: tuple[tuple[str, int], ...] = ()
    service_tier: str | None = None
    speed: str | None = None
    region: str | None = None
    reported_nanos: int | None = None
    operation: str | None = None
    prompt_nanoseconds: int = 0
    reply_nanoseconds: int = 0

    def __repr__(self) -> str:
        """Say what is not as usual."""
        return f"UsageDetails({', '.join(f'{name}={value!r}' for name, value in self._unusual())})"

    def _unusual(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in zip(self._fields, self, strict=True) if value != _USUAL[name]]

    def and_then(self, other: UsageDetails) -> UsageDetails:
        """Add those of a later attempt, whose tier, speed and region hold. What was reported is added where it was."""
        mine: tuple[Any, ...] = self
        counts = [one + more for one, more in zip(mine[:_COUNTS], other[:_COUNTS], strict=True)]
        tools = dict(self.server_tools)
        for kind, requests in other.server_tools:
            tools[kind] = tools.get(kind, 0) + requests
        reported = [each for each in (self.reported_nanos, other.reported_nanos) if each is not None]
        total = sum(reported) if reported else None
        ways = other[_COUNTS + 1 : _REPORTED]
        times = self.prompt_nanoseconds + other.prompt_nanoseconds, self.reply_nanoseconds + other.reply_nanoseconds
        return UsageDetails._make((*counts, tuple(sorted(tools.items())), *ways, total, other.operation, *times))

    def as_json(self) -> dict[str, Any]:
        """Give what is not as usual, as plain values."""
        return dict(self._unusual())

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> UsageDetails:
        """Read what `as_json` gave."""
        tools = values.get("server_tools", ())
        return cls(**{**values, "server_tools": tuple([(kind, requests) for kind, requests in tools])})


_USUAL = UsageDetails._field_defaults
_COUNTS, _REPORTED = map(UsageDetails._fields.index, ("server_tools", "reported_nanos"))
NO_DETAILS = UsageDetails()
"""Of a call that has nothing of the kind, as most do."""


class Usage(NamedTuple):
    """Tokens of one attempt or one call. A named tuple, because some providers count with every token.

    `input_tokens` includes cached ones, `output_tokens` includes reasoning, whatever the provider's own way of
    counting. `estimated` is true where the provider reported nothing and the count is inferkit's own: the likeliest, a
    little above rather than below. `details` are the parts that have a price of their own on some models.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    details: UsageDetails = NO_DETAILS

    def __repr__(self) -> str:
        """Say how many tokens there are of each kind, where there are any."""
        counts = [(name, count) for name, count in zip(self._fields, self, strict=True) if count]
        details = [] if self.details == NO_DETAILS else [("details", self.details)]
        said = [(name, count) for name, count in counts if name != "details"] + details
        return f"Usage({', '.join(f'{name}={value!r}' for name, value in said)})"

    def __add__(self, other: Usage) -> Usage:  # type: ignore[override]  # a tuple's own would join them
        """Add what another, later attempt took."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.estimated or other.estimated,
            self._details_with(other),
        )

    def _details_with(self, other: Usage) -> UsageDetails:
        """Add details; a sum of what providers reported says nothing where one of them did not."""
        if self.details is NO_DETAILS and other.details is NO_DETAILS:
            return NO_DETAILS
        details = self.details.and_then(other.details)
        for one in (self, other):
            if one.total_tokens and one.details.reported_nanos is None and details.reported_nanos is not None:
                details = details._replace(reported_nanos=None)
        return details

    @classmethod
    def last_of(cls, reports: Iterable[Usage]) -> Usage:
        """Put reports of one attempt together: the last holds, and an earlier one where it says nothing."""
        *counts, details = zip(*reports, strict=True)  # of all events of a read, on some wires
        last = [said[-1] or (any(said) and next(filter(None, reversed(said)))) or said[-1] for said in counts]
        told = details[-1]
        if told is NO_DETAILS and details.count(NO_DETAILS) < len(details):
            told = next((each for each in reversed(details) if each is not NO_DETAILS), NO_DETAILS)
        return cls._make((*last, told))

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens
