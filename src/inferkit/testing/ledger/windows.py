"""Limits are those of a window: what is carried over, topped up, added up from short windows, and told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.ledger.amounts import Amounts, Balance, Grant, Line, Refusal
from inferkit.ledger.journal import Charge
from inferkit.testing.ledger.steps import LINE, reserve

if TYPE_CHECKING:
    from inferkit.ledger.ledger import Ledger

__all__ = ["WindowsContract"]


class WindowsContract:
    """Part of `LedgerContract`."""

    def test_what_is_unused_is_carried_into_the_next_window_once(self, ledger: Ledger) -> None:
        october = Line("a", "month:2026-10-01", 100, carry=Amounts(50))
        november = Line("a", "month:2026-11-01", 100, previous="month:2026-10-01", carry=Amounts(50))
        reserve(ledger, "1", 30, october)
        ledger.settle("1", Charge(30), at=1)
        assert reserve(ledger, "2", 150, november, at=2) == Grant(Amounts(150, 0, 1), (0, None, None))
        assert ledger.balance("a", "month:2026-10-01").extra == Amounts(-50)
        assert isinstance(reserve(ledger, "3", 21, october, at=3), Refusal), "a clock set back finds nothing twice"
        assert [(each.kind, each.amounts.usd) for each in ledger.credits("a")] == [
            ("carried out", -50),
            ("carried in", 50),
        ]

    def test_what_was_topped_up_stays_until_it_is_used(self, ledger: Ledger) -> None:
        ledger.top_up(Line("a", "month:2026-10-01", 100), Amounts(50), at=1)
        assert isinstance(reserve(ledger, "1", 120, Line("a", "month:2026-10-01", 100)), Grant)
        assert isinstance(reserve(ledger, "2", 130, Line("a", "month:2026-11-01", 100)), Grant), "30 were left"
        assert isinstance(reserve(ledger, "3", 1, Line("a", "month:2026-11-01", 100)), Refusal)

    def test_a_rolling_window_is_the_sum_of_short_ones(self, ledger: Ledger) -> None:
        def line(number: int) -> Line:
            return Line("a", f"short:{number:03}", 100, since=f"short:{max(0, number - 3):03}")

        for number, usd in ((1, 60), (3, 40)):
            reserve(ledger, str(number), usd, line(number))
            ledger.settle(str(number), Charge(usd), at=number)
        assert reserve(ledger, "4", 1, line(4)) == Refusal(line(4), "usd", 100, 100, 0, "short:001")
        assert isinstance(reserve(ledger, "5", 60, line(5)), Grant)
        assert ledger.balance("a", "short:005", since="short:002") == Balance(Amounts(40, 0, 1), Amounts(60, 0, 1))

    def test_a_share_of_a_limit_is_told_once(self, ledger: Ledger) -> None:
        line = LINE._replace(warn_at=(500, 900))
        assert ledger.warn([line]) == []
        for call, share in (("1", [500]), ("2", [900])):
            reserve(ledger, call, 50)
            assert ledger.warn([line]) == [], "what is only held has not been used"
            ledger.settle(call, Charge(50), at=1)
            assert [(each.share, each.unit, each.limit) for each in ledger.warn([line])] == [(*share, "usd", 100)]
            assert ledger.warn([line]) == []

    def test_a_settlement_tells_of_the_share_that_it_passes(self, ledger: Ledger) -> None:
        line = LINE._replace(warn_at=(500, 900))
        for call, shares in (("1", []), ("2", [500]), ("3", [900])):
            reserve(ledger, call, 31)
            settled = ledger.settle(call, Charge(31), at=1, watched=[LINE, line])
            assert settled
            assert [each.share for each in settled.crossings] == shares
            again = ledger.settle(call, Charge(31), at=1, watched=[line])
            assert (again.now, again.crossings) == (False, ())
        assert ledger.warn([line]) == []
