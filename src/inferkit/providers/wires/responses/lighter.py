"""What a Responses server refused and can do without, told from the words of its refusal."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from inferkit.providers.wires.responses.request import asks_for_sealed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.core.request import Request
    from inferkit.providers.wires.responses.quirks import ResponsesQuirks

__all__ = ["lighter"]

_STATUSES = {400, 422}
_SEALED = re.compile(rb"encrypted content is not supported|reasoning\.encrypted_content", re.IGNORECASE)
_MOST_LEARNED = 256


def lighter(request: Request, quirks: ResponsesQuirks, status: int, body: bytes) -> ResponsesQuirks | None:
    """Give the quirks of a server that is not sent what `body` names as refused; None where it names nothing such."""
    if status not in _STATUSES:
        return None
    includes = asks_for_sealed(request, quirks) and "include" not in request.extra
    if includes and _SEALED.search(body):
        full = len(quirks.unsealed) >= _MOST_LEARNED
        return None if full else replace(quirks, unsealed=quirks.unsealed | {request.model})
    refused = frozenset(name for name in _sent(request, includes=includes) if _names(body, name)) - quirks.without
    return replace(quirks, without=quirks.without | refused) if refused else None


def _sent(request: Request, *, includes: bool) -> Iterator[str]:
    """Name what was sent and can be left out."""
    if "store" not in request.extra:
        yield "store"
    if includes:
        yield "include"
    for name in ("prompt_cache_key", "prompt_cache_retention"):
        if getattr(request, name) is not None and name not in request.extra:
            yield name


def _names(body: bytes, field: str) -> bool:
    """Say whether a refusal names a field, in quotes: some are words of every day."""
    return re.search(rb"[\"'`]" + field.encode() + rb"\\?[\"'`]", body) is not None
