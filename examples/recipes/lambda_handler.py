"""A function on AWS Lambda, where everything is read-only but /tmp, and an instance may be frozen after each answer.

The environment of the function has `INFERKIT_HOME=/tmp/inferkit`. Here, as there:

    INFERKIT_HOME=/tmp/inferkit python examples/recipes/lambda_handler.py '{"customer": "ana", "text": "Where is it?"}'
"""

import json
import sys
from typing import Any

from shop import CUSTOMER, SETTINGS

from inferkit import BudgetExceeded, Client

# Made once an instance, with what a first call needs, while Lambda's start gives it a whole processor. The ledger in
# /tmp is this instance's own: each would allow a customer the whole budget. Where that matters, give them one ledger.
llm = Client(budget=CUSTOMER, preload=True, **SETTINGS)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    try:
        reply = llm.complete("answer", event["text"], user=event["customer"], max_output_tokens=200, timeout=20)
    except BudgetExceeded as refusal:
        return {"statusCode": 402, "body": json.dumps({"error": refusal.scope})}
    return {"statusCode": 200, "body": json.dumps({"answer": reply.text, "cost": str(reply.cost)})}


if __name__ == "__main__":
    print(json.dumps(handler(json.loads(sys.argv[1]), None)))
