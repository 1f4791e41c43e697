"""The transport under an SDK's HTTP client, for httpx and httpx2 alike: model calls go through the stack.

Each library wants its own types, so the class is made for one of them. One transport serves plain code and event loops:
an SDK's async side is never left to go round the stack.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from typing import TYPE_CHECKING, Any, Literal

from inferkit.budgets.context import current_scopes
from inferkit.budgets.scope import Scope
from inferkit.client.options import read_options
from inferkit.client.shared import engine_of, run_of
from inferkit.core.errors import ConfigurationError
from inferkit.integrations.addresses import Incoming, is_free, read_address, wire_named
from inferkit.integrations.causes import NOTE, never_answered, sdk_of
from inferkit.integrations.headers import read_headers, written
from inferkit.integrations.passing import traced
from inferkit.integrations.served import Answered, Served, refused
from inferkit.integrations.servers import servers_of
from inferkit.runtime import imports
from inferkit.runtime.loops import current_runtime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from inferkit.client.shared import Shared
    from inferkit.client.streams import Run
    from inferkit.integrations.addresses import Address

__all__ = ["LIBRARIES", "Library", "Stack", "library_named", "library_of", "stack_of", "transport_class"]

Library = Literal["httpx", "httpx2"]
LIBRARIES: tuple[Library, ...] = ("httpx", "httpx2")
_log = logging.getLogger("inferkit")


class Stack:
    """An inferkit client, as the server that an SDK speaks to; what its transport asks whatever the library.

    `options` are those of every call (`user=`, `feature=`...), `pass_through` the ends of paths whose requests may go
    by the budgets, and `http_client` is what goes to the SDK's own server, where it is not inferkit's own transport.
    """

    def __init__(
        self, llm: Shared, options: Mapping[str, Any], pass_through: Sequence[str] = (), http_client: Any = None
    ) -> None:
        self.engine = engine_of(llm)
        self.run = run_of(llm)
        self.http_client = http_client
        read_options(options)  # says now what makes no sense
        if isinstance(pass_through, str) or not all(isinstance(each, str) and each for each in pass_through):
            raise ConfigurationError('pass_through= is a list of ends of paths: ["/images/generations"]')
        self._options = dict(options)
        self._pass_through = tuple(pass_through)
        self._servers = servers_of(self.engine, http_client)
        self._told: set[str] = set()

    def serve(self, incoming: Incoming) -> Served:
        """Take a model call, in the caller's own context."""
        return Served(self.engine, self._servers, incoming, self._options)

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> Answered | None:
        """Give the answer to a request that is no model call and may not pass, or None where it may.

        What costs money passes only where nobody's budget would believe that it has seen everything.
        """
        if is_free(method, path) or path.endswith(self._pass_through or "\n"):
            return None
        engine = self.engine
        if not (engine.has_budgets or engine.plans is not None or self._options.get("budget") or _is_paid_for()):
            if path not in self._told:
                self._told.add(path)
                _log.warning(
                    "%s %s is no model call: it goes to its server past cache, budgets and retries", method, path
                )
            return None
        ending = f"/{path.rpartition('/')[2]}"
        error = ConfigurationError(
            f"{method} {path} is no call that a budget can hold money for, so it is not sent under one; make it with a "
            f'client of its own, or let it go by all budgets with pass_through=["{ending}"]'
        )
        name = "gemini" if "x-goog-api-client" in headers else sdk_of(headers)
        return refused(wire_named(name if name in {"anthropic", "gemini"} else "chat"), error)


def _is_paid_for() -> bool:
    """Say whether a budget around the code pays for the calls made here."""
    return any(isinstance(each, Scope) for each in current_scopes())


class _Transport:
    """Answers an SDK's model calls from the stack, and sends everything else on to where it goes."""

    library: Any
    streams: tuple[Any, Any]

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._passing: Any = None
        self._passing_async: Any = None

    def handle_request(self, request: Any) -> Any:
        """Answered plain code."""
        address = read_address(request.method, str(request.url))
        if address is None:
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
            with traced(self.stack.engine.tracer(), request) as answered:
                return answered(self._pass_on().send(_plain(request), stream=True))
        served = self.stack.serve(_incoming(address, request, request.read()))
        answer = self.stack.run(served.answer)
        if answer.body is None:
            return self._streamed(answer, self.streams[0](served, request, self.stack.run))
        return self._whole(answer, request)

    async def handle_async_request(self, request: Any) -> Any:
        """Answered code on an event loop."""
        address = read_address(request.method, str(request.url))
        if address is None:
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
            with traced(self.stack.engine.tracer(), request) as answered:
                return answered(await self._pass_on_async().send(_plain(request), stream=True))
        served = self.stack.serve(_incoming(address, request, await request.aread()))
        answer = await served.answer(current_runtime())
        if answer.body is None:
            return self._streamed(answer, self.streams[1](served, request))
        return self._whole(answer, request)

    def close(self) -> None:
        """Close what was opened for requests that pass; the inferkit client stays open."""
        if self._passing is not None and self._passing is not self.stack.http_client:
            self._passing.close()

    async def aclose(self) -> None:
        """See `close`."""
        if self._passing_async is not None and self._passing_async is not self.stack.http_client:
            await self._passing_async.aclose()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be at its end
            self.close()

    def _pass_on(self) -> Any:
        if self._passing is None:
            given = self.stack.http_client
            self._passing = given if isinstance(given, self.library.Client) else self.library.Client(timeout=None)
        return self._passing

    def _pass_on_async(self) -> Any:
        if self._passing_async is None:
            given, kind = self.stack.http_client, self.library.AsyncClient
            self._passing_async = given if isinstance(given, kind) else kind(timeout=None)
        return self._passing_async

    def _refusal(self, request: Any) -> Any:
        answer = self.stack.refusal(request.method, request.url.path, request.headers)
        return None if answer is None else self._whole(answer, request)

    def _streamed(self, answer: Answered, stream: Any) -> Any:
        return self.library.Response(answer.status, headers=written(answer.headers), stream=stream)

    def _whole(self, answer: Answered, request: Any) -> Any:
        error = answer.error
        if error is not None:
            request.extensions[NOTE] = error
            failure = never_answered(error, self.library, request, request.headers)
            if failure is not None:
                raise failure from error
        body = answer.body or b""
        return self.library.Response(
            answer.status, headers=written(answer.headers, body), stream=self.library.ByteStream(body)
        )


class _Stream:
    """A streamed reply, for plain code."""

    def __init__(self, served: Served, request: Any, run: Run) -> None:
        self._served: Served | None = served
        self._request = request
        self._run = run

    def __iter__(self) -> Iterator[bytes]:
        if (served := self._served) is None:
            return
        step = served.next
        try:
            while (data := self._run(lambda _: step())) is not None:
                _note(self._request, served)
                yield data
        except GeneratorExit:
            # nobody reads on, and not every SDK closes its response then: google-genai over httpx keeps it in a circle.
            # What is let go of here is closed as what is dropped, since this may be the garbage collector's own thread.
            self._served = None
            raise

    def close(self) -> None:
        """Leave it, wherever it is."""
        if (served := self._served) is not None:
            self._run(lambda _: served.close())


class _AsyncStream:
    """A streamed reply, for event loops."""

    def __init__(self, served: Served, request: Any) -> None:
        self._served = served
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (data := await self._served.next()) is not None:
            _note(self._request, self._served)
            yield data

    async def aclose(self) -> None:
        """Leave it, wherever it is."""
        await self._served.close()


@functools.cache
def transport_class(name: Library) -> Callable[[Stack], Any]:
    """Make the class of transports for a library, which takes nothing but its own types.

    Raises `ConfigurationError` where it is not installed.
    """
    library = library_named(name)
    streams = (
        type("Stream", (_Stream, library.SyncByteStream), {}),
        type("AsyncStream", (_AsyncStream, library.AsyncByteStream), {}),
    )
    bases = (_Transport, library.BaseTransport, library.AsyncBaseTransport)
    return type("Transport", bases, {"library": library, "streams": streams})


def library_named(name: Library) -> Any:
    """Give one of the libraries. Raises `ConfigurationError` where it is not installed, or not known."""
    if name not in ("httpx", "httpx2"):
        raise ConfigurationError(f'library= is "httpx" or "httpx2"; got {name!r}')
    from importlib import import_module

    try:
        imports.load(name)
        return import_module(name)
    except ImportError:
        raise ConfigurationError(f"{name} is not installed") from None


def library_of(thing: Any) -> Library | None:
    """Say which of the libraries an HTTP client, or its class, is of; None for another."""
    kind = thing if isinstance(thing, type) else type(thing)
    homes = {each.__module__.partition(".")[0] for each in kind.__mro__}
    return next((name for name in LIBRARIES if name in homes), None)


def stack_of(http_client: Any) -> Stack | None:
    """Give what an HTTP client sits on, where that is an inferkit client."""
    below = getattr(http_client, "_transport", None)  # either library's, since ever; a test holds it to that
    return below.stack if isinstance(below, _Transport) else None


def _incoming(address: Address, request: Any, body: bytes) -> Incoming:
    return Incoming(address, *read_headers(request.headers.raw), body, request.extensions.get("timeout"))


def _plain(request: Any) -> Any:
    """Take out of a request that goes on what is for inferkit alone."""
    for name in [each for each in request.headers if each.lower().startswith("x-inferkit-")]:
        del request.headers[name]
    return request


def _note(request: Any, served: Served) -> None:
    if served.failure is not None:
        request.extensions[NOTE] = served.failure
