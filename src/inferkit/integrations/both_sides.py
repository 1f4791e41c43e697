"""What takes a plain and an async HTTP client, and was given one over inferkit: the other side is put over it as well.

google-genai and LangChain's `ChatOpenAI` make themselves what they are not given, and calls of that side would go round
inferkit without a word. So their constructors are completed, of those that are imported when `http_client` or
`async_http_client` makes a client; what is given on both sides, or on neither, passes as it is.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

from inferkit.integrations.transports import library_named, library_of, stack_of, transport_class
from inferkit.runtime.forks import in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["cover_both_sides"]

_log = logging.getLogger("inferkit")


def cover_both_sides() -> None:
    """Have the constructors completed that are there, and that are not yet."""
    for (module, name), complete in _TAKERS.items():
        home = sys.modules.get(module)
        kind = None if home is None else getattr(home, name, None)
        if isinstance(kind, type):
            with _LOCK:
                if kind not in _COVERED:
                    _COVERED.add(kind)
                    _cover(kind, complete)


def _cover(kind: type, complete: Callable[[str, dict[str, Any]], None]) -> None:
    original = kind.__init__  # type: ignore[misc]

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        complete(type(self).__name__, kwargs)
        original(self, *args, **kwargs)

    kind.__init__ = init  # type: ignore[misc]


def _complete_arguments(who: str, given: dict[str, Any]) -> None:
    given |= _missing(who, given, "http_client", "http_async_client")


def _complete_genai(who: str, given: dict[str, Any]) -> None:
    if given.get("http_options") is None:
        return
    from google.genai.types import HttpOptions

    options = HttpOptions.model_validate(given["http_options"])
    missing = _missing(f"google.genai's {who}", dict(options), "httpx_client", "httpx_async_client")
    if missing:
        given["http_options"] = options.model_copy(update=missing)


def _missing(who: str, given: Mapping[str, Any], plain: str, other: str) -> dict[str, Any]:
    """Give the side that is missing. One that somebody else's client has is left to it, and said."""
    ours = [name for name in (plain, other) if stack_of(given.get(name)) is not None]
    if len(ours) != 1:
        return {}
    there, missing = (plain, other) if ours == [plain] else (other, plain)
    if given.get(missing) is not None:
        _log.warning(
            "%s was given %s= over inferkit, and a %s= that is not: calls of that side go round inferkit",
            who,
            there,
            missing,
        )
        return {}
    return {missing: _twin(given[there], is_async=missing == other)}


def _twin(client: Any, *, is_async: bool) -> Any:
    """Give the other kind of client over what a client is over."""
    library, below = library_of(client), stack_of(client)
    assert library is not None
    assert below is not None
    module = library_named(library)
    kind = module.AsyncClient if is_async else module.Client
    above = transport_class(library)(below)
    return kind(transport=above, timeout=client.timeout, follow_redirects=client.follow_redirects)


_TAKERS = {
    ("google.genai", "Client"): _complete_genai,
    ("langchain_openai.chat_models.base", "BaseChatOpenAI"): _complete_arguments,
    ("langchain_openai.embeddings.base", "OpenAIEmbeddings"): _complete_arguments,
}
_COVERED: set[type] = set()
_LOCK = threading.RLock()


def _renew_lock() -> None:
    global _LOCK  # noqa: PLW0603 - one a process
    _LOCK = threading.RLock()


in_child(_renew_lock)
