"""`wrap`: the client of an SDK that an application has, on top of an inferkit client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.core.errors import ConfigurationError
from inferkit.integrations.transports import Stack, library_named, library_of, stack_of, transport_class

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack

    from inferkit.client.every_call import EveryCallOptions
    from inferkit.client.shared import Shared

__all__ = ["put_under", "wrap"]

C = TypeVar("C")
_SDKS = frozenset({"openai", "anthropic"})
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
    if not _SDKS.intersection(_homes(sdk)) or library_of(current) is None or not hasattr(sdk, "with_options"):
        hint = (
            'pass genai.Client(http_options={"httpx_client": http_client(llm), "httpx_async_client": '
            "async_http_client(llm)}) instead, with both"
            if home == "google"
            else "others take http_client(llm), async_http_client(llm) or transport(llm)"
        )
        raise ConfigurationError(
            f"wrap() takes a client of openai or anthropic; got {home}'s {type(sdk).__name__}; {hint}"
        )
    wrapped: C = sdk.with_options(http_client=put_under(current, llm, options, pass_through), max_retries=0)
    return wrapped


def put_under(current: Any, llm: Shared, options: Mapping[str, Any], pass_through: Sequence[str]) -> Any:
    """Give an HTTP client over `llm` that waits and follows as `current` does.

    `current` goes on to be what reaches the SDK's own server, where it is the application's: neither one that the SDK
    made for itself, nor one that sits on an inferkit client already, whose own is taken then.
    """
    library = library_of(current)
    assert library is not None
    below = stack_of(current)
    own = None if type(current).__name__.endswith(_OF_SDK) else current
    given = own if below is None else below.http_client
    module = library_named(library)
    kind = module.AsyncClient if isinstance(current, module.AsyncClient) else module.Client
    above = transport_class(library)(Stack(llm, options, pass_through, given))
    return kind(transport=above, timeout=current.timeout, follow_redirects=current.follow_redirects)


def _homes(thing: Any) -> set[str]:
    """Name the packages that an object's class and those that it is made of come from."""
    return {each.__module__.partition(".")[0] for each in type(thing).__mro__}
