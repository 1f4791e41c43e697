"""`instrument`: an inferkit client under every client that an SDK makes from now on, whoever makes it.

Constructors are wrapped, and pass on what those of the SDKs document: an HTTP client, and no retries. Nothing else of
an SDK is touched, and only in releases that this was tested with.
"""

from __future__ import annotations

import functools
import gc
import logging
import threading
from dataclasses import dataclass, field
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.integrations.http_clients import make_client, transport
from inferkit.integrations.transports import library_of, stack_of
from inferkit.integrations.wrapping import put_under
from inferkit.runtime.forks import in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self, Unpack

    from inferkit.client.every_call import EveryCallOptions
    from inferkit.client.shared import Shared
    from inferkit.integrations.transports import Library

__all__ = ["Instrumented", "instrument", "uninstrument"]

_log = logging.getLogger("inferkit")


@dataclass(frozen=True)
class _Sdk:
    """An SDK: its package, its classes of clients, plain and async, and the major releases that were tested."""

    module: str
    classes: tuple[str, ...]
    majors: frozenset[int]
    prepare: Callable[[Instrumented, type, dict[str, Any]], None]


class Instrumented:
    """What `instrument` gives: an SDK whose new clients are over an inferkit client, until it is undone.

    `with instrument("openai", llm): ...` undoes it at the end; so does `undo()`, any number of times.
    """

    def __init__(self, name: str, llm: Shared, pass_through: Sequence[str], options: Mapping[str, Any]) -> None:
        self.name = name
        self._llm = llm
        self._pass_through = pass_through
        self._options: Any = dict(options)
        self._undone = False

    def __repr__(self) -> str:
        return f"Instrumented({self.name!r}{', undone' if self._undone else ''})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()

    def undo(self) -> None:
        """Have the SDK's new clients be its own again. Those that were made meanwhile stay over the inferkit client."""
        with _LOCK:
            self._undone = True
            if _ACTIVE.get(self.name) is self:
                del _ACTIVE[self.name]
                for patch in _PATCHES.pop(self.name, ()):
                    patch.take_back()

    def over(self, given: Any, make: Callable[[], Any]) -> Any:
        """Give the HTTP client for a new client of the SDK, over the one that it was given, or one that is made."""
        if given is None:
            return make()
        if stack_of(given) is not None:
            return given  # by `wrap`, by `http_client`, or a copy of a client that was made so
        return put_under(given, self._llm, self._options, self._pass_through)

    def transport(self, library: Library | None) -> Any:
        """Give a transport over the inferkit client."""
        return transport(self._llm, library=library, pass_through=self._pass_through, **self._options)

    def client(self, library: Library | None, *, is_async: bool) -> Any:
        """Give an HTTP client over the inferkit client."""
        options = {"library": library, "pass_through": self._pass_through, **self._options}
        return make_client(self._llm, is_async=is_async, **options)


@dataclass
class _Patch:
    """The constructor of one class, wrapped."""

    owner: type
    original: Any = field(init=False)
    wrapped: Any = field(init=False)

    def put(self, name: str) -> None:
        self.original = original = self.owner.__init__  # type: ignore[misc]
        prepare = _SDKS[name].prepare

        @functools.wraps(original)
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            active = _ACTIVE.get(name)
            if active is not None:
                prepare(active, type(self), kwargs)
            original(self, *args, **kwargs)

        self.wrapped = init
        self.owner.__init__ = init  # type: ignore[misc]

    def take_back(self) -> None:
        """Put the constructor back, unless somebody has wrapped it once more: this one then lets everything pass."""
        if self.owner.__init__ is self.wrapped:  # type: ignore[misc]
            self.owner.__init__ = self.original  # type: ignore[misc]


def instrument(
    sdk: str, llm: Shared, *, pass_through: Sequence[str] = (), **options: Unpack[EveryCallOptions]
) -> Instrumented:
    """Put an inferkit client under every client of an SDK that is made from now on, also inside of frameworks.

    `sdk` is "openai", "anthropic" or "google-genai"; `options` and `pass_through` are those of `wrap`. Clients that an
    application gave an HTTP client keep it towards the SDK's own server, and those that are over an inferkit client
    already stay as they are. Clients that exist are not touched: where there are some, the log says so. Undo it by
    `with`, by `undo()` of what this gives, or by `uninstrument(sdk)`. Safe in any thread.

    Raises `ConfigurationError` for an SDK that is not known, not installed, instrumented already, or of a release that
    this was not tested with.
    """
    known = _SDKS.get(sdk)
    if known is None:
        raise ConfigurationError(f"instrument() knows {', '.join(sorted(_SDKS))}; got {sdk!r}")
    classes = _classes_of(sdk, known)
    active = Instrumented(sdk, llm, pass_through, options)
    active.transport(None)  # says now what makes no sense
    with _LOCK:
        if sdk in _ACTIVE:
            raise ConfigurationError(f'{sdk} is instrumented already; uninstrument("{sdk}") first')
        _ACTIVE[sdk] = active
        patches = _PATCHES[sdk] = [_Patch(each) for each in classes]
        for patch in patches:
            patch.put(sdk)
    before = _how_many(classes)
    if before:
        _log.warning(
            "clients of %s (%d) were made before instrument() and go round inferkit: make them later, or wrap() them",
            sdk,
            before,
        )
    return active


def uninstrument(sdk: str) -> None:
    """Undo `instrument(sdk, ...)`; nothing where there was none."""
    active = _ACTIVE.get(sdk)
    if active is not None:
        active.undo()


def _how_many(classes: Sequence[type]) -> int:
    """Count the objects of these classes and of those made from them.

    Only what refers to one of them is looked at: who holds an object that another thread is still making breaks that,
    as a list of all objects does.
    """
    kinds: set[type] = set()
    more = list(classes)
    while more:
        kind = more.pop()
        kinds.add(kind)
        more += kind.__subclasses__()
    return sum(type(each) in kinds for each in gc.get_referrers(*kinds))


def _classes_of(sdk: str, known: _Sdk) -> tuple[type, ...]:
    try:
        version = metadata.version(sdk)
        module = import_module(known.module)
    except ImportError:
        raise ConfigurationError(f"{sdk} is not installed") from None
    if int(version.partition(".")[0]) not in known.majors:
        majors = " and ".join(f"{major}.x" for major in sorted(known.majors))
        raise ConfigurationError(
            f"instrument() was tested with {sdk} {majors}, and this is {version}; wrap(), http_client() and "
            "async_http_client() take a client of any"
        )
    return tuple(getattr(module, each) for each in known.classes)


def _prepare_stainless(active: Instrumented, kind: type, given: dict[str, Any]) -> None:
    """Have a client of openai or anthropic sit over ours, with no retries of its own."""
    if given.get("http_client") is not None and stack_of(given["http_client"]) is not None:
        return
    module = import_module(active.name)
    is_async = any(each.__name__.startswith("Async") for each in kind.__mro__)
    usual = module.DefaultAsyncHttpxClient if is_async else module.DefaultHttpxClient
    given["http_client"] = active.over(
        given.get("http_client"), lambda: usual(transport=active.transport(library_of(usual)))
    )
    given["max_retries"] = 0


def _prepare_genai(active: Instrumented, _: type, given: dict[str, Any]) -> None:
    """Have both sides of a client of google-genai sit over ours: one alone would leave the other to go round."""
    from google.genai.types import HttpOptions

    options = HttpOptions.model_validate(given.get("http_options") or {})
    plain, other = options.httpx_client, options.httpx_async_client
    library = library_of(plain if plain is not None else other)
    ours = {
        "httpx_client": active.over(plain, lambda: active.client(library, is_async=False)),
        "httpx_async_client": active.over(other, lambda: active.client(library, is_async=True)),
    }
    given["http_options"] = options.model_copy(update=ours)


_SDKS = {
    "openai": _Sdk("openai", ("OpenAI", "AsyncOpenAI"), frozenset({2, 3}), _prepare_stainless),
    "anthropic": _Sdk("anthropic", ("Anthropic", "AsyncAnthropic"), frozenset({0, 2}), _prepare_stainless),
    "google-genai": _Sdk("google.genai", ("Client",), frozenset({3}), _prepare_genai),
}
_LOCK = threading.RLock()
_ACTIVE: dict[str, Instrumented] = {}
_PATCHES: dict[str, list[_Patch]] = {}


def _renew_lock() -> None:
    global _LOCK  # noqa: PLW0603 - one a process
    _LOCK = threading.RLock()


in_child(_renew_lock)
