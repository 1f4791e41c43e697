"""The ledger counts right, for one caller after the other."""

import pytest

from inferkit.core.errors import ConfigurationError, LedgerError
from inferkit.ledger.journal import Attribution, Charge
from inferkit.ledger.protocols import Amounts, Balance, Grant, Line, Refusal
from inferkit.ledger.sqlite.ledger import SqliteLedger

W = "month:2026-11-01"
CALL = Amounts(calls=1)


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def reserve(ledger, call, usd, *lines, least=None, at=0.0, **options):
    least = usd if least is None else least
    options.setdefault("lease_seconds", 60)
    return ledger.reserve(
        call, lines or [Line("a", W, 100)], Amounts(usd, 0, 1), Amounts(least, 0, 1), at=at, **options
    )


def usd(ledger, account="a"):
    balance = ledger.balance(account, W)
    return balance.posted.usd, balance.pending.usd


def test_a_reservation_is_pending_until_it_is_settled(ledger):
    assert reserve(ledger, "1", 60) == Grant(Amounts(60, 0, 1), (40, None, None))
    assert ledger.balance("a", W) == Balance(pending=Amounts(60, 0, 1))
    assert ledger.settle("1", Charge(25, input_tokens=3, output_tokens=4), at=1.0)
    assert ledger.balance("a", W) == Balance(Amounts(25, 7, 1))


def test_running_calls_count(ledger):
    reserve(ledger, "1", 60)
    assert reserve(ledger, "2", 60) == Refusal(Line("a", W, 100), "usd", 100, 0, 60)
    assert reserve(ledger, "3", 60, least=10) == Grant(Amounts(40, 0, 1), (0, None, None))
    assert usd(ledger) == (0, 100)


def test_all_lines_are_reserved_or_none(ledger):
    rich, poor = Line("rich", W, 1000), Line("poor", W, 50)
    assert reserve(ledger, "1", 60, rich, poor).line == poor
    assert usd(ledger, "rich") == usd(ledger, "poor") == (0, 0)
    assert reserve(ledger, "2", 60, rich, poor, least=10).amounts.usd == 50
    assert usd(ledger, "rich") == usd(ledger, "poor") == (0, 50)


@pytest.mark.parametrize("unit", ["usd", "tokens", "calls"])
def test_each_unit_is_limited_alone(ledger, unit):
    line = Line("a", W, **{unit: 3})
    for call, most in (("1", 2), ("2", 2)):
        answer = ledger.reserve(call, [line], Amounts(2, 2, 2), Amounts(most, most, most), at=0, lease_seconds=9)
    assert (answer.unit, answer.limit, answer.posted, answer.pending) == (unit, 3, 0, 2)


def test_windows_do_not_share(ledger):
    assert isinstance(reserve(ledger, "1", 100, Line("a", "month:2026-11-01", 100)), Grant)
    assert isinstance(reserve(ledger, "2", 100, Line("a", "month:2026-12-01", 100)), Grant)


def test_a_call_is_settled_once(ledger):
    reserve(ledger, "1", 60)
    assert ledger.settle("1", Charge(25), at=1)
    assert not ledger.settle("1", Charge(25), at=1)
    assert not ledger.void("1", at=1)
    assert usd(ledger) == (25, 0)
    assert len(list(ledger.entries())) == 1


def test_a_void_gives_everything_back_once(ledger):
    reserve(ledger, "1", 60)
    assert ledger.void("1", at=1)
    assert not ledger.void("1", at=1)
    assert ledger.balance("a", W) == Balance()
    assert list(ledger.entries()) == []


def test_more_than_was_held_is_posted_all_the_same(ledger):
    reserve(ledger, "1", 100)
    ledger.settle("1", Charge(130), at=1)
    assert usd(ledger) == (130, 0)
    assert isinstance(reserve(ledger, "2", 1), Refusal)


def test_a_hold_is_extended_or_left_as_it_is(ledger):
    reserve(ledger, "1", 60)
    assert isinstance(ledger.extend("1", [Line("a", W, 100)], Amounts(41), at=1, lease_seconds=60), Refusal)
    assert usd(ledger) == (0, 60)
    assert isinstance(ledger.extend("1", [Line("a", W, 100)], Amounts(40), at=1, lease_seconds=60), Grant)
    assert usd(ledger) == (0, 100)
    ledger.settle("1", Charge(70), at=2)
    assert usd(ledger) == (70, 0)


def test_a_lease_that_runs_out_is_paid_at_what_was_held(ledger):
    reserve(ledger, "1", 60, attribution=Attribution("alice", "acme"))
    assert ledger.sweep(59) == 0
    assert ledger.sweep(60) == 1
    assert ledger.sweep(61) == 0
    assert usd(ledger) == (60, 0)
    (entry,) = ledger.entries()
    assert (entry.kind, entry.charge.usd, entry.charge.estimated) == ("expired", 60, True)
    assert entry.charge.attribution == Attribution("alice", "acme")


def test_a_lease_of_a_call_that_was_never_sent_costs_nothing(ledger):
    reserve(ledger, "1", 60, sent=False)
    reserve(ledger, "2", 30, sent=False)
    ledger.mark_sent("2")
    ledger.sweep(60)
    assert ledger.balance("a", W) == Balance(Amounts(30, 0, 1))


def test_a_refusal_first_ends_what_ran_out(ledger):
    reserve(ledger, "1", 100, sent=False)
    assert isinstance(reserve(ledger, "2", 50, at=30), Refusal)
    assert isinstance(reserve(ledger, "2", 50, at=60), Grant)


@pytest.mark.parametrize(("sent", "at_expiry"), [(True, 60), (False, 0)])
def test_settling_after_the_lease_ran_out_corrects(ledger, sent, at_expiry):
    reserve(ledger, "1", 60, sent=sent)
    ledger.sweep(60)
    assert usd(ledger) == (at_expiry, 0)
    assert ledger.settle("1", Charge(25, input_tokens=5, output_tokens=2), at=90)
    assert not ledger.settle("1", Charge(25), at=90)
    assert ledger.balance("a", W) == Balance(Amounts(25, 7, 1))
    assert sum(entry.charge.usd for entry in ledger.entries()) == 25
    assert sum(entry.calls for entry in ledger.entries()) == 1


def test_a_void_after_the_lease_ran_out_takes_back_what_was_posted(ledger):
    reserve(ledger, "1", 60)
    ledger.sweep(60)
    assert ledger.void("1", at=90)
    assert ledger.balance("a", W) == Balance()
    assert sum(entry.charge.usd for entry in ledger.entries()) == 0


def test_extending_after_the_lease_ran_out_holds_it_all_again(ledger):
    reserve(ledger, "1", 60)
    ledger.sweep(60)
    assert isinstance(ledger.extend("1", [Line("a", W, 100)], Amounts(20), at=70, lease_seconds=60), Grant)
    assert ledger.balance("a", W) == Balance(pending=Amounts(80, 0, 1))
    ledger.settle("1", Charge(75), at=90)
    assert usd(ledger) == (75, 0)
    assert sum(entry.charge.usd for entry in ledger.entries()) == 75


def test_a_settled_call_cannot_hold_more(ledger):
    reserve(ledger, "1", 60)
    ledger.settle("1", Charge(25), at=1)
    with pytest.raises(LedgerError, match="holds nothing"):
        ledger.extend("1", [Line("a", W, 100)], Amounts(20), at=2, lease_seconds=60)
    assert usd(ledger) == (25, 0)


def test_a_call_is_reserved_once_and_a_second_time_charges_nothing(ledger):
    reserve(ledger, "1", 60)
    with pytest.raises(LedgerError, match=r"call 1 was reserved before; give every call an id of its own"):
        reserve(ledger, "1", 10)
    assert usd(ledger) == (0, 60)
    ledger.settle("1", Charge(25), at=1)
    with pytest.raises(LedgerError, match="reserved before"):
        reserve(ledger, "1", 10)
    assert usd(ledger) == (25, 0)
    ledger.record("2", Charge(5), at=1)
    with pytest.raises(LedgerError, match="reserved before"):
        reserve(ledger, "2", 10)


@pytest.mark.parametrize("sent", [True, False])
def test_a_call_whose_lease_ran_out_is_not_reserved_again(ledger, sent):
    reserve(ledger, "1", 60, sent=sent)
    ledger.sweep(60)
    with pytest.raises(LedgerError, match="reserved before"):
        reserve(ledger, "1", 10, at=61, sent=sent)
    assert ledger.sweep(200) == 0


def test_a_call_that_was_refused_or_given_back_may_be_tried_again(ledger):
    assert isinstance(reserve(ledger, "1", 101), Refusal)
    assert isinstance(reserve(ledger, "1", 60), Grant)
    ledger.void("1", at=1)
    assert isinstance(reserve(ledger, "1", 60), Grant)


def test_what_corrects_an_expired_lease_stands_for_the_same_payer(ledger):
    alice = Attribution("alice", "acme")
    reserve(ledger, "1", 60, attribution=alice)
    reserve(ledger, "2", 40, attribution=alice)
    ledger.sweep(60)
    ledger.void("1", at=70)
    ledger.extend("2", [Line("a", W, 100)], Amounts(20), at=70, lease_seconds=60)
    assert sum(entry.charge.usd for entry in ledger.entries(user="alice", tenant="acme")) == 0
    ledger.sweep(130)
    assert [entry.charge.usd for entry in ledger.entries(user="alice")] == [60, 40, -60, -40, 60]


def test_a_cost_that_nothing_was_reserved_for_is_kept_in_the_book(ledger):
    assert ledger.settle("1", Charge(25), at=1)
    assert not ledger.settle("1", Charge(25), at=1)
    assert ledger.record("2", Charge(5), at=2)
    assert not ledger.record("2", Charge(5), at=2)
    assert [(entry.call, entry.charge.usd) for entry in ledger.entries()] == [("1", 25), ("2", 5)]


def test_the_book_is_read_by_time_and_payer(ledger):
    for number in range(1200):
        ledger.record(
            str(number), Charge(None if number == 0 else number, attribution=Attribution(f"u{number % 3}")), at=number
        )
    assert [entry.call for entry in ledger.entries()] == [str(number) for number in range(1200)]
    assert [entry.call for entry in ledger.entries(since=10, until=13)] == ["10", "11", "12"]
    assert [entry.call for entry in ledger.entries(user="u1", until=8)] == ["1", "4", "7"]
    (entry,) = ledger.entries(call="0")
    assert entry.charge.usd is None
    assert list(ledger.entries(tenant="acme")) == []


def test_balances_are_listed(ledger):
    reserve(ledger, "1", 60, Line("b", W, 100), Line("a", W))
    assert [(account, window) for account, window, _ in ledger.balances()] == [("a", W), ("b", W)]
    assert list(ledger.balances("b")) == [("b", W, Balance(pending=Amounts(60, 0, 1)))]


def test_what_was_written_is_there_when_the_file_is_opened_again(ledger, tmp_path):
    reserve(ledger, "1", 60)
    other = SqliteLedger(tmp_path / "ledger.db", durability="full")
    other.settle("1", Charge(25), at=1)
    other.close()
    assert usd(ledger) == usd(other) == (25, 0)
    other.close()
    ledger.check()


def test_a_wrong_durability_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="durability"):
        SqliteLedger(tmp_path / "x.db", durability="maximal")
