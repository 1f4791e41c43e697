"""Measures a cascade on messages that training never saw: the embedded model, and a larger one where it is unsure.

    cd tools && python -m triage_model.cascade --accuracy 0.97

The larger model is a script behind a real HTTP server on the loopback: it knows the labels of the data, and gives the
right ones with the stated accuracy, at a stated price. The threshold is calibrated on one half of the messages and
measured on the other, and the other way round, so that no message is judged by a threshold which it helped to choose.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast

from inferkit import Client, ConfigurationError, LocalCost, OpenAIChat, Price, Reply, Request
from inferkit.routing import Cascade, calibrate, confidence

from .handwritten import load, split
from .labels import CATEGORIES, Ticket
from .places import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inferkit.routing.cascade import Judge

PRICE = Price("0.25", "2.00")
"""Of the larger model, in dollars per million tokens: that of a small model of a large provider in 2026."""
COST = LocalCost(watts=45, price_per_kwh="0.30", hardware_per_hour="0.05")
RULES_TOKENS = 350
"""What a larger model has to be told about labels and form with each message."""
ANSWER_TOKENS = 45
LONGEST = 110


def messages() -> list[Ticket]:
    """Give the held-out messages and those that were set aside from training, without doubles."""
    found = [*load(DATA / "heldout.jsonl"), *split()[1]]
    return list({one.message: one for one in found}.values())


def chance(message: str) -> float:
    """Give a number from 0 to below 1 that a message always has, and no other thing decides."""
    return int.from_bytes(hashlib.blake2b(message.encode(), digest_size=8).digest(), "big") / 2**64


def answer_of_larger(one: Ticket, accuracy: float) -> dict[str, Any]:
    """Give the labels of a message, or with the rest of the chance another category than its own."""
    category = one.category
    if chance(one.message) >= accuracy:
        others = [name for name in CATEGORIES if name != category]
        category = others[int(chance(one.message + "?") * len(others))]
    return {"category": category, "priority": one.priority, "order_id": one.order_id, "reply": "We will look into it."}


@contextlib.contextmanager
def larger_model(rows: Sequence[Ticket], accuracy: float) -> Iterator[str]:
    """Run the larger model's server while the block runs; give its URL."""
    labels = {one.message: one for one in rows}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            question = asked["messages"][-1]["content"]
            text = json.dumps(answer_of_larger(labels[question], accuracy))
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            prompt = RULES_TOKENS + math.ceil(len(question) / 4)
            usage = {"prompt_tokens": prompt, "completion_tokens": ANSWER_TOKENS}
            body = json.dumps({"id": "1", "model": "scripted", "choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one message: whether each got its category right, what that cost in nano-dollars.

    `worth` is how sure the small one was.
    """

    small: bool
    worth: float
    larger: bool
    cascade: bool
    escalated: bool
    small_nanos: int
    larger_nanos: int
    cascade_nanos: int


@dataclass(frozen=True, slots=True)
class Paired:
    """The difference between two shares of right answers to the same questions, and where it lies with 95 %.

    By Agresti and Min, "Simple improved confidence intervals for comparing matched proportions", 2005: half an
    answer is added to each of the four kinds of pairs.
    """

    difference: float
    low: float
    high: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[bool, bool]]) -> Paired:
        """Compare the first of each pair with the second."""
        gained = sum(one and not other for one, other in pairs)
        lost = sum(other and not one for one, other in pairs)
        size = len(pairs) + 2
        middle = (gained - lost) / size
        spread = 1.96 * math.sqrt((gained + lost + 1) - (gained - lost) ** 2 / size) / size
        return cls((gained - lost) / len(pairs), middle - spread, middle + spread)

    def __str__(self) -> str:
        """Write it in percentage points."""
        return f"{100 * self.difference:+.1f} points ({100 * self.low:+.1f} to {100 * self.high:+.1f})"


def auc(pairs: Sequence[tuple[float, bool]]) -> float:
    """Give how often a right reply is worth more than a wrong one, of all pairs of one of each."""
    right = [worth for worth, good in pairs if good]
    wrong = [worth for worth, good in pairs if not good]
    wins = sum((one > other) + 0.5 * (one == other) for one in right for other in wrong)
    return wins / (len(right) * len(wrong)) if right and wrong else math.nan


def category_of(text: str) -> str | None:
    """Read the category out of an answer; None where it is no JSON."""
    try:
        found: Any = json.loads(text)
    except ValueError:
        return None
    return found.get("category") if isinstance(found, dict) else None


def sure_of_category(_: Request, reply: Reply) -> float | None:
    """Judge a reply by the probability of its category: how sure the model is of its wording says little of that."""
    text, total = "", 0.0
    for one in reply.logprobs:
        text, total = text + one.token, total + one.logprob
        if '"priority"' in text:
            return math.exp(total)
    return None


sure_of_category.asks_for = {"logprobs": True}  # type: ignore[attr-defined]  # what a request needs for it
JUDGES: dict[str, Judge] = {"category": sure_of_category, "confidence": confidence}


def measure(rows: Sequence[Ticket], *, accuracy: float, wrong: float, judge: Judge = sure_of_category) -> list[Asked]:
    """Ask both models and the cascade each message."""
    with larger_model(rows, accuracy) as url, contextlib.ExitStack() as clients:

        def client(**settings: Any) -> Client:
            larger = OpenAIChat(base_url=url, api_key="none", name="larger")
            given: dict[str, Any] = {
                "models": {"auto": ["local", "larger:m"]},
                "prices": {"local:*": COST, "larger:m": PRICE},
            }
            return clients.enter_context(
                Client(providers={"larger": larger}, cache=False, ledger=False, **given, **settings)
            )

        plain = client()
        small = [plain.complete("local", one.message, logprobs=True, max_output_tokens=LONGEST) for one in rows]
        alone = [plain.complete("larger:m", one.message, max_output_tokens=LONGEST) for one in rows]
        rights = [category_of(reply.text) == one.category for reply, one in zip(small, rows, strict=True)]
        worths = [worth_of(judge, reply) for reply in small]
        cascades = []
        for half in (0, 1):
            labelled = list(zip(worths, rights, strict=True))[1 - half :: 2]
            threshold = threshold_for(labelled, wrong)
            print(f"threshold from the other half: {threshold:.4f}")
            cascades.append(client(routes={"auto": Cascade(judge, threshold=threshold)}))
        found = []
        for place, one in enumerate(rows):
            reply = cascades[place % 2].complete("auto", one.message, max_output_tokens=LONGEST)
            found.append(
                Asked(
                    rights[place],
                    worths[place],
                    category_of(alone[place].text) == one.category,
                    category_of(reply.text) == one.category,
                    reply.provider == "larger",
                    small[place].cost_nanos or 0,
                    alone[place].cost_nanos or 0,
                    reply.cost_nanos or 0,
                )
            )
    return found


def worth_of(judge: Judge, reply: Reply) -> float:
    """Give what a reply is worth to a judge that looks at nothing else; 0 where nothing can be said."""
    found: Any = judge(cast("Request", None), reply)
    return 0.0 if found is None else float(found)


def threshold_for(labelled: Sequence[tuple[float, bool]], wrong: float) -> float:
    """Calibrate; above 1, which nothing is worth, where nothing can be promised."""
    try:
        return calibrate(labelled, wrong=wrong).threshold
    except ConfigurationError:
        return 1.01


def report(found: Sequence[Asked]) -> str:
    """Say what was measured."""
    paid, alone = sum(one.cascade_nanos for one in found), sum(one.larger_nanos for one in found)
    small = sum(one.small_nanos for one in found)
    facts = {
        "messages": str(len(found)),
        "right category, embedded model": _share([one.small for one in found]),
        "right category, larger model": _share([one.larger for one in found]),
        "right category, cascade": _share([one.cascade for one in found]),
        "cascade less larger, paired": str(Paired.of([(one.cascade, one.larger) for one in found])),
        "answered by the embedded model": _share([not one.escalated for one in found]),
        "saved of the larger model's cost": f"{100 * (1 - paid / alone):.1f} %",
        "cost of a call, embedded / larger": f"${small / len(found) / 1e9:.8f} / ${alone / len(found) / 1e9:.8f}",
        "AUC of the judge": f"{auc([(one.worth, one.small) for one in found]):.3f}",
    }
    return "\n".join(f"{what:<40}{value}" for what, value in facts.items())


def _share(answers: Sequence[bool]) -> str:
    return f"{100 * sum(answers) / len(answers):.1f} %"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--accuracy", type=float, default=0.97, help="share that the larger model gets right")
    parser.add_argument("--wrong", type=float, default=0.05, help="share of accepted replies that may be wrong")
    parser.add_argument("--judge", choices=JUDGES, default="category", help="what the small model's reply goes by")
    parser.add_argument("--most", type=int, help="only the first so many messages")
    options = parser.parse_args()
    found = measure(
        messages()[: options.most], accuracy=options.accuracy, wrong=options.wrong, judge=JUDGES[options.judge]
    )
    print(report(found))


if __name__ == "__main__":
    main()
