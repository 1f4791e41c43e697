"""The headers of an SDK's request, and of the answer to it: what of them is for whom."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.core.record import CallRecord

__all__ = ["options_in", "read_headers", "told", "written"]

_PREFIX = "x-inferkit-"
_NUMBERS = {"priority": int, "timeout": float}
_OPTIONS = frozenset({"user", "tenant", "feature", "plan", "cache", *_NUMBERS})
_OWN = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "b3", "baggage", "connection", "content-encoding",
        "content-length", "content-type", "cookie", "host", "idempotency-key", "sentry-trace", "traceparent",
        "tracestate", "transfer-encoding", "user-agent", "x-amzn-trace-id", "x-client-request-id",
        "x-cloud-trace-context", "x-correlation-id", "x-request-id",
    }
)  # fmt: skip
"""Headers of one request alone, which are not the server's business any more: what is sent is inferkit's own."""
_OWN_FAMILIES = ("x-stainless-", _PREFIX, "x-b3-", "x-datadog-", "uber-trace-")
_OF_CONNECTION = frozenset(
    {
        "connection", "content-encoding", "content-length", "content-type", "date", "keep-alive", "set-cookie",
        "transfer-encoding",
    }
)  # fmt: skip
_LENGTHS = frozenset({b"content-length", b"Content-Length"})

Pairs = tuple[tuple[str, str], ...]


def read_headers(raw: Sequence[tuple[bytes, bytes]]) -> tuple[Pairs, Pairs]:
    """Give those of a request's headers that its server is to see too, by name, and those that are for inferkit."""
    return _parted(tuple([each for each in raw if each[0] not in _LENGTHS]))


@lru_cache(maxsize=64)
def _parted(given: tuple[tuple[bytes, bytes], ...]) -> tuple[Pairs, Pairs]:
    """An SDK sends the same ones with every call, but for the length of the body."""
    headers = {name.lower().decode("latin-1"): value.decode("utf-8", "replace") for name, value in given}
    going_on = [each for each in headers.items() if each[0] not in _OWN and not each[0].startswith(_OWN_FAMILIES)]
    return tuple(sorted(going_on)), tuple([each for each in headers.items() if each[0].startswith(_PREFIX)])


def options_in(said: Pairs) -> dict[str, Any]:
    """Read who asks and what for from what is for inferkit. Raises `ConfigurationError` for what makes no sense."""
    options: dict[str, Any] = {}
    for header, value in said:
        name = header.removeprefix(_PREFIX)
        if name not in _OPTIONS:
            known = ", ".join(f"{_PREFIX}{each}" for each in sorted(_OPTIONS))
            raise ConfigurationError(f"there is no header {header}; there are {known}")
        try:
            options[name] = _NUMBERS.get(name, str)(value)
        except ValueError:
            raise ConfigurationError(f"the header {header} is a number") from None
    return options


def told(record: CallRecord, headers: Mapping[str, str]) -> dict[str, str]:
    """Give the headers of an answer: what the provider said in its own, and what is to be said of the call."""
    said = {name: value for given, value in headers.items() if (name := given.lower()) not in _OF_CONNECTION}
    said["x-inferkit-call"] = record.id
    said["x-inferkit-served-by"] = f"{record.provider}:{record.model}"
    if record.cache is not None:
        said["x-inferkit-cache"] = record.cache
    if record.left_out:
        said["x-inferkit-left-out"] = ", ".join(record.left_out)
    return said


def written(headers: Mapping[str, str], body: bytes | None = None) -> list[tuple[bytes, bytes]]:
    """Write the headers of an answer, with the length of a whole one, as an HTTP library takes them at once."""
    raw = [(name.encode("latin-1"), value.encode("utf-8")) for name, value in headers.items()]
    if body:
        raw.append((b"Content-Length", b"%d" % len(body)))
    return raw
