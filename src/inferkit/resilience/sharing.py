"""Tells other processes on the same ledger how models stand, and hears it of them: in the background, never in a call.

While calls are made, the notices are exchanged once a second; what cannot wait (a circuit that opened, a refusal) is
told at once. So what others know is known here a second later, or not at all where the ledger cannot be had: then each
process goes by what it finds out itself. A minute without calls, and nobody looks any more until there is one.

What is told is of a server, a key and a model, by a one-way print: two programs that call a model by the same name with
different keys, or at different places, tell each other nothing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import threading
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from inferkit.core.errors import LedgerError
from inferkit.ledger.notices import MOST_NOTICES, Notice
from inferkit.resilience.written_facts import read, write
from inferkit.runtime import clock, writer
from inferkit.runtime.forks import renew_after_fork
from inferkit.runtime.scheduler import Timer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from inferkit.core.request import Target
    from inferkit.ledger.protocols import Noticeboard

__all__ = ["SECONDS", "News", "Sharing", "Subject"]

_log = logging.getLogger("inferkit")
SECONDS = 1.0
"""How long it takes at most until others are heard, while calls are made."""
_IDLE_RUNS = 60
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 30.0
_PATIENCE = 0.1  # seconds for a ledger that is locked
_MOST_TARGETS = 1024


class News(NamedTuple):
    """What there is to tell of a model (`provider:model`): `facts` for JSON, worth nothing from the instant `until`."""

    name: str
    facts: Mapping[str, Any]
    until: float


class Subject(Protocol):
    """Something that processes tell each other of models. Instants in what is told are seconds since the epoch."""

    @property
    def kind(self) -> str:
        """What it is called in notices."""

    def news(self) -> Iterable[News]:
        """Give what is to be told and was not given before."""

    def hear(self, target: Target, teller: str, facts: Mapping[str, Any], /) -> None:
        """Take in what another process tells of a model. Raises `ValueError` and the like for what makes no sense."""

    def part_from(self, teller: str, /) -> None:
        """Leave to the parent, which told under this name, what is its own: this is a forked child."""


class Sharing:
    """The notices of one client. Without a target that is `is_shared` it does nothing."""

    def __init__(self, board: Noticeboard) -> None:
        self._board = board
        self._subjects: dict[str, Subject] = {}
        self._targets: dict[str, Target] = {}
        self._known: dict[tuple[str, str, str], Notice] = {}
        self._unsent: dict[tuple[str, str], Notice] = {}
        self._since = 0
        self._parent: str | None = None
        self._teller = ""
        self._closed = False
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Start afresh in a forked child, under a name of its own."""
        self._parent = self._teller or None
        self._teller = secrets.token_hex(8)
        self._pid = os.getpid()
        self._lock = threading.RLock()  # a signal's handler may make a call in the middle of it
        self._running = threading.Lock()
        self._since = 0
        self._unsent = {}
        self._timer: Timer | None = None
        self.is_awake = False
        self.is_called = False  # by whoever makes a call, which costs it no more than this
        self._idle = self._failures = 0
        self._not_before = 0.0

    def speak_of(self, subjects: Sequence[Subject]) -> None:
        """Tell and hear of these."""
        self._subjects = {subject.kind: subject for subject in subjects}

    def look(self) -> None:
        """Hear of the others once, here and now: before the first call of a client."""
        with self._running:
            try:
                self._exchange([])
            except Exception as error:
                _log.debug("what is known of models could not be read: %s", _said(error))

    def meet(self, target: Target) -> None:
        """Take in that a model is called here, and what others have told of it."""
        if not getattr(target.adapter, "is_shared", False) or len(self._targets) >= _MOST_TARGETS:
            return
        self._targets[target.name] = target
        if self.is_awake:
            self._schedule(0.0)
        key = _key(target)
        for notice in [one for one in list(self._known.values()) if one.name == key and one.until > clock.time()]:
            self._tell_of(target, notice)

    def wake(self) -> None:
        """Begin to tell and hear, at once: calls are made again, or there is what cannot wait. Does not wait itself."""
        self.is_awake, self._idle = True, 0
        if self._targets:
            self._schedule(0.0)

    def hurrying(self) -> Callable[[], None]:
        """Give what calls `wake`, and keeps nobody alive that was dropped."""
        weakly = weakref.WeakMethod(self.wake)

        def hurry() -> None:
            alive = weakly()
            if alive is not None:
                alive()

        return hurry

    def close(self) -> None:
        """Tell what is left, once, and no more from then on: the ledger may be closed next."""
        if self.is_awake and not self._failures:
            self.run()
        with self._running:
            self._closed = True
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()

    def _schedule(self, seconds: float) -> None:
        at = max(self._not_before, clock.now() + seconds)
        with self._lock:
            timer = self._timer
            if self._closed or (timer is not None and timer.at <= at):
                return
            if timer is not None:
                timer.stop()
            self._timer = Timer(at, _later(self))
            if not self._timer.start():
                self._timer = None

    def run(self) -> None:
        """Tell and hear, here and now; and again in a second, unless nobody has made a call for long."""
        with self._running:
            if self._closed:
                return
            if self._pid != os.getpid():  # forked behind Python's back
                return
            with self._lock:
                timer, self._timer = self._timer, None
            if timer is not None:
                timer.stop()
            called, self.is_called = self.is_called, False
            try:
                self._exchange(self._news())
                self._failures = 0
            except Exception as error:  # each process goes on by what it finds out itself
                self._failures += 1
                _log.debug("what is known of models could not be shared: %s", _said(error))
            pause = SECONDS * 2.0 ** min(self._failures, 10)
            self._not_before = clock.now() + (min(_LONGEST_PAUSE, pause) if self._failures else _SHORTEST_PAUSE)
            self._idle = 0 if called else self._idle + 1
        if not self.is_awake:
            return
        if self._idle >= _IDLE_RUNS and not self._unsent:
            self.is_awake = False
            if not self.is_called:  # else a call came that took it for awake
                return
            self.is_awake, self._idle = True, 0
        self._schedule(SECONDS)

    def _news(self) -> list[Notice]:
        """Give what there is to tell, with what could not be told before."""
        at = clock.time()
        parent, self._parent = self._parent, None
        for subject in self._subjects.values():
            if parent is not None:
                subject.part_from(parent)
            for news in subject.news():
                target = self._targets.get(news.name)
                key = None if target is None else _key(target)
                if key is not None:
                    notice = Notice(self._teller, subject.kind, key, at, news.until, write(news.facts))
                    self._unsent[subject.kind, key] = notice
        return [one for one in self._unsent.values() if one.until > at]

    def _exchange(self, told: list[Notice]) -> None:
        at = clock.time()
        heard, self._since = self._board.exchange(
            told, teller=self._teller, since=self._since, at=at, patience=_PATIENCE
        )
        self._unsent.clear()
        if not heard:
            return
        of: dict[str, list[Target]] = {}
        for target in list(self._targets.values()):
            key = _key(target)
            if key is not None:
                of.setdefault(key, []).append(target)
        for notice in heard:
            self._keep(notice, at)
            for target in of.get(notice.name, ()):
                self._tell_of(target, notice)

    def _keep(self, notice: Notice, at: float) -> None:
        """Remember a notice for models that are called later."""
        self._known.pop((notice.teller, notice.kind, notice.name), None)
        if len(self._known) >= MOST_NOTICES:
            self._known = {name: one for name, one in self._known.items() if one.until > at}
            while len(self._known) >= MOST_NOTICES:
                del self._known[next(iter(self._known))]
        self._known[notice.teller, notice.kind, notice.name] = notice

    def _tell_of(self, target: Target, notice: Notice) -> None:
        subject = self._subjects.get(notice.kind)
        if subject is None:
            return
        try:
            subject.hear(target, notice.teller, read(notice.facts))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            _log.debug("a notice of another process makes no sense: %s", type(error).__name__)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, LedgerError) else type(error).__name__


def _later(sharing: Sharing) -> Callable[[], None]:
    """Give what hands a sharing on to the writer, and keeps nobody alive that was dropped."""
    weakly = weakref.ref(sharing)

    def run() -> None:
        alive = weakly()
        if alive is not None:
            alive.run()

    return lambda: writer.disk.take(run)


def _key(target: Target) -> str | None:
    """Give the print of a server, a key and a model; None where the key cannot be had now."""
    try:
        fingerprint = str(target.adapter.fingerprint)  # type: ignore[attr-defined]
    except Exception as error:  # a credential may be anybody's function
        _log.debug("what is known of %s is not shared: %s", target.name, type(error).__name__)
        return None
    return hashlib.blake2b(repr((fingerprint, target.model)).encode(), digest_size=16).hexdigest()
