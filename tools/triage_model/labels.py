"""The labels of a message, and the answer that goes with them."""

from dataclasses import dataclass

from distil.dataset import Example, one_line
from distil.frame import Field, Frame

from .replies import reply

__all__ = ["CATEGORIES", "FRAME", "PRIORITIES", "Ticket", "one_line"]

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
FRAME = Frame(
    (
        Field("category", "label", CATEGORIES),
        Field("priority", "label", PRIORITIES),
        Field("order_id", "copied", nullable=True),
        Field("reply", "text"),
    )
)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A customer's message with its labels; `matter` is the finer kind that chooses the reply."""

    message: str
    category: str
    priority: str
    order_id: str | None
    matter: str | None = None

    def example(self) -> Example:
        """The message with the answer that is wanted. Raises `ValueError` where no matter is given."""
        if self.matter is None:
            msg = f"no matter is given for the message {self.message!r}"
            raise ValueError(msg)
        text = reply(self.matter, self.priority, self.order_id)
        answer = {"category": self.category, "priority": self.priority, "order_id": self.order_id, "reply": text}
        return Example(self.message, answer, self.matter)
