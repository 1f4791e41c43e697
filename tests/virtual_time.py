"""An event loop whose time passes by itself as soon as nobody has anything to do, and the library's clock with it."""

from __future__ import annotations

import asyncio
import selectors

from inferkit.providers.http import connection
from inferkit.runtime import clock


class _Skipping(selectors.DefaultSelector):
    """Does not wait for the next timer, but has the loop's time be that."""

    skip = None

    def select(self, timeout=None):
        ready = super().select(0)
        if ready or timeout is None or timeout <= 0:
            return ready if ready or timeout is not None else super().select(None)
        self.skip(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.at = 1000.0
        selector = _Skipping()
        selector.skip = self.pass_by
        super().__init__(selector)

    def pass_by(self, seconds):
        self.at += seconds

    def time(self):
        return self.at


class LoopTimer:
    """Stands for the timers of the process's own thread, which waits for the machine's clock."""

    def __init__(self, at, due):
        self.at = at
        self._due = due

    def start(self):
        self._timer = asyncio.get_running_loop().call_at(self.at, self._due)
        return True

    def stop(self):
        self._timer.cancel()
        return True


def run_in_virtual_time(monkeypatch, body):
    """Run a coroutine function on a loop whose time is its own; give its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        monkeypatch.setattr(clock, "now", loop.time)
        monkeypatch.setattr(connection, "Timer", LoopTimer)
        return runner.run(body())
