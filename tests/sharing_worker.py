"""A process that shares a ledger: `python sharing_worker.py LEDGER NAME=URL ...`, told by its input what to do.

Each line is a JSON list. It answers each with one line: what became of it.

["call", MODEL, TIMEOUT]   make a call: who answered, or the error's name
["health"]                 how each model stands
["chosen"]                 who would be asked first by "any", as measured
"""

from __future__ import annotations

import dataclasses
import json
import sys

from inferkit import BreakerRules, Client, Health, InferkitError, OpenAIChat
from inferkit.routing import Fastest

RULES = BreakerRules(failures=3, cooldown=60.0)


def client(ledger, servers):
    return Client(
        providers={name: OpenAIChat(base_url=url, api_key="k", name=name) for name, url in servers.items()},
        models={"any": ["slow:m", "quick:m"], "others": ["down:m", "limited:m"]},
        routes={"any": Fastest(explore=0)},
        health=Health(breaker=RULES, retries=None),
        ledger=ledger,
        cache=False,
        max_retries=0,
    )


def do(llm, command, *arguments):
    if command == "call":
        model, timeout = arguments
        try:
            return llm.complete(model, "Where is my order?", max_output_tokens=50, timeout=timeout).provider
        except InferkitError as error:
            return type(error).__name__
    if command == "health":
        return {name: dataclasses.asdict(stands) for name, stands in llm.health().items()}
    assert command == "chosen"
    return llm.explain("any", "Where is my order?").chosen


def answer(llm, command):
    print(json.dumps(do(llm, *command)), flush=True)


if __name__ == "__main__":
    ledger, *servers = sys.argv[1:]
    with client(ledger, dict(each.split("=", 1) for each in servers)) as llm:
        print("ready", flush=True)
        for line in sys.stdin:
            answer(llm, json.loads(line))
