"""`wrap`: the client of an SDK that an application has, on top of an inferkit client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.core.errors import ConfigurationError
from inferkit.integrations.transports import Stack, library_named, transport_class

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from inferkit.client.every_call import EveryCallOptions
    from inferkit.client.shared import Shared
    from inferkit.integrations.transports import Library

__all__ = ["wrap"]

C = TypeVar("C")
_SDKS = frozenset({"openai", "anthropic"})
_LIBRARIES: tuple[Library, ...] = ("httpx", "httpx2")
_OF_SDK = "HttpxClientWrapper"


def wrap(sdk: C, llm: Shared, *, pass_through: Sequence[str] = (), **options: Unpack[EveryCallOptions]) -> C:
    """Give an SDK's client whose model calls go through `llm`.

    `client = wrap(openai.OpenAI(), llm)` is all that an application changes.

    `sdk` is one of `openai` or `anthropic`, plain or async, and stays as it is. A model that `llm` knows by name, such
    as "fast", is served by what stands behind that; any other by the server and with the key that `sdk` has. `options`
    and `pass_through` are those of `transport`. What comes back has no retries of its own: those of `llm` hold. Both
    clients stay the application's to close.

    Raises `ConfigurationError` for what is no such client.
    """
    home = type(sdk).__module__.partition(".")[0]
    current = getattr(sdk, "_client", None)
    library = next((name for name in _LIBRARIES if _is_from(current, name)), None)
    if not _SDKS.intersection(_homes(sdk)) or library is None or not hasattr(sdk, "with_options"):
        hint = (
            'pass genai.Client(http_options={"httpx_client": http_client(llm), "httpx_async_client": '
            "async_http_client(llm)}) instead, with both"
            if home == "google"
            else "others take http_client(llm), async_http_client(llm) or transport(llm)"
        )
        raise ConfigurationError(
            f"wrap() takes a client of openai or anthropic; got {home}'s {type(sdk).__name__}; {hint}"
        )
    module = library_named(library)
    given = None if type(current).__name__.endswith(_OF_SDK) else current
    below = transport_class(library)(Stack(llm, options, pass_through, given))
    kind = module.AsyncClient if isinstance(current, module.AsyncClient) else module.Client
    http_client = kind(transport=below, timeout=current.timeout, follow_redirects=current.follow_redirects)  # type: ignore[union-attr]
    wrapped: C = sdk.with_options(http_client=http_client, max_retries=0)
    return wrapped


def _homes(thing: Any) -> set[str]:
    """Name the packages that an object's class and those that it is made of come from."""
    return {each.__module__.partition(".")[0] for each in type(thing).__mro__}


def _is_from(thing: Any, package: str) -> bool:
    return package in _homes(thing)
