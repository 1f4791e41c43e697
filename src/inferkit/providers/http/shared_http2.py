"""Connections of HTTP/2, which calls share: what befalls one call there is to hurt no other. Imported with `h2`.

httpcore's own are not safe from threads. What is said is put together by h2, whose state nothing guards: two threads
can take one number for their streams, open them out of order, spend the same credit, or lose a frame between them, and
the server ends the connection with every call on it. A thread reads until its own answer is there, while those whose
answers it has read wait for it. And one call's timeout ends all the others, on event loops too.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

import httpcore
from h2.connection import H2Connection
from h2.events import StreamReset
from h2.exceptions import ProtocolError

from inferkit.providers.http.tls_in_threads import ThreadedStream
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from h2.config import H2Configuration
    from h2.events import Event
    from httpcore import Request

__all__ = ["share_safely"]


def share_safely(transport: Any) -> None:
    """Have the pool of one of httpx's transports open connections that calls can share."""
    pool = transport._pool  # noqa: SLF001 - no other way
    pool.__class__ = _opening(pool.__class__)


@functools.cache
def _opening(kind: Any) -> Any:
    """Give a kind of pool whose connections are of a kind that `_finding` gives."""

    def create_connection(self: Any, origin: Any) -> Any:
        connection = kind.create_connection(self, origin)
        connection.__class__ = _finding(connection.__class__)
        return connection

    return type(kind.__name__, (kind,), {"create_connection": create_connection})


@functools.cache
def _finding(kind: Any) -> Any:
    """Give a kind of connection which makes what speaks HTTP/2 below it, once it has found that out, one of ours."""

    def get(self: Any) -> Any:
        return self.__dict__["_connection"]

    def put(self: Any, below: Any) -> None:
        ours = _OURS.get(type(below))
        if ours is not None:
            below.__class__ = ours
            below.begin()
        self.__dict__["_connection"] = below

    return type(kind.__name__, (kind,), {"_connection": property(get, put)})


class _State(H2Connection):
    """Takes one step at a time. From the number of a stream to its opening is one step."""

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self.step = threading.RLock()
        self._opener: int | None = None

    def get_next_available_stream_id(self) -> int:
        self.step.acquire()
        self._opener = threading.get_ident()
        try:
            return super().get_next_available_stream_id()
        except BaseException:
            self.opened()
            raise

    def send_headers(self, *given: Any, **named: Any) -> None:
        with self.step:
            try:
                super().send_headers(*given, **named)
            finally:
                self.opened()

    def opened(self) -> None:
        """Let the next stream be opened, if it is this thread that is opening one."""
        if self._opener == threading.get_ident():
            self._opener = None
            self.step.release()


def _one_step(of_h2: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(of_h2)
    def step(self: _State, *given: Any, **named: Any) -> Any:
        with self.step:
            return of_h2(self, *given, **named)

    return step


for _name in (
    "acknowledge_received_data", "close_connection", "data_to_send", "end_stream", "increment_flow_control_window",
    "initiate_connection", "local_flow_control_window", "ping", "receive_data", "reset_stream", "send_data",
):  # fmt: skip
    setattr(_State, _name, _one_step(getattr(H2Connection, _name)))


class _Received(dict[int, list[Any]]):
    """What came for each stream. What comes for one that is closed meanwhile goes nowhere."""

    def __missing__(self, number: int) -> list[Any]:
        return []


class _Wait:
    """A thread that waits while another reads: for an answer to its stream, or for credit to write on it."""

    def __init__(self, turn: threading.Lock, number: int, *, writes: bool) -> None:
        self.woken = threading.Condition(turn)
        self.number = number
        self.writes = writes


class _OfThreads(httpcore.HTTP2Connection):
    """Threads take turns in reading: who has what it waits for goes, and has another read on."""

    def begin(self) -> None:
        """Take over from httpcore's own, before anything was said."""
        self._network_stream = ThreadedStream(self._network_stream)
        self._h2_state: _State = _State(self.CONFIG)
        self._events = _Received()
        self._turn = threading.Lock()
        self._is_read = False
        self._waiting: list[_Wait] = []
        self._writing: dict[int, int] = {}

    def _send_request_headers(self, request: Request, stream_id: int) -> None:
        try:
            super()._send_request_headers(request, stream_id)
        finally:
            self._h2_state.opened()

    def _send_stream_data(self, request: Request, stream_id: int, data: bytes) -> None:
        while data:
            with self._h2_state.step:
                if ended := self._reset(stream_id):
                    raise httpcore.RemoteProtocolError(ended)
                credit = self._credit(stream_id)
                if credit > 0:
                    self._h2_state.send_data(stream_id, data[:credit])
                    data = data[credit:]
            if credit > 0:
                self._write_outgoing_data(request)
                continue
            self._writing[id(request)] = stream_id
            try:
                self._receive_events(request)
            finally:
                del self._writing[id(request)]

    def _receive_events(self, request: Request, stream_id: int | None = None) -> None:
        writes = stream_id is None
        me = _Wait(self._turn, self._writing[id(request)] if stream_id is None else stream_id, writes=writes)
        with self._turn:
            if not self._waits_for_its_turn(me, request):
                return
            self._is_read = True
        goes_on = False
        try:
            super()._receive_events(request, stream_id)
            goes_on = not self._has(me)
        finally:
            with self._turn:
                self._is_read = False
                self._wake(goes_on=goes_on)

    def _waits_for_its_turn(self, me: _Wait, request: Request) -> bool:
        """Wait until nobody reads, or until what is waited for has come: then it is False."""
        patience = request.extensions.get("timeout", {}).get("read")
        until = None if patience is None else clock.now() + patience
        self._waiting.append(me)
        reads = False
        try:
            while True:
                if not me.writes and me.number not in self._events:
                    raise httpcore.LocalProtocolError("the stream was closed")
                if self._has(me):
                    return False
                if not self._is_read:
                    reads = True
                    return True
                left = None if until is None else until - clock.now()
                if left is not None and left <= 0:
                    raise httpcore.ReadTimeout("nothing came of it")
                me.woken.wait(left if left is None else min(left, threading.TIMEOUT_MAX))
        finally:
            self._waiting.remove(me)
            if not reads and not self._is_read:
                self._wake(goes_on=False)  # it may have been woken to read

    def _wake(self, *, goes_on: bool) -> None:
        """Wake who has what it waits for, and one that reads on where this thread does not."""
        for each in self._waiting:
            if self._has(each):
                each.woken.notify()
            elif not goes_on:
                goes_on = True
                each.woken.notify()

    def _has(self, waiting: _Wait) -> bool:
        if waiting.writes:
            try:
                return self._reset(waiting.number) is not None or self._credit(waiting.number) > 0
            except ProtocolError:  # its stream is closed, which is for its own thread to find
                return True
        return bool(self._events.get(waiting.number))

    def _reset(self, number: int) -> StreamReset | None:
        """Give what says that the server ended a stream, if it has; h2 has no window of 0 for one, nor an error."""
        return next((each for each in self._events[number] if isinstance(each, StreamReset)), None)

    def _credit(self, number: int) -> int:
        with self._h2_state.step:
            return min(self._h2_state.local_flow_control_window(number), self._h2_state.max_outbound_frame_size)

    def _read_incoming_data(self, request: Request) -> list[Event]:
        try:
            return super()._read_incoming_data(request)
        except httpcore.ReadTimeout:
            self._read_exception = None  # it was this one's patience, and new calls get another connection
            raise


class _OfLoop(httpcore.AsyncHTTP2Connection):
    """One that tasks share."""

    def begin(self) -> None:
        """Take over from httpcore's own."""

    async def _read_incoming_data(self, request: Request) -> list[Event]:
        try:
            return await super()._read_incoming_data(request)
        except httpcore.ReadTimeout:
            self._read_exception = None  # it was this one's patience, and new calls get another connection
            raise


_OURS: dict[type, Any] = {httpcore.HTTP2Connection: _OfThreads, httpcore.AsyncHTTP2Connection: _OfLoop}
