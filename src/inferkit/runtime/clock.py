"""The process's two clocks and its sleep: the one place that asks the machine for the time.

Within a call the runtime gives the time. What lives outside of calls (a budget that is asked for its usage, a tier that
rests) asks here, by `clock.time()`, so that a test or a simulation which replaces these owns that time, too.
"""

from __future__ import annotations

import time as _machine

__all__ = ["now", "sleep", "time"]

now = _machine.monotonic
"""Seconds on a clock that never goes back; deadlines are instants of it."""

time = _machine.time
"""Seconds since the epoch."""

sleep = _machine.sleep
"""Block this thread for some seconds."""
