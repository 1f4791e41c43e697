"""The reply of each matter, with and without an order number."""

from functools import cache

from .places import GRAMMAR

URGENT = " We treat this as urgent."


@cache
def table() -> dict[str, tuple[str, str]]:
    """Matter to its reply with an order number and its reply without."""
    rows = (line.split(" | ") for line in (GRAMMAR / "replies.txt").read_text("utf-8").splitlines() if line)
    return {name: (first, rest[0] if rest else first) for name, first, *rest in rows}


def reply(matter: str, priority: str, order_id: str | None) -> str:
    """The reply that the model learns for this matter, priority and order number."""
    known, without = table()[matter]
    text = known.replace("{ID}", f" {order_id}") if order_id else without
    return text + (URGENT if priority == "high" else "")
