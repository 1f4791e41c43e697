"""Characters whose two halves come in two events, put together.

JSON writes a character beyond the basic plane as two escapes, and some servers cut between them. The first half waits
for the second one, in whichever text it stands; one that stays alone becomes U+FFFD.
"""

from __future__ import annotations

from typing import Any

from inferkit.providers.wires.payload import Malformed, mended

__all__ = ["Halves"]

_Place = tuple[Any, ...]
_LOST = "\ufffd"
_OF_CALL = 4  # tool_calls, index, function, arguments


class Halves:
    """What the texts of one reply's deltas wait for."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: dict[_Place, str] = {}

    def join(self, event: Any) -> Any:
        """Give an event with whole characters; the first half of one at the end of a text waits for the next event."""
        choices = event.get("choices") if isinstance(event, dict) else None
        try:
            if not isinstance(choices, list):
                return mended(event)
            joined = mended({name: value for name, value in event.items() if name != "choices"})
            joined["choices"] = [self._choice(choice) for choice in choices]
        except RecursionError:
            raise Malformed("it is nested too deeply") from None
        return joined

    def rest(self) -> dict[str, Any]:
        """Give what waits in vain as an event."""
        delta: dict[str, Any] = {}
        calls: dict[Any, dict[str, Any]] = {}
        for place in self.waiting:
            if len(place) == 1:
                delta[place[0]] = _LOST
            elif place[0] == "tool_calls" and len(place) == _OF_CALL:
                calls[place[1]] = {"index": place[1], place[2]: {place[3]: _LOST}}
        if calls:
            delta["tool_calls"] = list(calls.values())
        self.waiting = {}
        return {"choices": [{"index": 0, "delta": delta}]}

    def _choice(self, choice: Any) -> Any:
        if not isinstance(choice, dict):
            return mended(choice)
        return {name: self._walk(value, ()) if name == "delta" else mended(value) for name, value in choice.items()}

    def _walk(self, value: Any, place: _Place) -> Any:
        if type(value) is str:
            return self._text(value, place)
        if type(value) is dict:
            return {name: self._walk(item, (*place, name)) for name, item in value.items()}
        if type(value) is list:
            return [self._walk(item, (*place, _index(item, number))) for number, item in enumerate(value)]
        return value

    def _text(self, text: str, place: _Place) -> str:
        if text:
            text = self.waiting.pop(place, "") + text
            if "\ud800" <= text[-1] <= "\udbff":
                self.waiting[place], text = text[-1], text[:-1]
        return str(mended(text))


def _index(item: Any, number: int) -> Any:
    index = item.get("index") if isinstance(item, dict) else None
    return index if type(index) is int else number
