"""HTTP clients and transports over an inferkit client, for SDKs and frameworks that take one of the application's."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from inferkit.integrations.both_sides import cover_both_sides
from inferkit.integrations.transports import Stack, library_named, transport_class

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from inferkit.client.every_call import EveryCallOptions
    from inferkit.client.shared import Shared
    from inferkit.integrations.transports import Library

__all__ = ["async_http_client", "http_client", "make_client", "transport"]

_SECONDS = 600.0  # what the SDKs set on clients of their own
_CONNECT_SECONDS = 5.0


def transport(
    llm: Shared,
    *,
    library: Library | None = None,
    pass_through: Sequence[str] = (),
    **options: Unpack[EveryCallOptions],
) -> Any:
    """Make a transport for an HTTP client of your own: `httpx.Client(transport=transport(llm, library="httpx"))`.

    It serves `Client` and `AsyncClient` of the library alike. `library` is "httpx" or "httpx2", without which it is
    httpx2 where that is installed: the SDK says which it takes. `options` are those of every call, for example
    `feature="search"`; a request may say others in its headers (`x-inferkit-user`). `pass_through` are the ends of
    paths that may go by all budgets. The inferkit client stays open when the transport is closed.

    Raises `ConfigurationError` for what makes no sense.
    """
    return transport_class(library or _usual())(Stack(llm, options, pass_through))


def http_client(
    llm: Shared,
    *,
    library: Library | None = None,
    pass_through: Sequence[str] = (),
    **options: Unpack[EveryCallOptions],
) -> Any:
    """Make an HTTP client for an SDK's plain side: `ChatOpenAI(http_client=http_client(llm), ...)`.

    It takes what `transport` takes. Give what takes an async one too that as well, or the other side may go round
    inferkit. google-genai and LangChain's OpenAI models get it of themselves, where they are imported by now.
    """
    cover_both_sides()
    return make_client(llm, is_async=False, library=library, pass_through=pass_through, **options)


def async_http_client(
    llm: Shared,
    *,
    library: Library | None = None,
    pass_through: Sequence[str] = (),
    **options: Unpack[EveryCallOptions],
) -> Any:
    """Make an HTTP client for an SDK's async side; see `http_client`."""
    cover_both_sides()
    return make_client(llm, is_async=True, library=library, pass_through=pass_through, **options)


def make_client(
    llm: Shared,
    *,
    is_async: bool,
    library: Library | None = None,
    pass_through: Sequence[str] = (),
    **options: Unpack[EveryCallOptions],
) -> Any:
    """Make an HTTP client of either kind, and touch nothing of those who take it."""
    name = library or _usual()
    module = library_named(name)
    kind = module.AsyncClient if is_async else module.Client
    below = transport(llm, library=name, pass_through=pass_through, **options)
    return kind(transport=below, timeout=module.Timeout(_SECONDS, connect=_CONNECT_SECONDS), follow_redirects=True)


def _usual() -> Library:
    return "httpx2" if find_spec("httpx2") is not None else "httpx"
