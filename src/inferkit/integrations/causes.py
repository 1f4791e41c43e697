"""From the error that an SDK raises to inferkit's behind it, and from one of inferkit's to the SDK's own kind."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import CircuitOpen, DeadlineExceeded, InferkitError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["NOTE", "cause_of", "never_answered", "sdk_of"]

NOTE = "inferkit_error"
"""Where a request's `extensions` have the error that it ended with."""

_SDKS = ("openai", "anthropic")
_DEEPEST = 16


def cause_of(error: BaseException) -> InferkitError | None:
    """Give inferkit's error behind one that an SDK or a framework raised, with its fields: `.scope`, `.attempts`...

    None where there is none, as for errors of requests that are no model calls.
    """
    for each in _chain(error):
        if isinstance(each, InferkitError):
            return each
        response = getattr(each, "response", None)
        streamed = getattr(response, "response_stream", None)  # where google-genai has it, of what came in a stream
        for request in (getattr(each, "request", None), _request_of(response), _request_of(streamed)):
            found = getattr(request, "extensions", {}).get(NOTE) if request is not None else None
            if isinstance(found, InferkitError):
                return found
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen and len(seen) < _DEEPEST:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _request_of(response: Any) -> Any:
    try:
        return getattr(response, "request", None)
    except RuntimeError:  # httpx's, of a response that was made by hand
        return None


def sdk_of(headers: Mapping[str, str]) -> str | None:
    """Name the SDK that made a request, where it is one whose errors are known here."""
    agent = headers.get("user-agent", "").lower() if "x-stainless-lang" in headers else ""
    return next((name for name in _SDKS if name in agent and name in sys.modules), None)


def never_answered(error: InferkitError, library: Any, request: Any, headers: Mapping[str, str]) -> Exception | None:
    """Give what an SDK raises where no server answered in time, or at all; None for what a server would have said.

    An error of the SDK's own goes through it as it is and is not tried again; another one would be, behind our retries.
    """
    if isinstance(error, DeadlineExceeded):
        name, plain = "APITimeoutError", library.ReadTimeout
    elif isinstance(error, Unavailable) and error.status is None and not isinstance(error, CircuitOpen):
        name, plain = "APIConnectionError", library.ConnectError
    else:
        return None
    sdk = sdk_of(headers)
    kind = None if sdk is None else getattr(sys.modules[sdk], name, None)
    if kind is None:
        failure: Exception = plain(str(error), request=request)
        return failure
    own: Exception = kind(request=request) if name == "APITimeoutError" else kind(message=str(error), request=request)
    return own
