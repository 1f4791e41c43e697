"""How far a call walks: the package's own functions that it calls, and the files that they are in.

Counted in the thread that calls, with everything on: a budget, the cache, the ledger, a provider that answers at once.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import inferkit
from benchmarks.figures import Figure
from inferkit import Budget, Chunk, Client, Price, Response, Usage

if TYPE_CHECKING:
    from types import FrameType

    from inferkit import Request

__all__ = ["steps", "walk"]

_PACKAGE = str(Path(inferkit.__file__).parent)
_CHUNKS = (*(Chunk(text) for text in "abcd"), Chunk("e", finish_reason="stop", usage=Usage(10, 5)))


class _Body:
    """Gives five chunks, as five reads would bring them."""

    def __init__(self) -> None:
        self._left = list(_CHUNKS)

    async def __anext__(self) -> Any:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop(0)


async def _answer(request: Request) -> Response:
    return Response(_Body(), runtime=request.runtime)


def steps() -> Counter[tuple[str, str]]:
    """Count the calls of one `complete()` by file and function, when everything that is lazy has been done."""
    counts: Counter[tuple[str, str]] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_PACKAGE):
            counts[code.co_filename[len(_PACKAGE) + 1 :], code.co_qualname] += 1

    with (
        tempfile.TemporaryDirectory() as home,
        Client(
            models={"fast": "own:model"},
            providers={"own": _answer},
            prices={"own:model": Price(input="1", output="2")},
            budget=Budget(usd="1000", name="everything"),
            home=home,
        ) as llm,
    ):
        for number in range(3):
            llm.complete("fast", f"Question {number}?")
        sys.setprofile(note)
        try:
            llm.complete("fast", "And one more?")
        finally:
            sys.setprofile(None)
    return counts


def walk(*, quick: bool) -> list[Figure]:  # noqa: ARG001 - it is counted, so that once is enough
    """Count calls and files."""
    counts = steps()
    return [
        Figure("calls of the package's functions in complete(), five chunks", counts.total(), "calls", at_most=300),
        Figure("files that they are in", len({file for file, _ in counts}), "files", at_most=35),
    ]


if __name__ == "__main__":
    for (file, function), count in sorted(steps().items()):
        print(f"{count:4} {file} {function}")
