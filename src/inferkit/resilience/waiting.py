"""Those who wait for their turn: the highest priority first, and within one priority each tenant in turn.

However much one tenant sends, it has one turn in each round, as all others of its priority. Where there is no room for
all, the lowest priority goes, and of that whoever came last of the tenant with the most in it.
"""

from __future__ import annotations

from collections import OrderedDict, deque

__all__ = ["Ticket", "Waiting"]


class Ticket:
    """One request that wants through, or is: `tokens` is what it is counted as, of which so many are `input_tokens`.

    `name` is the model that it is for, where several share a queue. `wake()` tells whoever waits to look. With a
    `deadline` it is not let in so late that it could not end before. It went in at `in_at`; `marks` are for its quotas
    (see `observe`).
    """

    __slots__ = (
        "deadline",
        "in_at",
        "input_tokens",
        "is_in",
        "is_late",
        "is_turned_away",
        "marks",
        "name",
        "priority",
        "tenant",
        "tokens",
    )

    def __init__(
        self, priority: int, tenant: str, tokens: int, input_tokens: int = 0, deadline: float | None = None
    ) -> None:
        self.name = ""
        self.priority = priority
        self.tenant = tenant
        self.tokens = tokens
        self.input_tokens = input_tokens
        self.in_at = 0.0
        self.marks: list[float] = []
        self.deadline = deadline
        self.is_in = False
        self.is_turned_away = False
        self.is_late = False

    def wake(self) -> None:
        """Have whoever waits look what became of it."""


class Waiting:
    """A queue of tickets, of which there are `size`. An interrupt finds it as it is before a step, or after it."""

    __slots__ = ("_levels", "size")

    def __init__(self) -> None:
        self.size = 0
        self._levels: dict[int, OrderedDict[str, deque[Ticket]]] = {}  # tenants whose turn is next come first

    def tickets(self) -> list[Ticket]:
        """Give all that wait."""
        return [ticket for level in self._levels.values() for tickets in level.values() for ticket in tickets]

    def push(self, ticket: Ticket) -> None:
        """Have a ticket wait, behind those of its tenant; a tenant that had none waiting comes after all others."""
        level = self._levels.get(ticket.priority)
        tickets = None if level is None else level.get(ticket.tenant)
        if tickets is not None:
            self.size += 1
            tickets.append(ticket)
            return
        own = deque([ticket])
        if level is None:
            level = OrderedDict()
        self.size += 1  # from here on in one step, as far as interrupts go
        level[ticket.tenant] = own
        self._levels[ticket.priority] = level

    def head(self) -> Ticket | None:
        """Give the one whose turn is next."""
        if not self.size:
            return None
        level = self._levels[max(self._levels)]
        return next(iter(level.values()))[0]

    def pop(self) -> None:
        """Take out the one whose turn it is; its tenant's next turn comes after those of all others."""
        ticket = self.head()
        if ticket is not None:
            self._levels[ticket.priority].move_to_end(ticket.tenant)
            self.remove(ticket)

    def remove(self, ticket: Ticket) -> None:
        """Take out a ticket, if it waits, as if it had never come."""
        level = self._levels.get(ticket.priority)
        tickets = None if level is None else level.get(ticket.tenant)
        if level is None or tickets is None or ticket not in tickets:
            return
        is_last = len(tickets) == 1
        self.size -= 1  # from here on in one step, as far as interrupts go
        if not is_last:
            tickets.remove(ticket)
            return
        del level[ticket.tenant]
        if not level:
            del self._levels[ticket.priority]

    def one_too_many(self, newcomer: Ticket) -> Ticket:
        """Say who is turned away where one more comes than there is room for: perhaps the newcomer."""
        lowest = min(self._levels, default=newcomer.priority)
        if newcomer.priority < lowest or not self.size:
            return newcomer
        level = self._levels[lowest]
        most = max(level.values(), key=len)
        own = len(level.get(newcomer.tenant, ())) + 1
        if newcomer.priority == lowest and own >= len(most):
            return newcomer
        return most[-1]
