"""What a caller may ask for with one call, and how it becomes a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

from inferkit.budgets.scope import Scope, all_scopes
from inferkit.caching.control import CACHE
from inferkit.client.messages import as_messages
from inferkit.core.request import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.budgets.budget import Budget
    from inferkit.core.messages import Messages, Tool
    from inferkit.core.record import CallRecord
    from inferkit.runtime.protocol import Runtime

__all__ = ["CallOptions", "Payers", "build_request"]


class CallOptions(TypedDict, total=False):
    """The keyword arguments of `complete` and `stream`.

    `timeout` is in seconds, for the whole call with its retries. `user` is charged under budgets that are for each
    user, and never sent to a provider; `tenant` is the boundary that no cached reply crosses (default for both: the key
    of the innermost function around the call whose budget is for each user, or tenant). `feature` says in reports what
    the call is for (default: the innermost `@budgeted` function). `plan` is the user's plan, or without a user, or
    where it is pooled, the tenant's, as the application knows it; where the ledger says otherwise, it is assigned from
    now on. `cache` is "use" (the default), "bypass" (neither read nor written) or "refresh" (written anew). `extra`
    holds provider-specific parameters, sent as they are. An option that is None counts as not given, but for
    `timeout=None`, which lifts the client's.
    """

    max_output_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: str | Sequence[str]
    tools: Sequence[Tool]
    tool_choice: str
    response_schema: Mapping[str, Any]
    reasoning_effort: str
    extra: Mapping[str, Any]
    user: str
    tenant: str
    feature: str
    plan: str
    timeout: float
    budget: Budget
    cache: Literal["use", "bypass", "refresh"]
    extensions: Mapping[Any, Any]


_SENT = ("max_output_tokens", "temperature", "top_p", "seed", "tool_choice", "response_schema", "reasoning_effort")


class Payers(NamedTuple):
    """Who pays for a call and whom it is for, as read at the door, in the caller's own context."""

    scopes: tuple[Scope, ...] = ()
    user: str | None = None
    tenant: str | None = None
    feature: str | None = None
    key: str | None = None

    @classmethod
    def of(cls, options: CallOptions, around: Sequence[Scope], first: Sequence[Scope] = ()) -> Payers:
        """Put together the budgets `first`, those of the functions `around` the call, and the call's own.

        Whom the call is for, it says itself; or else the innermost key of a budget that is for `each` user or tenant
        does. `key` is the outermost of the others, which may be anything. Raises `ConfigurationError` where a budget
        is for each user or tenant, and nobody says whom the call is for.
        """
        user, tenant, feature, key = options.get("user"), options.get("tenant"), options.get("feature"), None
        for scope in reversed(around):  # the innermost is the last
            feature = feature or scope.feature
            each = scope.budget.each
            if each == "user":
                user = user or scope.key
            elif each == "tenant":
                tenant = tenant or scope.key
            else:
                key = scope.key or key
        own = options.get("budget")
        scopes = (*first, *around) if own is None else (*first, *around, Scope(own))
        return cls(all_scopes(scopes, user, tenant) if scopes else (), user, tenant, feature, key)


NO_PAYERS = Payers()


def build_request(
    model: str,
    messages: Messages,
    options: CallOptions,
    *,
    runtime: Runtime,
    record: CallRecord,
    stream: bool,
    payers: Payers = NO_PAYERS,
    timeout: float | None = None,
) -> Request:
    """Make the request of what the caller passed. Raises `ConfigurationError` for messages that make no sense."""
    fields: dict[str, Any] = {name: options[name] for name in _SENT if name in options}  # type: ignore[literal-required]
    stop = options.get("stop") or ()
    fields["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
    extensions = dict(options.get("extensions") or {})
    cache = options.get("cache") or "use"
    if cache != "use":
        extensions[CACHE] = cache
    seconds = options.get("timeout", timeout)
    record.key = payers.key
    return Request(
        model=model,
        messages=as_messages(messages),
        runtime=runtime,
        record=record,
        stream=stream,
        tools=tuple(options.get("tools") or ()),
        extra=options.get("extra") or {},
        user=payers.user,
        tenant=payers.tenant,
        feature=payers.feature,
        plan=options.get("plan"),
        scopes=payers.scopes,
        deadline=None if seconds is None else runtime.now() + seconds,
        extensions=extensions,
        **fields,
    )
