"""A shop whose application made some calls over a loopback server: what is in its ledger and its cache."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta

from chat_wire import completion, delta
from inferkit import Budget, Client, OpenAIChat, Plan, Price, StreamInterrupted, budget, budgeted
from wire import CLOSE, Wire, event, reply, sse

PROMPT, ANSWER = "Where is my parcel 48213?", "It is on its way."
INPUT, OUTPUT = 1000, 50
COST = INPUT * 1000 + OUTPUT * 10_000  # in nano-dollars, at the prices below
PRICES = {"openai:small": Price(input="1", output="10"), "openai:large": Price(input="2", output="20")}
MODELS = {"fast": "openai:small", "smart": "openai:large"}
EVERYTHING = Budget(usd="200", per="month", name="everything")
ROLLING = Budget(usd="1", per=timedelta(hours=1), name="rolling", each="user")
PLANS = [
    Plan("pro", price="99", allowance=Budget(usd="5")),
    Plan("team", price="20", per_seat=True, seats=2, allowance=Budget(usd="0.50", calls=100), pooled=True),
]


class Provider:
    """Answers each prompt alike; the first request of one that says "unreliable" is refused."""

    def __init__(self):
        self.refused = set()

    def __call__(self, request):
        asked = request.json
        prompt = json.dumps(asked["messages"])
        usage = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT}
        if "unreliable" in prompt and prompt not in self.refused:
            self.refused.add(prompt)
            yield reply({"error": {"message": "overloaded"}}, 503)
        elif asked.get("stream"):
            pieces = [*map(delta, ANSWER.split()), delta(finish="stop"), {**delta(), "choices": [], "usage": usage}]
            whole = [b"".join(map(event, pieces))]  # in one read: who leaves the stream has been told all of it
            yield from sse([event(delta(ANSWER)), CLOSE] if "break" in prompt else whole)
        else:
            yield reply(completion(ANSWER) | {"usage": usage})


def shop(wire, home, **settings):
    """The shop's client."""
    settings = {"budget": EVERYTHING, "plans": PLANS, "models": MODELS, "prices": PRICES} | settings
    return Client(home=home, providers={"openai": OpenAIChat(base_url=wire.url, api_key="sk-secret")}, **settings)


def open_for_business(home):
    """Make the calls of a day: two customers, a stream that is left, a retry, a hit of the cache."""
    with Wire(Provider()) as wire, shop(wire, home) as llm:

        @budgeted(usd="0.05", per="day", name="answers", key="user", warn_at="0.8")
        def answer(user, question, model="fast", **options):
            return llm.complete(model, question, user=user, max_output_tokens=100, feature="support", **options)

        llm.plans.assign("pro", user="ana", at=1_790_000_000)
        llm.plans.assign("team", tenant="acme", at=1_790_000_000)
        answer("ana", PROMPT)
        answer("ana", PROMPT)  # a hit
        answer("ana", f"{PROMPT} again", "smart")
        answer("ben", f"{PROMPT} unreliable", tenant="acme")
        with llm.stream("fast", PROMPT, user="cleo", tenant="acme", feature="chat", cache="bypass") as stream:
            next(iter(stream))
        with (
            contextlib.suppress(StreamInterrupted),
            llm.stream("fast", f"{PROMPT} break", user="cleo", tenant="acme") as stream,
        ):
            list(stream)
        llm.complete("fast", f"{PROMPT} rolling", user="ana", budget=ROLLING)
        with budget(usd="0.10"):
            llm.complete("fast", f"{PROMPT} block", user="ana")
