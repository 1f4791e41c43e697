"""An event loop whose time passes by itself as soon as nobody has anything to do, and the library's clock with it."""

from __future__ import annotations

import asyncio
import selectors

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


def run_in_virtual_time(monkeypatch, body):
    """Run a coroutine function on a loop whose time is its own; give its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        monkeypatch.setattr(clock, "now", loop.time)
        return runner.run(body())
