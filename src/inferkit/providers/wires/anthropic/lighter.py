"""What an Anthropic server refused and can do without, told from the words of its refusal.

Its models differ in how long their replies may be, and in whether they decide by themselves how long they think.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from inferkit.providers.wires.anthropic.request import limit_of

if TYPE_CHECKING:
    from inferkit.core.request import Request
    from inferkit.providers.wires.anthropic.quirks import AnthropicQuirks

__all__ = ["lighter"]

_REFUSED = 400
_LIMIT = re.compile(rb"max_tokens: (\d{1,9}) > (\d{1,9})")
_ADAPTIVE = re.compile(rb"adaptive|(?<![A-Za-z_])effort(?![A-Za-z_])")
_MOST_LEARNED = 256


def lighter(request: Request, quirks: AnthropicQuirks, status: int, body: bytes) -> AnthropicQuirks | None:
    """Give the quirks of a server that is asked for what `body` says it takes; None where it says nothing such."""
    if status != _REFUSED:
        return None
    too_many = _LIMIT.search(body)
    if too_many is not None:
        most = int(too_many[2])
        known = len(quirks.limits) >= _MOST_LEARNED or most < 1 or most >= limit_of(request, quirks)
        return None if known else replace(quirks, limits={**quirks.limits, request.model: most})
    if request.reasoning_effort is None or request.model in quirks.budgeted or len(quirks.budgeted) >= _MOST_LEARNED:
        return None
    if "thinking" in request.extra or not _ADAPTIVE.search(body):
        return None
    return replace(quirks, budgeted=quirks.budgeted | {request.model})
