"""Answers in the background with RQ, which forks for each job: the worker makes the client that its forks go on with.

Run it:

    pip install rq
    cd examples/recipes && python rq_jobs.py work
    cd examples/recipes && python rq_jobs.py ask ana "Where is my parcel?" "And my refund?"
"""

import os
import sys
import time
from typing import Any

from redis import Redis
from rq import Queue, Worker
from shop import CUSTOMER, SETTINGS

from inferkit import BudgetExceeded, Client, attributed

redis = Redis.from_url(os.environ.get("SHOP_BROKER", "redis://localhost:6379/0"))
llm = Client(
    budget=CUSTOMER, preload=True, **SETTINGS
)  # here, in the worker: a job imports nothing and opens no ledger


def answer(customer: str, question: str) -> dict[str, Any]:
    with attributed(user=customer, feature="batch"):
        try:
            return {"answer": llm.complete("answer", question, max_output_tokens=200).text, "worker": os.getpid()}
        except BudgetExceeded as refusal:
            return {"refused": refusal.scope, "worker": os.getpid()}


if __name__ == "__main__":
    import rq_jobs  # so that jobs find this very module, and its client, by its name

    queue = Queue("answers", connection=redis)
    match sys.argv[1:]:
        case ["work", *burst]:
            Worker([queue], connection=redis).work(burst=burst == ["burst"])
        case ["ask", customer, *questions]:
            jobs = [queue.enqueue(rq_jobs.answer, customer, question) for question in questions]
            while not all(job.get_status(refresh=True) in {"finished", "failed"} for job in jobs):
                time.sleep(0.1)  # noqa: TID251 - a script's own
            for job in jobs:
                print(job.return_value())
