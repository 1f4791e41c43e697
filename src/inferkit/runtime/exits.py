"""The package's one exit hook: within five seconds, in one order, all that was begun is finished or left for later.

Streams that are open are ended (STREAMS), endings under way are waited for (ENDINGS), what waits to be written is
written (WRITES), and what could not be written is left where the next process finds it (LEAVING). Whoever waits for a
store that is locked gives up halfway, so that there is time left to leave it.

Threads cannot be started any more by then: what no thread does yet is done here.
"""

from __future__ import annotations

import atexit
import logging
import math
from typing import TYPE_CHECKING

from inferkit.runtime import clock, forks

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ENDINGS", "LEAVING", "STREAMS", "WRITES", "at_exit"]

STREAMS, ENDINGS, WRITES, LEAVING = range(4)
_SECONDS = (0.0, 3.5, 4.5, 5.0)  # after the exit began, at which a step of each kind is waited for no more
_PATIENCE = 2.5

_log = logging.getLogger("inferkit")
_steps: list[tuple[int, Callable[[float], object]]] = []
begun = False
"""Whether the exit has begun: what comes now is done at once."""
over = False
"""Whether all that the exit does is done."""
give_up_at = math.inf
"""The instant of `clock.now()` at which nobody waits for a locked store any longer."""


def at_exit(kind: int, step: Callable[[float], object]) -> None:
    """Have `step` called at the exit with the instant of `clock.now()` by which it is to be over."""
    _steps.append((kind, step))


@atexit.register
def _run() -> None:
    global begun, over, give_up_at  # noqa: PLW0603 - facts about this process
    started = clock.now()
    begun, give_up_at = True, started + _PATIENCE
    for kind, step in sorted(_steps, key=lambda each: each[0]):
        try:
            step(started + _SECONDS[kind])
        except Exception:
            _log.exception("something could not be finished at the exit")
    over = True


def _after_fork() -> None:
    global begun, over, give_up_at  # noqa: PLW0603 - see above
    begun = over = False
    give_up_at = math.inf


forks.in_child(_after_fork)
