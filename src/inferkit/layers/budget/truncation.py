"""How a reply ends that a budget has cut: with the finish reason "budget"."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferkit.core.body import Batch
    from inferkit.core.response import Response

__all__ = ["Truncated", "close_cut"]

_log = logging.getLogger("inferkit")


class Truncated:
    """Ends a stream after the chunk that the meter marked as its last."""

    __slots__ = ("_over", "_source")

    def __init__(self, source: Response) -> None:
        self._source = source
        self._over = False

    async def __anext__(self) -> Batch:
        """Give the next chunks, and none after the last."""
        if self._over:
            raise StopAsyncIteration
        batch = await self._source.next_batch()
        reasons = [chunk.finish_reason for chunk in batch]
        if "budget" not in reasons:
            return batch
        self._over = True
        await close_cut(self._source)
        return batch[: reasons.index("budget") + 1]


async def close_cut(source: Response) -> None:
    """Close a stream that was cut."""
    try:
        await source.aclose()
    except Exception as error:  # the reply is complete as far as it is paid for
        _log.debug("closing a stream that was cut failed: %s", type(error).__name__)
