"""A cascade whose judge is simulated: it finds poor replies, and doubts good ones, as often as a scenario says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.routing import Cascade, Cheapest
from inferkit.routing.chance import chance

if TYPE_CHECKING:
    from inferkit.core.reply import Reply
    from inferkit.core.request import Request

__all__ = ["judged"]


def judged(*, finds: float = 1.0, doubts: float = 0.0, order: Any = None, keep: bool = False) -> Cascade:
    """Make a cascade, by default of the cheapest first: a small model, and a larger one where its reply is doubtful.

    The judge finds the share `finds` of the replies that are poor, and doubts the share `doubts` of those that are
    good. So of a model that is `good` in a share of calls, finds * (1 - good) + doubts * good are doubtful. Raises
    `ConfigurationError` for what is no share.
    """
    if not (0 <= finds <= 1 and 0 <= doubts <= 1):
        raise ConfigurationError("finds and doubts are shares, from 0 to 1: of poor replies, and of good ones")

    def judge(request: Request, reply: Reply) -> bool:
        drawn = chance(request, f"judge {reply.provider}:{reply.model}")
        return drawn >= (doubts if reply.text == "good" else finds)

    return Cascade(judge, policy=Cheapest(explore=0.0) if order is None else order, keep=keep)
