"""What a Gemini server refused and can do without, told from the words of its refusal: which models think how."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from inferkit.providers.wires.gemini.thinking import NEXT, level_of

if TYPE_CHECKING:
    from inferkit.core.request import Request
    from inferkit.providers.wires.gemini.quirks import GeminiQuirks

__all__ = ["lighter"]

_REFUSED = 400
_LEVEL = re.compile(rb"thinking[ _]?level", re.IGNORECASE)
_NO_LEVELS = re.compile(rb"thinking[ _]?level is not supported", re.IGNORECASE)
_MOST_LEARNED = 256


def lighter(request: Request, quirks: GeminiQuirks, status: int, body: bytes) -> GeminiQuirks | None:
    """Give the quirks of a server that is told otherwise how long to think; None where `body` is not about that."""
    effort, model = request.reasoning_effort, request.model
    if status != _REFUSED or effort is None or model in quirks.budgeted or not _LEVEL.search(body):
        return None
    if len(quirks.budgeted) + len(quirks.refused) >= _MOST_LEARNED:
        return None
    level = level_of(model, effort, quirks)
    if level in NEXT and not _NO_LEVELS.search(body):
        return replace(quirks, refused=quirks.refused | {(model, level)})
    return replace(quirks, budgeted=quirks.budgeted | {model})
