"""Reports made up for the tests of how they are shown."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from inferkit import Budget
from inferkit.economics.report.report import Cell, Period, Report, Sums
from inferkit.economics.report.revenue import Customer
from inferkit.economics.report.waste import Savings, Waste
from inferkit.plans.plan import Plan

START = datetime(2026, 11, 1, tzinfo=UTC)
DOLLAR = 10**9
PLANS = (
    Plan("free", allowance=Budget(usd="0.5")),
    Plan("pro", price="20", target_margin="0.7"),
    Plan("team", price="30", per_seat=True, allowance="unlimited"),
)


def report(calls=(), *, revenue=(), days=30, plans=PLANS, start=START, zone="UTC", **fields):
    """Make a report of calls (user, plan, model, day, nano-dollars) and of revenue (user, plan, nano-dollars)."""
    cells, costs = defaultdict(Sums), defaultdict(lambda: defaultdict(int))
    for user, plan, model, day, usd in calls:
        cell = Cell(Customer(user), user, None, plan, "answer", model)
        of_it = cells[cell]
        cells[cell] = Sums(of_it.calls + 1, of_it.input_tokens + 100, of_it.output_tokens + 20, of_it.cost + usd)
        costs[(start + timedelta(days=day)).date().isoformat()][model] += usd
    for user, plan, usd in revenue:
        mine = [cell for cell in cells if cell.customer.user == user]
        cells[mine[0] if mine else Cell(Customer(user), user, None, plan, None, None)].revenue += usd
    given = {"savings": Savings(), "waste": Waste(), "refused": {}, **fields}
    period = Period(start, start + timedelta(days=days), zone)
    return Report(period, dict(cells), dict(costs), plans={plan.name: plan for plan in plans}, **given)
