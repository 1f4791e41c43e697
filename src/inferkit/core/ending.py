"""What is to be done when a stream is over: part by part, from the inside out, each of them once, wherever that may be.

An ending that was begun is finished: on the stream's event loop, or where that goes away first, by the writer's thread,
which goes on where it was left off.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, final

from inferkit.core.body import End, OnClose

if TYPE_CHECKING:
    from inferkit.core.attempt import Outcome
    from inferkit.runtime.protocol import Runtime

__all__ = ["Ending", "Open", "Part", "Told", "finish"]


@final
class Open(NamedTuple):
    """A body that is to be closed."""

    body: Any


@final
class Told(NamedTuple):
    """A hook that is told of another failure than the rest: what broke the stream, as it is known where it stands."""

    hook: OnClose
    error: BaseException


Part: TypeAlias = Open | Told | OnClose
"""Something to close, or to call."""


async def finish(parts: list[Part], end: End, place: Runtime) -> None:  # noqa: C901, PLR0912 - no step of its own a part
    """Do these parts, the last of them first, on the runtime that `end` names: the stream's `place`, or elsewhere.

    Every part gets its turn, also where an interrupt comes meanwhile; the first failure is raised when all had it. A
    hook in whose midst the interrupt comes gets another one if it `owes` something, and acts once by itself.
    """
    failure: BaseException | None = None
    elsewhere = end.runtime is not place
    part: Part | None = None
    while parts:
        try:
            while parts:
                part = parts[-1]
                if type(part) is Open:
                    del parts[-1]
                    if elsewhere:
                        place.call_later_from_anywhere(part.body.aclose)
                        continue
                    late = await _close(part.body)
                    if isinstance(late, list) and late:
                        end = replace(end, late=late)
                    continue
                if type(part) is Told:
                    how, hook = replace(end, error=part.error), part.hook
                else:
                    how, hook = end, part
                del parts[-1]  # at once before its turn, so that no interrupt comes between
                waiting = hook(how)
                if waiting is None:
                    continue
                if elsewhere:
                    end.runtime.endings.finish(waiting)  # so that one that waits for its event loop fails alone
                else:
                    await waiting
        except GeneratorExit:  # this coroutine is being taken down, and can wait for nothing more
            raise
        except BaseException as caught:
            failure = failure or caught
            if part is not None and not isinstance(caught, Exception) and _owes(part):
                parts.append(part)
    if failure is not None:
        try:
            raise failure
        finally:
            failure = None  # its traceback holds this frame: a cycle that would keep the stream alive


def _owes(part: Part) -> bool:
    return bool(getattr(part.hook if type(part) is Told else part, "owes", False))


class Ending:
    """The parts of a stream that ends where it may not come to the end: dropped early, it has the rest done elsewhere.

    `place` is the stream's own runtime.
    """

    __slots__ = ("__weakref__", "_error", "_generation", "_outcome", "_parts", "_place")

    def __init__(self, place: Runtime, outcome: Outcome, error: BaseException | None, parts: list[Part]) -> None:
        self._place = place
        self._outcome = outcome
        self._error = error
        self._generation = place.endings.generation
        self._parts = parts

    async def run(self, runtime: Runtime) -> None:
        """Do what is left, on the stream's own runtime or on that of the endings."""
        elsewhere = runtime is self._place.endings.runtime
        end = End(self._outcome, self._error, runtime if elsewhere else self._place)
        await finish(self._parts, end, self._place)

    def abandon(self) -> None:
        """Do what is left here and now, in any thread."""
        endings = self._place.endings
        endings.finish(self.run(endings.runtime))

    def __del__(self) -> None:
        if getattr(self, "_parts", None) and self._generation == self._place.endings.generation:
            self._place.endings.take(self.abandon)


async def _close(body: Any) -> Any:
    try:
        return await body.aclose()
    except RuntimeError as error:
        # an async generator that is being read cannot be closed; its source was, so its read fails and ends it
        if "already running" not in str(error):
            raise
