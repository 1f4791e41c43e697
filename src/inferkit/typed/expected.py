"""What one call expects of its reply, and what is found in it: by the layer that may ask again, and by the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import since_restart
from inferkit.core.errors import InvalidReply
from inferkit.core.request import Key
from inferkit.typed.problems import MisfitError, in_full, in_short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.core.chunks import Chunk
    from inferkit.typed.form import Form

__all__ = ["EXPECTED", "Expected"]

_CUT = {
    "length": "was cut at its limit before the {name} was whole; allow more with max_output_tokens=",
    "budget": "was cut by a budget before the {name} was whole",
    "refusal": "is a refusal, and no {name}",
    "content_filter": "was filtered, and is no valid {name}",
}


class Expected:
    """The form of one call's reply. `repair` is how often the model may be asked again, `found` the valid object."""

    __slots__ = ("_judged", "form", "found", "repair")

    def __init__(self, form: Form, repair: int) -> None:
        self.form = form
        self.repair = repair
        self.found: Any = None
        self._judged: tuple[str, str | None] | None = None

    def judge(self, chunks: Sequence[Chunk]) -> InvalidReply | None:
        """Say what is wrong with a reply that ended, if anything; else `found` is the object.

        A reply that asks for tools is no answer yet: nothing is wrong with it, and nothing found.
        """
        chunks = since_restart(chunks)
        text = "".join([chunk.text for chunk in chunks])
        reason = next((chunk.finish_reason for chunk in reversed(chunks) if chunk.finish_reason), None)
        if self._judged == (text, reason):
            return None
        self.found = self._judged = None
        if reason == "tool_calls" or any(chunk.tool_calls for chunk in chunks):
            return None
        name = self.form.name
        try:
            self.found = self.form.parse(text)
        except MisfitError as misfit:
            why = _CUT.get(reason or "")
            what = why.format(name=name) if why else f"is no valid {name}: {in_short(misfit.problems)}"
            return InvalidReply(
                f"the reply {what}; its text is in .partial, and what is wrong in .detail",
                partial=text,
                detail=in_full(misfit.problems),
                problems=tuple([(one.path, one.code) for one in misfit.problems]),
                finish_reason=reason,
            )
        self._judged = text, reason
        return None

    @staticmethod
    def can_be_repaired(error: InvalidReply) -> bool:
        """Say whether it may help to ask again: not where the reply was cut or refused."""
        return error.finish_reason not in _CUT


EXPECTED: Key[Expected] = Key("expected")
"""Where a request carries what its reply has to look like."""
