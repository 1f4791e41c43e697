"""What is to be done when a stream is over: part by part, from the inside out, each of them once, wherever that may be.

An ending that was begun is finished: on the stream's event loop, or where that goes away first, by the writer's thread,
which goes on where it was left off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.body import End

if TYPE_CHECKING:
    from inferkit.core.attempt import Outcome
    from inferkit.core.body import OnClose
    from inferkit.runtime.protocol import Runtime

__all__ = ["Ending"]


class Ending:
    """Closes the bodies and calls the hooks among `parts`, of which the last comes first.

    `runtime` is the stream's own. Dropped before everything was done, it has the rest done elsewhere.
    """

    __slots__ = ("__weakref__", "_error", "_generation", "_outcome", "_parts", "_runtime")

    def __init__(
        self,
        runtime: Runtime,
        outcome: Outcome,
        error: BaseException | None,
        parts: list[tuple[Any, OnClose | None]],
    ) -> None:
        self._runtime = runtime
        self._outcome = outcome
        self._error = error
        self._generation = runtime.endings.generation
        self._parts = parts

    async def run(self, runtime: Runtime) -> None:
        """Do what is left, on the stream's own runtime or on that of the endings.

        Every part gets its turn; the first failure is raised when all had it.
        """
        failure: BaseException | None = None
        elsewhere = runtime is self._runtime.endings.runtime
        end = End(self._outcome, self._error, runtime if elsewhere else self._runtime)
        while self._parts:
            body, hook = self._parts.pop()
            try:
                if hook is not None:
                    waiting = hook(end)
                elif elsewhere:
                    self._runtime.call_later_from_anywhere(body.aclose)
                    waiting = None
                else:
                    waiting = _close(body)
                if waiting is None:
                    continue
                if elsewhere:
                    runtime.endings.finish(waiting)  # so that one that waits for its event loop fails alone
                else:
                    await waiting
            except GeneratorExit:  # this coroutine is being taken down, and can wait for nothing more
                raise
            except BaseException as caught:
                failure = failure or caught
        if failure is not None:
            try:
                raise failure
            finally:
                failure = None  # its traceback holds this frame: a cycle that would keep the stream alive

    def abandon(self) -> None:
        """Do what is left here and now, in any thread."""
        endings = self._runtime.endings
        endings.finish(self.run(endings.runtime))

    def __del__(self) -> None:
        if getattr(self, "_parts", None) and self._generation == self._runtime.endings.generation:
            self._runtime.endings.take(self.abandon)


async def _close(body: Any) -> None:
    try:
        await body.aclose()
    except RuntimeError as error:
        # an async generator that is being read cannot be closed; its source was, so its read fails and ends it
        if "already running" not in str(error):
            raise
