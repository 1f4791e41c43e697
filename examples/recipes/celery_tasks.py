"""Answers in the background with Celery: the parent makes one client, and each forked worker goes on with it.

Run it:

    pip install 'celery[redis]'
    cd examples/recipes && python -m celery -A celery_tasks worker --pool prefork --concurrency 4
    cd examples/recipes && python celery_tasks.py ana "Where is my parcel?" "And my refund?"
"""

import os
import sys
from typing import Any

from celery import Celery, group
from shop import CUSTOMER, SETTINGS

from inferkit import BudgetExceeded, Client, RateLimited, Unavailable, attributed

BROKER = os.environ.get("SHOP_BROKER", "redis://localhost:6379/0")
app = Celery("shop", broker=BROKER, backend=BROKER)
app.conf.update(broker_connection_retry_on_startup=True, worker_prefetch_multiplier=1, result_expires=3600)

llm = Client(budget=CUSTOMER, preload=True, **SETTINGS)  # what a first call needs is imported once, before the forks


@app.task(name="answer", autoretry_for=(RateLimited, Unavailable), retry_backoff=True, max_retries=5, acks_late=True)
def answer(customer: str, question: str) -> dict[str, Any]:
    with attributed(user=customer, feature="batch"):
        try:
            reply = llm.complete("answer", question, max_output_tokens=200)
        except BudgetExceeded as refusal:  # trying again would not help: it is an answer, not a failure
            return {"refused": refusal.scope, "worker": os.getpid()}
    return {"answer": reply.text, "worker": os.getpid()}


if __name__ == "__main__":
    customer, *questions = sys.argv[1:]
    for result in group(answer.s(customer, question) for question in questions)().get(timeout=60):
        print(result)
