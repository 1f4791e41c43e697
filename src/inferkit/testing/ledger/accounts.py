"""What is reserved is settled or given back, once, and paid for where its lease runs out."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from inferkit.core.errors import LedgerError
from inferkit.ledger.amounts import Amounts, Balance, Grant, Line, Refusal
from inferkit.ledger.journal import Charge
from inferkit.ledger.unwritten import Unwritten
from inferkit.testing.ledger.steps import ALICE, LINE, W, entered, reserve, usd_of

if TYPE_CHECKING:
    from inferkit.ledger.amounts import Unit
    from inferkit.ledger.ledger import Ledger

__all__ = ["AccountsContract"]


class AccountsContract:
    """Part of `LedgerContract`."""

    def test_a_reservation_is_pending_until_it_is_settled(self, ledger: Ledger) -> None:
        assert reserve(ledger, "1", 60) == Grant(Amounts(60, 0, 1), (40, None, None))
        assert ledger.balance("a", W) == Balance(pending=Amounts(60, 0, 1))
        assert ledger.settle("1", Charge(25, input_tokens=3, output_tokens=4), at=1.0)
        assert ledger.balance("a", W) == Balance(Amounts(25, 7, 1))

    def test_running_calls_count(self, ledger: Ledger) -> None:
        reserve(ledger, "1", 60)
        assert reserve(ledger, "2", 60) == Refusal(LINE, "usd", 100, 0, 60)
        assert reserve(ledger, "3", 60, least=10) == Grant(Amounts(40, 0, 1), (0, None, None))
        assert usd_of(ledger) == (0, 100)

    def test_all_lines_are_reserved_or_none(self, ledger: Ledger) -> None:
        rich, poor = Line("rich", W, 1000), Line("poor", W, 50)
        refusal = reserve(ledger, "1", 60, rich, poor)
        assert isinstance(refusal, Refusal)
        assert refusal.line == poor
        assert usd_of(ledger, "rich") == usd_of(ledger, "poor") == (0, 0)
        assert reserve(ledger, "2", 60, rich, poor, least=10) == Grant(Amounts(50, 0, 1), (0, None, None))
        assert usd_of(ledger, "rich") == usd_of(ledger, "poor") == (0, 50)

    @pytest.mark.parametrize(
        ("unit", "line"),
        [("usd", Line("a", W, usd=3)), ("tokens", Line("a", W, tokens=3)), ("calls", Line("a", W, calls=3))],
    )
    def test_each_unit_is_limited_alone(self, ledger: Ledger, unit: Unit, line: Line) -> None:
        for call in ("1", "2"):
            answer = ledger.reserve(call, [line], Amounts(2, 2, 2), Amounts(2, 2, 2), at=0, lease_seconds=9)
        assert answer == Refusal(line, unit, 3, 0, 2)

    def test_windows_do_not_share(self, ledger: Ledger) -> None:
        assert isinstance(reserve(ledger, "1", 100, Line("a", "month:2026-11-01", 100)), Grant)
        assert isinstance(reserve(ledger, "2", 100, Line("a", "month:2026-12-01", 100)), Grant)

    def test_a_call_is_settled_once(self, ledger: Ledger) -> None:
        reserve(ledger, "1", 60)
        assert ledger.settle("1", Charge(25), at=1)
        assert not ledger.settle("1", Charge(25), at=1)
        assert not ledger.void("1", at=1)
        assert usd_of(ledger) == (25, 0)
        assert len(list(ledger.entries())) == 1

    def test_a_void_gives_everything_back_once(self, ledger: Ledger) -> None:
        reserve(ledger, "1", 60)
        assert ledger.void("1", at=1)
        assert not ledger.void("1", at=1)
        assert ledger.balance("a", W) == Balance()
        assert list(ledger.entries()) == []

    def test_what_is_to_be_written_later_is_there_when_the_ledger_was_closed(self, ledger: Ledger) -> None:
        for call in ("1", "2"):
            reserve(ledger, call, 30)
        for one in (
            Unwritten("settle", "1", 1, Charge(25)),
            Unwritten("void", "2", 1),
            Unwritten("record", "3", 1, Charge(5)),
        ):
            ledger.accounts.write_later(one)
        ledger.close()
        assert usd_of(ledger) == (25, 0)
        assert {entry.call: entry.charge.usd for entry in ledger.entries()} == {"1": 25, "3": 5}

    def test_more_than_was_held_is_posted_all_the_same(self, ledger: Ledger) -> None:
        reserve(ledger, "1", 100)
        ledger.settle("1", Charge(130), at=1)
        assert usd_of(ledger) == (130, 0)
        assert isinstance(reserve(ledger, "2", 1), Refusal)

    def test_a_hold_is_extended_or_left_as_it_is(self, ledger: Ledger) -> None:
        reserve(ledger, "1", 60)
        assert isinstance(ledger.extend("1", [LINE], Amounts(41), at=1, lease_seconds=60), Refusal)
        assert usd_of(ledger) == (0, 60)
        assert isinstance(ledger.extend("1", [LINE], Amounts(40), at=1, lease_seconds=60), Grant)
        assert usd_of(ledger) == (0, 100)
        ledger.settle("1", Charge(70), at=2)
        assert usd_of(ledger) == (70, 0)

    def test_a_settled_call_cannot_hold_more(self, ledger: Ledger) -> None:
        reserve(ledger, "1", 60)
        ledger.settle("1", Charge(25), at=1)
        with pytest.raises(LedgerError, match="holds nothing"):
            ledger.extend("1", [LINE], Amounts(20), at=2, lease_seconds=60)
        assert usd_of(ledger) == (25, 0)

    def test_a_call_is_reserved_once_and_a_second_time_charges_nothing(self, ledger: Ledger) -> None:
        reserve(ledger, "1", 60)
        with pytest.raises(LedgerError, match=r"call 1 was reserved before; give every call an id of its own"):
            reserve(ledger, "1", 10)
        assert usd_of(ledger) == (0, 60)
        ledger.settle("1", Charge(25), at=1)
        with pytest.raises(LedgerError, match="reserved before"):
            reserve(ledger, "1", 10)
        assert usd_of(ledger) == (25, 0)
        ledger.record("2", Charge(5), at=1)
        with pytest.raises(LedgerError, match="reserved before"):
            reserve(ledger, "2", 10)

    def test_a_call_that_was_refused_or_given_back_may_be_tried_again(self, ledger: Ledger) -> None:
        assert isinstance(reserve(ledger, "1", 101), Refusal)
        assert isinstance(reserve(ledger, "1", 60), Grant)
        ledger.void("1", at=1)
        assert isinstance(reserve(ledger, "1", 60), Grant)

    def test_threads_spend_a_budget_to_the_last_call_and_no_further(self, ledger: Ledger) -> None:
        together, granted = threading.Barrier(16), list[str]()

        def work(number: int) -> None:
            together.wait(30)
            for turn in range(10):
                call = f"{number}-{turn}"
                if isinstance(reserve(ledger, call, 1), Grant):
                    granted.append(call)
                    ledger.settle(call, Charge(1), at=0)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(granted) == 100
        assert usd_of(ledger) == (100, 0)

    def test_a_lease_that_runs_out_is_paid_at_what_was_held(self, ledger: Ledger) -> None:
        reserve(ledger, "1", 60, attribution=ALICE)
        assert [ledger.sweep(59), ledger.sweep(60), ledger.sweep(61)] == [0, 1, 0]
        assert usd_of(ledger) == (60, 0)
        (entry,) = ledger.entries()
        assert (entry.kind, entry.charge.usd, entry.charge.estimated) == ("expired", 60, True)
        assert entry.charge.attribution == ALICE

    def test_a_lease_of_a_call_that_was_never_sent_costs_nothing(self, ledger: Ledger) -> None:
        reserve(ledger, "1", 60, sent=False)
        reserve(ledger, "2", 30, sent=False)
        ledger.mark_sent("2")
        ledger.sweep(60)
        assert ledger.balance("a", W) == Balance(Amounts(30, 0, 1))

    def test_a_refusal_first_ends_what_ran_out(self, ledger: Ledger) -> None:
        reserve(ledger, "1", 100, sent=False)
        assert isinstance(reserve(ledger, "2", 50, at=30), Refusal)
        assert isinstance(reserve(ledger, "2", 50, at=60), Grant)

    @pytest.mark.parametrize(("sent", "at_expiry"), [(True, 60), (False, 0)])
    def test_settling_after_the_lease_ran_out_corrects(self, ledger: Ledger, sent: bool, at_expiry: int) -> None:
        reserve(ledger, "1", 60, sent=sent)
        ledger.sweep(60)
        assert usd_of(ledger) == (at_expiry, 0)
        assert ledger.settle("1", Charge(25, input_tokens=5, output_tokens=2), at=90)
        assert not ledger.settle("1", Charge(25), at=90)
        assert ledger.balance("a", W) == Balance(Amounts(25, 7, 1))
        assert entered(ledger) == 25
        assert sum(entry.calls for entry in ledger.entries()) == 1

    def test_a_void_after_the_lease_ran_out_takes_back_what_was_posted(self, ledger: Ledger) -> None:
        reserve(ledger, "1", 60)
        ledger.sweep(60)
        assert ledger.void("1", at=90)
        assert ledger.balance("a", W) == Balance()
        assert entered(ledger) == 0

    def test_extending_after_the_lease_ran_out_holds_it_all_again(self, ledger: Ledger) -> None:
        reserve(ledger, "1", 60)
        ledger.sweep(60)
        assert isinstance(ledger.extend("1", [LINE], Amounts(20), at=70, lease_seconds=60), Grant)
        assert ledger.balance("a", W) == Balance(pending=Amounts(80, 0, 1))
        ledger.settle("1", Charge(75), at=90)
        assert usd_of(ledger) == (75, 0)
        assert entered(ledger) == 75

    @pytest.mark.parametrize("sent", [True, False])
    def test_a_call_whose_lease_ran_out_is_not_reserved_again(self, ledger: Ledger, sent: bool) -> None:
        reserve(ledger, "1", 60, sent=sent)
        ledger.sweep(60)
        with pytest.raises(LedgerError, match="reserved before"):
            reserve(ledger, "1", 10, at=61, sent=sent)
        assert ledger.sweep(200) == 0

    def test_what_corrects_an_expired_lease_stands_for_the_same_payer(self, ledger: Ledger) -> None:
        reserve(ledger, "1", 60, attribution=ALICE)
        reserve(ledger, "2", 40, attribution=ALICE)
        ledger.sweep(60)
        ledger.void("1", at=70)
        ledger.extend("2", [LINE], Amounts(20), at=70, lease_seconds=60)
        assert entered(ledger, user="alice", tenant="acme") == 0
        ledger.sweep(130)
        assert [entry.charge.usd for entry in ledger.entries(user="alice")] == [60, 40, -60, -40, 60]
