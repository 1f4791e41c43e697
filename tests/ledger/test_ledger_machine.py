"""Whatever order the steps come in and whatever the clock does, the ledger does what a few dictionaries do."""

from __future__ import annotations

import collections
import tempfile

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inferkit.core.errors import LedgerError
from inferkit.ledger.journal import Charge
from inferkit.ledger.protocols import Amounts, Grant, Refusal
from inferkit.ledger.sqlite.ledger import SqliteLedger
from ledger.ledger_model import SHORTS, UNITS, Account, Model

ACCOUNTS = (
    Account("rolls-over", limits=(40, 4), grace=(4, 0), carry=(20, 2)),
    Account("plain", limits=(30, None)),
    Account("open"),
    Account("rolling", limits=(40, 4), grace=(0, 1), rolling=True),
)
CALLS = st.integers(0, 9).map(str)
LEASE = 5


def pair(usd, calls):
    return st.tuples(st.integers(0, usd), st.integers(0, calls)).map(list)


def amounts(pair):
    return Amounts(pair[0], 0, pair[1])


def units(amounts):
    return [amounts.usd, amounts.calls]


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = SqliteLedger(f"{self.folder.name}/ledger.db")
        self.model = Model(ACCOUNTS)
        self.now = 1000

    def teardown(self):
        self.ledger.check()
        self.ledger.close()
        self.folder.cleanup()

    @rule(
        call=CALLS,
        accounts=st.lists(st.sampled_from(ACCOUNTS), min_size=1, unique=True),
        wanted=pair(60, 3),
        least=pair(20, 1),
        sent=st.booleans(),
    )
    def reserve(self, call, accounts, wanted, least, sent):
        lines = [account.line(self.now) for account in accounts]
        least = [min(least[unit], wanted[unit]) for unit in UNITS]

        def ask():
            return self.ledger.reserve(
                call, lines, amounts(wanted), amounts(least), at=self.now, lease_seconds=LEASE, sent=sent
            )

        if self.model.known(call):
            with pytest.raises(LedgerError, match="reserved before"):
                ask()
            return
        granted = self.model.reserve(call, lines, wanted, least, now=self.now, lease=self.now + LEASE, sent=sent)
        answer = ask()
        if granted is None:
            assert isinstance(answer, Refusal)
            assert answer.line in lines
            return
        assert units(answer.amounts) == granted
        for unit, remaining in zip(UNITS, (answer.remaining[0], answer.remaining[2]), strict=True):
            left = [left for line in lines if (left := self.model.free(line)[unit]) is not None]
            assert remaining == min(left, default=None)

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data(), more=pair(50, 2))
    def extend(self, data, more):
        call = data.draw(st.sampled_from(sorted(self.model.holds)))
        lines = self.model.holds[call].lines
        granted = self.model.extend(call, more, now=self.now, lease=self.now + LEASE)
        answer = self.ledger.extend(call, lines, amounts(more), at=self.now, lease_seconds=LEASE)
        assert isinstance(answer, Refusal if granted is None else Grant)

    @rule(call=CALLS)
    def extend_what_holds_nothing(self, call):
        if call not in self.model.holds and call not in self.model.expired:
            with pytest.raises(LedgerError, match="holds nothing"):
                self.ledger.extend(call, [ACCOUNTS[2].line(self.now)], Amounts(1), at=self.now, lease_seconds=LEASE)

    @rule(call=CALLS, cost=pair(90, 3), twice=st.booleans())
    def settle(self, call, cost, twice):
        for _ in range(1 + twice):
            settled = self.ledger.settle(call, Charge(cost[0]), at=self.now, calls=cost[1])
            assert settled is self.model.settle(call, cost)

    @rule(call=CALLS)
    def void(self, call):
        assert self.ledger.void(call, at=self.now) is self.model.void(call)

    @rule(call=CALLS)
    def record(self, call):
        assert self.ledger.record(call, Charge(5), at=self.now) is self.model.record(call)

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data())
    def mark_sent(self, data):
        call = data.draw(st.sampled_from(sorted(self.model.holds)))
        self.ledger.mark_sent(call)
        self.model.holds[call].sent = True

    @rule(account=st.sampled_from(ACCOUNTS[:3]), more=pair(40, 2))
    def top_up(self, account, more):
        self.ledger.top_up(account.line(self.now), amounts(more), at=self.now)
        self.model.top_up(account.line(self.now), more)

    @rule()
    def sweep(self):
        assert self.ledger.sweep(self.now) == self.model.sweep(self.now)

    @rule(seconds=st.sampled_from([1, 3, 5, 10, 10, 20, 30]))
    def wait(self, seconds):
        self.now += seconds

    @rule(seconds=st.integers(1, 15))
    def set_the_clock_back(self, seconds):
        self.now -= seconds

    @rule()
    def reopen(self):
        self.ledger.close()

    @invariant()
    def balances_agree(self):
        found = {
            (account, window): [units(part) for part in (balance.posted, balance.pending, balance.extra)]
            for account, window, balance in self.ledger.balances()
        }
        assert found == {key: [row.posted, row.held, row.extra] for key, row in self.model.rows.items()}

    @invariant()
    def what_is_pending_is_what_calls_hold(self):
        held = collections.Counter()
        for hold in self.model.holds.values():
            for line in hold.lines:
                held[line[:2]] += hold.amounts[0]
        assert held == {key: row.held[0] for key, row in self.model.rows.items() if key in held}
        assert not any(row.held[0] for key, row in self.model.rows.items() if key not in held)

    @invariant()
    def the_book_adds_up_to_what_was_posted(self):
        sums = {key: [0, 0] for key in self.model.rows}
        for entry in self.ledger.entries():
            for key in entry.accounts:
                sums[key][0] += entry.charge.usd
                sums[key][1] += entry.calls
        assert sums == {key: row.posted for key, row in self.model.rows.items()}

    @invariant()
    def what_one_window_gets_another_gives_or_somebody_paid_for(self):
        moved, extra = collections.defaultdict(lambda: [0, 0]), collections.defaultdict(lambda: [0, 0])
        for credit in self.ledger.credits():
            for unit in UNITS:
                moved[credit.account, credit.window][unit] += units(credit.amounts)[unit]
        for (account, window), row in self.model.rows.items():
            assert moved[account, window] == row.extra
            for unit in UNITS:
                extra[account][unit] += row.extra[unit]
        for account, topped_up in self.model.topped_up.items():
            assert extra[account] == topped_up

    @invariant()
    def no_limit_is_passed_but_by_what_calls_cost_beyond_their_holds(self):
        for (account, window), row in self.model.rows.items():
            limits, grace = self.model.accounts[account].limits, self.model.accounts[account].grace
            rows = [row]
            if self.model.accounts[account].rolling:
                rows = [other for (name, at), other in self.model.rows.items() if name == account and _near(at, window)]
            for unit, limit in zip(UNITS, limits, strict=True):
                if limit is not None:
                    allowed = limit + grace[unit] + sum(row.extra[unit] + row.over[unit] for row in rows)
                    assert sum(row.used(unit) for row in rows) <= allowed


def _near(window, first):
    return 0 <= int(window.partition(":")[2]) - int(first.partition(":")[2]) <= SHORTS


LedgerMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestTheLedgerAgainstDictionaries = LedgerMachine.TestCase
