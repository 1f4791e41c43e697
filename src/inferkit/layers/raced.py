"""What the attempts of one race have in common: that none of them is sent any more once it is decided.

A thread cannot be cancelled, and one may wait for its turn for long: by then its call may be settled, and nobody would
pay for it.
"""

from __future__ import annotations

from typing import Any

from inferkit.core.request import Key

__all__ = ["RACE", "Race", "TooLateError"]


class Race:
    """A race: `is_over` says whether it is decided, `hedge` is the `Sending` of the second attempt if there is one."""

    __slots__ = ("hedge", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        self.hedge: Any = None


RACE: Key[Race] = Key("race")


class TooLateError(Exception):
    """An attempt was about to be sent after its race; nobody hears of it."""
