"""A process that makes calls under a budget: `python billed_worker.py URL LEDGER MODE ...`, told what to do.

spend USD KINDS NUMBER   with 16 threads, once a line came in, until the budget is spent; prints how many were answered
fork USD                 for each line that comes in, a fork that makes one call after the other until it is killed;
                         prints its process id
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading

from billing import MOST_OUTPUT, number_of, wanted
from inferkit import Budget, BudgetExceeded, Client, Health, OpenAIChat, Price, StreamInterrupted

THREADS, CALLS = 16, 28
LOOK_SECONDS = 0.02


def client(url, ledger, usd):
    return Client(
        providers={"wire": OpenAIChat(base_url=url)},
        models={"any": "wire:m"},
        prices={"wire:m": Price(input="1", output="10")},
        budget=budget(usd),
        ledger=ledger,
        cache=False,
        health=Health(breaker=None, retries=None),  # a provider that fails as often as this one would be left alone
    )


def budget(usd):
    return Budget(usd=usd, per="total", name="everybody")


def prompts(kinds, number, thread):
    """What one thread asks, in turn of each kind."""
    return [f"{kinds[turn % len(kinds)]} {number}-{thread}-{turn}" for turn in range(CALLS)]


def ask(llm, prompt):
    if prompt.startswith("all") and number_of(prompt) % 2:
        llm.complete(prompt, max_output_tokens=MOST_OUTPUT)
        return
    with llm.stream(prompt, max_output_tokens=MOST_OUTPUT) as stream:
        if prompt.startswith("leave"):
            for _ in range(wanted(prompt)):
                next(stream)
            return
        try:
            for _ in stream:
                pass
        except StreamInterrupted:
            assert prompt.startswith("break")


class Spenders:
    """Threads that give up only when they are refused although nobody held anything when they asked.

    Calls in flight hold more than most of them turn out to cost, so a refusal alone does not say that the budget is
    spent: what they give back pays for calls to come. Whoever gives up last leaves less than the smallest call costs.
    """

    def __init__(self, llm, usd):
        self.llm = llm
        self.budget = budget(usd)
        self.answered = 0
        self.ended = threading.Condition()

    def work(self, prompts):
        for prompt in prompts:
            while True:
                held = self.budget.usage(ledger=self.llm.ledger).held_calls
                try:
                    ask(self.llm, prompt)
                    break
                except BudgetExceeded:
                    if not held:
                        return
                with self.ended:
                    self.ended.wait(LOOK_SECONDS)  # calls of other processes end unseen
            with self.ended:
                self.answered += 1
                self.ended.notify_all()


def spend(llm, usd, kinds, number):
    spenders = Spenders(llm, usd)
    threads = [
        threading.Thread(target=spenders.work, args=(prompts(kinds.split("+"), number, thread),))
        for thread in range(THREADS)
    ]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    llm.close()
    print(spenders.answered)


def call_forever(llm):
    for turn in itertools.count():
        ask(llm, f"all {os.getpid()} {turn}")


def fork(url, ledger, usd):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with client(url, ledger, usd) as llm:
        ask(llm, "all first")  # and import everything, once for all
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            call_forever(client(url, ledger, usd))
        print(pid, flush=True)


if __name__ == "__main__":
    url, ledger, mode, usd, *rest = sys.argv[1:]
    if mode == "spend":
        spend(client(url, ledger, usd), usd, *rest)
    else:
        fork(url, ledger, usd)
