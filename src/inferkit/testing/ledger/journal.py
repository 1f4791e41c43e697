"""What was written is there for reports, in order, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.ledger.amounts import Amounts, Balance, Line
from inferkit.ledger.journal import Assignment, Attribution, Charge, Tally
from inferkit.testing.ledger.steps import W, reserve

if TYPE_CHECKING:
    from inferkit.ledger.ledger import Ledger

__all__ = ["JournalContract"]


class JournalContract:
    """Part of `LedgerContract`."""

    def test_a_cost_that_nothing_was_reserved_for_is_kept_in_the_journal(self, ledger: Ledger) -> None:
        assert ledger.settle("1", Charge(25), at=1)
        assert not ledger.settle("1", Charge(25), at=1)
        assert ledger.record("2", Charge(5), at=2)
        assert not ledger.record("2", Charge(5), at=2)
        assert [(entry.call, entry.charge.usd) for entry in ledger.entries()] == [("1", 25), ("2", 5)]

    def test_the_journal_is_read_by_time_and_payer(self, ledger: Ledger) -> None:
        for number in range(1200):
            charge = Charge(None if number == 0 else number, attribution=Attribution(f"u{number % 3}"))
            ledger.record(str(number), charge, at=number)
        assert [entry.call for entry in ledger.entries()] == [str(number) for number in range(1200)]
        assert [entry.call for entry in ledger.entries(since=10, until=13)] == ["10", "11", "12"]
        assert [entry.call for entry in ledger.entries(user="u1", until=8)] == ["1", "4", "7"]
        (entry,) = ledger.entries(call="0")
        assert entry.charge.usd is None
        assert list(ledger.entries(tenant="acme")) == list(ledger.entries(kind="expired")) == []

    def test_balances_are_listed(self, ledger: Ledger) -> None:
        lines = [Line(f"{number:04}", W) for number in range(600)]
        reserve(ledger, "1", 60, *reversed(lines))
        assert [account for account, _, _ in ledger.balances()] == [line.account for line in lines]
        assert list(ledger.balances("0007")) == [("0007", W, Balance(pending=Amounts(60, 0, 1)))]

    def test_counts_of_what_cost_nothing_add_up(self, ledger: Ledger) -> None:
        for hour in (7200, 3600):
            for number in range(300):
                ledger.tally([Tally(hour, "hit", Attribution(f"{number:03}"), calls=2, usd=3)])
        ledger.tally(iter([Tally(3600, "hit", Attribution("000"), usd=1), Tally(3600, "refused", scope="a")]))
        counts = list(ledger.tallies())
        assert [count.hour for count in counts] == [3600] * 301 + [7200] * 300
        assert counts[0] == Tally(3600, "hit", Attribution("000"), calls=3, usd=4)
        assert list(ledger.tallies(since=3601, until=7201)) == counts[301:]
        assert list(ledger.tallies(until=3600)) == []

    def test_an_assignment_holds_from_its_instant_on(self, ledger: Ledger) -> None:
        first, second = Assignment(10, "ana", None, "free"), Assignment(20, "ana", None, "pro", 3)
        ledger.assign(second)
        ledger.assign(first)
        ledger.assign(Assignment(15, "ana", None, "free"))  # says what is so already
        ledger.assign(Assignment(30, None, "ana", None))
        assert [ledger.assignment(user="ana", at=at) for at in (9, 10, 19, 20)] == [None, first, first, second]
        assert ledger.assignment(tenant="ana", at=30) == Assignment(30, None, "ana", None)
        assert [each.at for each in ledger.assignments()] == [10, 20, 30]

    def test_definitions_are_kept_as_they_were(self, ledger: Ledger) -> None:
        ledger.define({"pro": "old", "free": "one"}, at=10)
        ledger.define({"pro": "new"}, at=20)
        assert ledger.definitions() == {"pro": "new", "free": "one"}
        assert ledger.definitions(before=20) == {"pro": "old", "free": "one"}
        assert ledger.definitions(before=1) == {"pro": "old", "free": "one"}, "or else the first"
