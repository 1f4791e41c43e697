"""A provider on the loopback that keeps its own invoice, and what its callers ask: both know a prompt's reply.

What a prompt comes to is a function of its text alone, so that what all of them would cost is known beforehand.
"""

from __future__ import annotations

import threading
import zlib
from collections import Counter

from chat_wire import completion, delta
from wire import CLOSE, HANG_SECONDS, UNTIL_CLOSED, event, reply, sse

INPUT_NANOS, OUTPUT_NANOS = 1_000, 10_000  # a token: $1 and $10 a million
INPUT_TOKENS, MOST_OUTPUT = 20, 400


def number_of(prompt):
    return zlib.crc32(prompt.encode())


def wanted(prompt):
    """How many tokens the reply to a prompt has, unless its caller allows fewer.

    A prompt that begins with "leave" or "break" is answered by a stream that has no end, a word for each token: its
    caller leaves it, or the connection is closed. All others begin with "all".
    """
    return 100 + number_of(prompt) % (MOST_OUTPUT - 99) if prompt.startswith("all") else 1 + number_of(prompt) % 8


def cost(output):
    return INPUT_TOKENS * INPUT_NANOS + output * OUTPUT_NANOS


class Billing:
    """A `Wire`'s script. A call is billed before it is answered.

    Where it is `unreliable`, one prompt in 16 is refused with a 500 at first, which is not billed. The first `together`
    requests are answered when all of them are there.
    """

    def __init__(self, *, unreliable=False, together=0):
        self.unreliable = unreliable
        self.billed = []
        self._callers = Counter()
        self.refused = set()
        self._noted = threading.Condition()
        self._awaited = together
        self._all_there = threading.Event()

    @property
    def invoice(self):
        """In nano-dollars."""
        return sum(self.billed)

    def wait_until_billed(self, caller, times):
        """Wait until a caller, whom its prompts name, has been billed so many times."""
        with self._noted:
            assert self._noted.wait_for(lambda: self._callers[caller] >= times, HANG_SECONDS), "nobody calls"

    def __call__(self, request):
        asked = request.json
        prompt = asked["messages"][-1]["content"]
        with self._noted:
            self._awaited -= 1
            if self._awaited <= 0:
                self._all_there.set()
            refuses = self.unreliable and number_of(prompt) % 16 == 0 and prompt not in self.refused
            if refuses:
                self.refused.add(prompt)
            else:
                output = min(wanted(prompt), asked["max_tokens"])
                self.billed.append(cost(output))
                self._callers[prompt.split()[1]] += 1
                self._noted.notify_all()
        yield self._all_there
        if refuses:
            yield reply({"error": {"message": "down"}}, 500)
        elif not asked.get("stream"):
            yield reply(completion() | {"usage": _usage(output)})
        elif prompt.startswith("all"):
            end = {"choices": [], "usage": _usage(output)}
            yield from sse([event(delta("Yes")), event(delta(finish="stop")), event(end), event("[DONE]")])
        else:
            ending = UNTIL_CLOSED if prompt.startswith("leave") else CLOSE
            yield from sse([*(event(delta("word ")) for _ in range(output)), ending])


def _usage(output):
    return {"prompt_tokens": INPUT_TOKENS, "completion_tokens": output, "total_tokens": INPUT_TOKENS + output}
