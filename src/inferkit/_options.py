"""What a caller may ask for with one call, and how it becomes a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

from inferkit._errors import ConfigurationError
from inferkit._messages import as_messages
from inferkit._types import Messages, Request, Tool
from inferkit.caching.control import CACHE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit._record import CallRecord
    from inferkit._runtime import Runtime
    from inferkit.budgets.budget import Budget, Scope

__all__ = ["CallOptions", "build_request"]


class CallOptions(TypedDict, total=False):
    """The keyword arguments of `complete` and `stream`.

    `timeout` is in seconds, for the whole call with its retries. `user` is charged under budgets that are per user and
    never sent to a provider. `tenant` is the boundary that no cached reply crosses. `cache` is "use" (the default),
    "bypass" (neither read nor written) or "refresh" (written anew). `extra` holds provider-specific parameters, sent
    as they are.
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
    timeout: float
    budget: Budget
    cache: Literal["use", "bypass", "refresh"]
    extensions: Mapping[Any, Any]


_KNOWN = frozenset(CallOptions.__annotations__)
_SENT = ("max_output_tokens", "temperature", "top_p", "seed", "tool_choice", "response_schema", "reasoning_effort")


def build_request(
    model: str,
    messages: Messages,
    options: CallOptions,
    *,
    runtime: Runtime,
    record: CallRecord,
    stream: bool,
    scopes: tuple[Scope, ...] = (),
    timeout: float | None = None,
) -> Request:
    """Check what the caller passed and make the request of it. Raises `ConfigurationError` that names the option."""
    if not options.keys() <= _KNOWN:
        unknown = ", ".join(sorted(options.keys() - _KNOWN))
        raise ConfigurationError(f"unknown option {unknown}; provider-specific parameters go into extra={{...}}")
    fields: dict[str, Any] = {name: options[name] for name in _SENT if name in options}  # type: ignore[literal-required]
    _check_numbers(options)
    stop = options.get("stop", ())
    fields["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
    fields["tools"] = _tools(options.get("tools", ()))
    extensions = dict(options.get("extensions", {}))
    cache = options.get("cache", "use")
    if cache not in {"use", "bypass", "refresh"}:
        raise ConfigurationError(f'cache is "use", "bypass" or "refresh"; got {cache!r}')
    if cache != "use":
        extensions[CACHE] = cache
    seconds = options.get("timeout", timeout)
    return Request(
        model=model,
        messages=as_messages(messages),
        runtime=runtime,
        record=record,
        stream=stream,
        extra=options.get("extra", {}),
        user=options.get("user"),
        tenant=options.get("tenant"),
        scopes=scopes,
        deadline=None if seconds is None else runtime.now() + seconds,
        extensions=extensions,
        **fields,
    )


def _check_numbers(options: CallOptions) -> None:
    tokens = options.get("max_output_tokens")
    if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1):
        raise ConfigurationError(f"max_output_tokens is a whole number from 1; got {tokens!r}")
    seconds = options.get("timeout")
    if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
        raise ConfigurationError(f"timeout is a number of seconds greater than 0; got {seconds!r}")


def _tools(given: Sequence[Tool]) -> tuple[Tool, ...]:
    for tool in given:
        if not isinstance(tool, Tool):
            raise ConfigurationError(f"tools are inferkit.Tool values; got a {type(tool).__name__}")
    return tuple(given)
