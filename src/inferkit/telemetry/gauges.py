"""How models stand, measured whenever somebody collects: circuits, retries that are left, limits and who waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry.metrics import Observation, get_meter

from inferkit.runtime.forks import renew_after_fork
from inferkit.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opentelemetry.metrics import CallbackOptions, MeterProvider

    from inferkit.resilience.health import ModelHealth

__all__ = ["Watchable", "watch"]


class Watchable(Protocol):
    """What knows how models stand."""

    def health(self) -> Mapping[str, ModelHealth]:
        """Say it, by `provider:model`."""


_STATES = {"closed": 0, "half_open": 1, "open": 2}


def _circuit(stands: ModelHealth) -> Iterator[Observation]:
    yield Observation(_STATES[stands.circuit], {names.TARGET: stands.name})


def _retries(stands: ModelHealth) -> Iterator[Observation]:
    if stands.retries_left is not None:
        yield Observation(stands.retries_left, {names.TARGET: stands.name})


def _waiting(stands: ModelHealth) -> Iterator[Observation]:
    yield Observation(stands.waiting, {names.TARGET: stands.name})


def _running(stands: ModelHealth) -> Iterator[Observation]:
    if stands.concurrent is not None:
        yield Observation(stands.running, {names.TARGET: stands.name})


def _left(stands: ModelHealth) -> Iterator[Observation]:
    for unit, left in stands.left.items():
        yield Observation(left, {names.TARGET: stands.name, names.UNIT: unit})


_GAUGES: tuple[tuple[str, str, str, Callable[[ModelHealth], Iterator[Observation]]], ...] = (
    (names.CIRCUIT_STATE, "1", "Circuit of a model: 0 closed, 1 half open, 2 open", _circuit),
    (names.RETRIES_LEFT, "{retry}", "Retries left in the budget of a model that fails", _retries),
    (names.LIMIT_WAITING, "{request}", "Requests that wait for a limit", _waiting),
    (names.LIMIT_RUNNING, "{request}", "Requests that run, where their number is limited", _running),
    (names.LIMIT_LEFT, "1", "What a provider has left of its limits, by unit", _left),
)


class _Watched:
    """Whom the gauges of each provider measure."""

    def __init__(self) -> None:
        self._by_provider: WeakKeyDictionary[object, WeakSet[Watchable]] = WeakKeyDictionary()
        self._lock = threading.Lock()
        renew_after_fork(self)

    def add(self, standing: Watchable, provider: object) -> WeakSet[Watchable] | None:
        """Add one; give all of its provider where it is the first."""
        with self._lock:
            known = self._by_provider.get(provider)
            if known is None:
                first = self._by_provider[provider] = WeakSet([standing])
                return first
            known.add(standing)
            return None

    def renew(self) -> None:
        """Start with a fresh lock in a fork: another thread of the parent may have held it."""
        self._lock = threading.Lock()


_watched = _Watched()


class _Default:
    """Stands for the global provider, whichever it will be."""


_default = _Default()


def watch(standing: Watchable, provider: MeterProvider | None) -> None:
    """Have this measured too, as long as it is there. A provider has one gauge of a name, whoever asks for it first."""
    watched = _watched.add(standing, provider or _default)
    if watched is None:
        return
    meter = get_meter(names.SCOPE, meter_provider=provider, schema_url=names.SCHEMA_URL)
    for name, unit, description, tell in _GAUGES:
        meter.create_observable_gauge(name, [_observer(watched, tell)], unit=unit, description=description)


def _observer(
    watched: WeakSet[Watchable], tell: Callable[[ModelHealth], Iterator[Observation]]
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [each for one in list(watched) for stands in one.health().values() for each in tell(stands)]

    return observe
