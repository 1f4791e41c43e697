"""What the codecs of all wires do alike: refuse what a server does not take, learn from refusals, and tell errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import InvalidRequest, ProviderError
from inferkit.providers.errors import refusal
from inferkit.providers.wires.payload import Malformed, NotTakenError, parse, write
from inferkit.providers.wires.reply_reader import MAX_KEPT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inferkit.core.errors import InferkitError
    from inferkit.core.request import Request
    from inferkit.providers.endpoints import Endpoint
    from inferkit.providers.wires.capabilities import Capabilities

__all__ = ["Codec", "error_reader", "status_of"]


class Codec:
    """The part of a wire that writes requests; see `Wire`.

    `max_kept_bytes` is what one reply may take in memory; one that takes more is an error, and not tried again.
    """

    plain: Any
    """The quirks of a server about which nothing is known."""

    def __init__(self, *, max_kept_bytes: int = MAX_KEPT_BYTES) -> None:
        self.max_kept_bytes = max_kept_bytes

    def payload(self, request: Request, quirks: Any) -> dict[str, Any]:
        """Give the fields of a request. Raises `NotTakenError` for what this wire or server has no place for."""
        raise NotImplementedError

    def lighter(self, request: Request, quirks: Any, status: int, body: bytes) -> Any:
        """Give the quirks of a server that is asked for less, where `body` says what it does not take, or None."""
        raise NotImplementedError

    def capabilities(self, quirks: Any) -> Capabilities:
        """Give what a server with these ways can do; see `Capabilities`."""
        raise NotImplementedError

    def write_request(self, request: Request, endpoint: Endpoint) -> bytes:
        """See `Wire`. Raises `InvalidRequest` for what this wire or server has no place for."""
        try:
            return write(self._taken(request, endpoint.quirks or self.plain))
        except NotTakenError as what:
            raise InvalidRequest(
                f"{endpoint.name} does not take {what}; leave it out, or name another model",
                provider=endpoint.name,
                code="unsupported",
            ) from None

    def _taken(self, request: Request, quirks: Any) -> dict[str, Any]:
        if request.grammar is not None:
            raise NotTakenError("a grammar=")
        return self.payload(request, quirks)

    def lighten(self, request: Request, endpoint: Endpoint, status: int, body: bytes) -> Endpoint | None:
        """See `Lightening`."""
        quirks = self.lighter(request, endpoint.quirks or self.plain, status, body)
        return None if quirks is None else endpoint.with_quirks(quirks)


def error_reader(
    error_in: Callable[[Any], Any],
) -> Callable[[str, int, Mapping[str, str], bytes], ProviderError]:
    """Make what says what a refusal means; `error_in` gives the error object of a payload, or None."""

    def read_error(provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        try:
            error = error_in(parse(body))
        except Malformed:
            error = None
        return refusal(provider, status, headers, error, text=body.decode("utf-8", "replace"))

    return read_error


def status_of(error: InferkitError, status: int) -> tuple[int, dict[str, str]]:
    """Give the status and the headers that tell an error; `status` is what stands for its kind.

    Whoever gets it is not to try again by itself: what could be tried was tried.
    """
    headers = {"content-type": "application/json", "x-should-retry": "false"}
    if isinstance(error, ProviderError):
        if error.status is not None and 400 <= error.status < 600:  # noqa: PLR2004 - HTTP
            status = error.status
        if error.retry_after is not None:
            headers["retry-after"] = f"{error.retry_after:.3f}"
    return status, headers
