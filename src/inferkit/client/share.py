"""What a client shares with other processes on its ledger: how models stand, what limits leave, how fast they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from inferkit.layers.told_limits import ToldLimits
from inferkit.ledger.protocols import Noticeboard
from inferkit.resilience.sharing import Sharing, Subject
from inferkit.resilience.told_health import ToldHealth
from inferkit.routing.told_speed import ToldSpeed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferkit.core.request import Layer
    from inferkit.layers.limit import LimitLayer
    from inferkit.ledger.ledger import Ledger
    from inferkit.routing.combining import Routes

__all__ = ["open_sharing"]


def open_sharing(ledger: Ledger, layers: Iterable[Layer], routes: Routes) -> Sharing | None:
    """Make what a client shares with others. None where the store has no room for notices."""
    board: Any = ledger.accounts
    if not isinstance(board, Noticeboard):
        return None
    sharing = Sharing(board)
    hurry = sharing.hurrying()
    subjects: list[Subject] = [ToldSpeed(routes)]
    for layer in layers:
        health = getattr(layer, "health", None)
        if health is not None and hasattr(health, "told"):
            subjects.append(ToldHealth(health, hurry))
        if hasattr(layer, "limits_of"):
            limits = cast("LimitLayer", layer)
            limits.hurry = hurry
            subjects.append(ToldLimits(limits))
    sharing.speak_of(subjects)
    return sharing
