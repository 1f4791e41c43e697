"""Whatever order the steps come in and whatever the clock does, a ledger does what a few dictionaries do."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from inferkit.core.errors import LedgerError
from inferkit.ledger.amounts import Amounts, Grant, Refusal
from inferkit.ledger.journal import Charge
from inferkit.testing.ledger.model import SHORTS, UNITS, Model, ModelAccount, ModelRow, Pair, as_amounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.ledger.ledger import Ledger

__all__ = ["run_machine"]

_ACCOUNTS = (
    ModelAccount("rolls-over", limits=(40, 4), grace=(4, 0), carry=(20, 2)),
    ModelAccount("plain", limits=(30, None)),
    ModelAccount("open"),
    ModelAccount("rolling", limits=(40, 4), grace=(0, 1), rolling=True),
)
_CALLS = st.integers(0, 9).map(str)
_LEASE = 5


def run_machine(make: Callable[[], Ledger], verify: Callable[[Ledger], object], *, examples: int) -> None:
    """Run ledgers, each made empty, through `examples` sequences of steps; `verify` looks at each at its end."""

    class Machine(LedgerMachine):
        def __init__(self) -> None:
            super().__init__(make())

        def teardown(self) -> None:
            verify(self.ledger)
            self.ledger.close()

    run_state_machine_as_test(Machine, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None))


def _pairs(usd: int, calls: int) -> st.SearchStrategy[Pair]:
    return st.tuples(st.integers(0, usd), st.integers(0, calls)).map(list)


def _pair(amounts: Amounts) -> Pair:
    return [amounts.usd, amounts.calls]


class LedgerMachine(RuleBasedStateMachine):
    """A ledger, the model, and the steps that both are taken through."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger
        self.model = Model(_ACCOUNTS)
        self.now = 1000

    @rule(
        call=_CALLS,
        accounts=st.lists(st.sampled_from(_ACCOUNTS), min_size=1, unique=True),
        wanted=_pairs(60, 3),
        least=_pairs(20, 1),
        sent=st.booleans(),
    )
    def reserve(self, call: str, accounts: list[ModelAccount], wanted: Pair, least: Pair, sent: bool) -> None:
        lines = [account.line(self.now) for account in accounts]
        least = [min(least[unit], wanted[unit]) for unit in UNITS]

        def ask() -> Grant | Refusal:
            return self.ledger.reserve(
                call, lines, as_amounts(wanted), as_amounts(least), at=self.now, lease_seconds=_LEASE, sent=sent
            )

        if self.model.known(call):
            with pytest.raises(LedgerError, match="reserved before"):
                ask()
            return
        granted = self.model.reserve(call, lines, wanted, least, now=self.now, lease=self.now + _LEASE, sent=sent)
        answer = ask()
        if isinstance(answer, Refusal):
            assert granted is None
            assert answer.line in lines
            return
        assert _pair(answer.amounts) == granted
        for unit, remaining in zip(UNITS, (answer.remaining[0], answer.remaining[2]), strict=True):
            left = [left for line in lines if (left := self.model.free(line)[unit]) is not None]
            assert remaining == min(left, default=None)

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data(), more=_pairs(50, 2))
    def extend(self, data: Any, more: Pair) -> None:
        call = data.draw(st.sampled_from(sorted(self.model.holds)))
        lines = self.model.holds[call].lines
        granted = self.model.extend(call, more, now=self.now, lease=self.now + _LEASE)
        answer = self.ledger.extend(call, lines, as_amounts(more), at=self.now, lease_seconds=_LEASE)
        assert isinstance(answer, Refusal if granted is None else Grant)

    @rule(call=_CALLS)
    def extend_what_holds_nothing(self, call: str) -> None:
        if call not in self.model.holds and call not in self.model.expired:
            lines = [_ACCOUNTS[2].line(self.now)]
            with pytest.raises(LedgerError, match="holds nothing"):
                self.ledger.extend(call, lines, Amounts(1), at=self.now, lease_seconds=_LEASE)

    @rule(call=_CALLS, cost=_pairs(90, 3), twice=st.booleans())
    def settle(self, call: str, cost: Pair, twice: bool) -> None:
        for _ in range(1 + twice):
            settled = self.ledger.settle(call, Charge(cost[0]), at=self.now, calls=cost[1])
            assert bool(settled) is self.model.settle(call, cost)

    @rule(call=_CALLS)
    def void(self, call: str) -> None:
        assert self.ledger.void(call, at=self.now) is self.model.void(call)

    @rule(call=_CALLS)
    def record(self, call: str) -> None:
        assert self.ledger.record(call, Charge(5), at=self.now) is self.model.record(call)

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data())
    def mark_sent(self, data: Any) -> None:
        call = data.draw(st.sampled_from(sorted(self.model.holds)))
        self.ledger.mark_sent(call)
        self.model.holds[call].sent = True

    @rule(account=st.sampled_from(_ACCOUNTS[:3]), more=_pairs(40, 2))
    def top_up(self, account: ModelAccount, more: Pair) -> None:
        self.ledger.top_up(account.line(self.now), as_amounts(more), at=self.now)
        self.model.top_up(account.line(self.now), more)

    @rule()
    def sweep(self) -> None:
        assert self.ledger.sweep(self.now) == self.model.sweep(self.now)

    @rule(seconds=st.sampled_from([1, 3, 5, 10, 10, 20, 30]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(seconds=st.integers(1, 15))
    def set_the_clock_back(self, seconds: int) -> None:
        self.now -= seconds

    @rule()
    def reopen(self) -> None:
        self.ledger.close()

    @invariant()
    def balances_agree(self) -> None:
        found = {
            (account, window): (_pair(balance.posted), _pair(balance.pending), _pair(balance.extra))
            for account, window, balance in self.ledger.balances()
            if any((*balance.posted, *balance.pending, *balance.extra))
        }
        expected = {
            key: (row.posted, row.held, row.extra)
            for key, row in self.model.rows.items()
            if any((*row.posted, *row.held, *row.extra))
        }
        assert found == expected

    @invariant()
    def what_is_pending_is_what_calls_hold(self) -> None:
        held = collections.Counter[tuple[str, str]]()
        for hold in self.model.holds.values():
            for line in hold.lines:
                held[line[:2]] += hold.amounts[0]
        assert held == {key: row.held[0] for key, row in self.model.rows.items() if key in held}
        assert not any(row.held[0] for key, row in self.model.rows.items() if key not in held)

    @invariant()
    def the_journal_adds_up_to_what_was_posted(self) -> None:
        sums = {key: [0, 0] for key in self.model.rows}
        for entry in self.ledger.entries():
            for key in entry.accounts:
                sums[key][0] += entry.charge.usd or 0
                sums[key][1] += entry.calls
        assert sums == {key: row.posted for key, row in self.model.rows.items()}

    @invariant()
    def what_one_window_gets_another_gives_or_somebody_paid_for(self) -> None:
        moved = collections.defaultdict[tuple[str, str], Pair](lambda: [0, 0])
        extra = collections.defaultdict[str, Pair](lambda: [0, 0])
        for credit in self.ledger.credits():
            for unit in UNITS:
                moved[credit.account, credit.window][unit] += _pair(credit.amounts)[unit]
        for (account, window), row in self.model.rows.items():
            assert moved[account, window] == row.extra
            for unit in UNITS:
                extra[account][unit] += row.extra[unit]
        for account, topped_up in self.model.topped_up.items():
            assert extra[account] == topped_up

    @invariant()
    def no_limit_is_passed_but_by_what_calls_cost_beyond_their_holds(self) -> None:
        for (account, window), row in self.model.rows.items():
            limits, grace = self.model.accounts[account].limits, self.model.accounts[account].grace
            rows = self._near(account, window) if self.model.accounts[account].rolling else [row]
            for unit, limit in zip(UNITS, limits, strict=True):
                if limit is not None:
                    allowed = limit + grace[unit] + sum(row.extra[unit] + row.over[unit] for row in rows)
                    assert sum(row.used(unit) for row in rows) <= allowed

    def _near(self, account: str, first: str) -> list[ModelRow]:
        begin = int(first.partition(":")[2])
        return [
            row
            for (name, window), row in self.model.rows.items()
            if name == account and 0 <= int(window.partition(":")[2]) - begin <= SHORTS
        ]
