"""The labels of a message, and the one line of JSON that answers it."""

import json
from dataclasses import dataclass

CATEGORIES = (
    "order_status",
    "delivery_problem",
    "refund_return",
    "change_order",
    "payment",
    "account",
    "product",
    "technical",
    "feedback",
    "unknown",
)
PRIORITIES = ("low", "normal", "high")


@dataclass(frozen=True, slots=True)
class Ticket:
    """A customer's message with its labels; `intent` is the finer kind that chooses the reply."""

    message: str
    category: str
    priority: str
    order_id: str | None
    intent: str | None = None


def one_line(message: str) -> str:
    """The message as the model reads it: on one line, with single spaces."""
    return " ".join(message.split())


def answer(category: str, priority: str, order_id: str | None, reply: str) -> str:
    """The JSON line that the model has to produce."""
    fields = {"category": category, "priority": priority, "order_id": order_id, "reply": reply}
    return json.dumps(fields, ensure_ascii=False)
