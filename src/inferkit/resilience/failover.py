"""What follows from each kind of failure before the first chunk: who is asked next, or nobody. A pure policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, get_args, get_type_hints

from inferkit.core.errors import (
    AuthenticationFailed,
    BudgetExceeded,
    ConfigurationError,
    ContentFiltered,
    ContextOverflow,
    InvalidRequest,
    LocalModelError,
    Overloaded,
    ProviderError,
    RateLimited,
)

if TYPE_CHECKING:
    from inferkit.core.request import Target

__all__ = ["ACTIONS", "Action", "Failover", "Failovers", "Failure", "holds_more", "kind_of", "kinds"]

Failure: TypeAlias = ProviderError | BudgetExceeded | LocalModelError
"""What may take a call from one candidate to the next."""

Action = Literal["retry", "stay", "next", "elsewhere", "larger", "raise"]
ACTIONS: dict[str, str] = {
    "retry": "the next candidate is asked; when all were, this one again, after a wait",
    "stay": "this one is asked again, after a wait, as long as that leaves a request for each of the others",
    "next": "the next candidate is asked, and this one not again",
    "elsewhere": "as `next`, but no other model of the same adapter either",
    "larger": "as `next`, but only those whose context window is larger, or not known",
    "raise": "nobody else is asked",
}
_UNAUTHENTICATED, _NOT_FOUND = 401, 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """Says what follows from a failure before the first chunk, by its kind.

    What a provider says itself about asking again (`x-should-retry`) goes before `retry`, `stay` and `next`, and
    `max_retries`, the retry budget and the breaker hold whatever it says here. Raises `ConfigurationError` for what is
    none of the actions.
    """

    rate_limited: Annotated[Action, "`RateLimited`: too many requests or tokens"] = "retry"
    unavailable: Annotated[Action, "`Unavailable`: no connection, 408, 409, 5xx, 529, no usable reply"] = "retry"
    overloaded: Annotated[Action, "`Overloaded`: your own `limits=`, or a turn that comes too late"] = "next"
    out_of_credit: Annotated[Action, "`RateLimited` for good: 402, no credit or quota left (a warning is logged)"] = (
        "next"
    )
    key_refused: Annotated[Action, "`AuthenticationFailed` with 401: the key (a warning is logged)"] = "elsewhere"
    forbidden: Annotated[Action, "`AuthenticationFailed` otherwise: this model (a warning is logged)"] = "next"
    not_found: Annotated[Action, "`InvalidRequest` with 404: no such model there (a warning is logged)"] = "next"
    invalid: Annotated[Action, "`InvalidRequest` otherwise: what one provider refuses another may take"] = "next"
    too_long: Annotated[Action, "`ContextOverflow`: it does not fit into the context"] = "larger"
    filtered: Annotated[Action, "`ContentFiltered`: another model is not asked for what one refused"] = "raise"
    cannot_run: Annotated[Action, "`LocalModelError`: a local model cannot run here (a warning is logged)"] = "next"
    not_covered: Annotated[Action, "`BudgetExceeded` of this candidate alone: a cheaper one may be covered"] = "next"

    def __post_init__(self) -> None:
        for each in fields(self):
            action = getattr(self, each.name)
            if action not in get_args(Action) or (action == "larger" and each.name != "too_long"):
                only = "" if action != "larger" else '; "larger" is for too_long alone'
                raise ConfigurationError(f"{each.name}= of a Failover is one of {', '.join(ACTIONS)}{only}")

    def action(self, error: Failure) -> Action:
        """Say what follows from an error."""
        action: Action = getattr(self, kind_of(error))
        if not isinstance(error, ProviderError):
            return "next" if action in {"retry", "stay"} else action
        if not error.retryable:
            return "next" if action in {"retry", "stay"} else action
        return "retry" if action == "next" and not type(error).retryable else action


def kinds() -> dict[str, str]:
    """Give the kinds of failure that there are, and what each is."""
    hints = get_type_hints(Failover, include_extras=True)
    return {each.name: hints[each.name].__metadata__[0] for each in fields(Failover)}


def kind_of(error: Failure) -> str:
    """Give the kind of a failure, which is the name of a field of `Failover`."""
    if isinstance(error, ProviderError) and error.status is not None:
        if isinstance(error, AuthenticationFailed) and error.status == _UNAUTHENTICATED:
            return "key_refused"
        if isinstance(error, InvalidRequest) and error.status == _NOT_FOUND:
            return "not_found"
    if isinstance(error, RateLimited) and not error.retryable:
        return "out_of_credit"
    return next((name for kind, name in _KINDS if isinstance(error, kind)), "unavailable")


_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (RateLimited, "rate_limited"),
    (Overloaded, "overloaded"),
    (AuthenticationFailed, "forbidden"),
    (ContextOverflow, "too_long"),
    (InvalidRequest, "invalid"),
    (ContentFiltered, "filtered"),
    (LocalModelError, "cannot_run"),
    (BudgetExceeded, "not_covered"),
)


def holds_more(other: Target, failed: Target, error: Failure) -> bool:
    """Whether what did not fit into one candidate may fit into another. Nothing is held against what is not known.

    Windows are those of the price list, or of the `Price` stated for a model; what the error says of them goes before.
    """
    window: int | None = getattr(other.price, "context_window", None)
    if window is None:
        return True
    needed: int | None = getattr(error, "prompt_tokens", None)
    if needed is not None and window <= needed:
        return False
    known: int | None = getattr(error, "context_length", None) or getattr(failed.price, "context_window", None)
    return known is None or window > known


class Failovers:
    """The policies of a client: one for each name that callers use, and one for all others."""

    def __init__(self, given: Failover | Mapping[str, Failover] | None = None) -> None:
        self.of: Mapping[str, Failover] = dict(given) if isinstance(given, Mapping) else {}
        self._otherwise = given if isinstance(given, Failover) else Failover()

    def find(self, name: str) -> Failover:
        """Give the policy for a name."""
        return self.of.get(name, self._otherwise)
