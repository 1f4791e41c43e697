"""A month is a month, and a day ends at midnight where the user lives."""

import contextlib
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st

from inferkit.budgets.budget import Budget
from inferkit.budgets.scope import Scope
from inferkit.budgets.windows import rolling_end, rolling_window, window, zone_named
from inferkit.core.errors import ConfigurationError
from inferkit.ledger.amounts import Amounts, Grant
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite.ledger import SqliteLedger

ZONES = [
    "UTC", "Europe/Berlin", "Europe/Zurich", "America/New_York", "America/Havana", "America/St_Johns",
    "America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia",
]  # fmt: skip


def at(text, zone="UTC"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def local(moment, zone):
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat(" ", "minutes")


@pytest.mark.parametrize(
    ("per", "moment", "anchor", "start", "end"),
    [
        # months of 31, 28, 29 and 30 days, at their last minute and at the first of the next
        ("month", "2026-01-31 23:59", 1, "2026-01-01", "2026-02-01"),
        ("month", "2026-02-01 00:00", 1, "2026-02-01", "2026-03-01"),
        ("month", "2026-02-28 23:59", 1, "2026-02-01", "2026-03-01"),
        ("month", "2026-03-01 00:00", 1, "2026-03-01", "2026-04-01"),
        ("month", "2028-02-29 23:59", 1, "2028-02-01", "2028-03-01"),
        ("month", "2028-03-01 00:00", 1, "2028-03-01", "2028-04-01"),
        ("month", "2026-04-30 23:59", 1, "2026-04-01", "2026-05-01"),
        ("month", "2026-05-01 00:00", 1, "2026-05-01", "2026-06-01"),
        ("month", "2026-12-31 23:59", 1, "2026-12-01", "2027-01-01"),
        ("month", "2027-01-01 00:00", 1, "2027-01-01", "2027-02-01"),
        # a century is a leap year only every fourth time
        ("month", "2000-02-29 12:00", 1, "2000-02-01", "2000-03-01"),
        ("day", "2000-02-28 23:59", 1, "2000-02-28", "2000-02-29"),
        ("day", "2000-02-29 00:00", 1, "2000-02-29", "2000-03-01"),
        ("day", "2100-02-28 23:59", 1, "2100-02-28", "2100-03-01"),
        ("month", "2000-02-29 00:00", 31, "2000-02-29", "2000-03-31"),
        ("month", "2100-02-28 00:00", 29, "2100-02-28", "2100-03-29"),
        ("year", "2000-12-31 23:59", 1, "2000-01-01", "2001-01-01"),
        # anchored months
        ("month", "2026-02-27 12:00", 31, "2026-01-31", "2026-02-28"),
        ("month", "2026-02-28 00:00", 31, "2026-02-28", "2026-03-31"),
        ("month", "2028-02-28 12:00", 31, "2028-01-31", "2028-02-29"),
        ("month", "2028-02-29 00:00", 30, "2028-02-29", "2028-03-30"),
        ("month", "2026-04-30 08:00", 31, "2026-04-30", "2026-05-31"),
        ("month", "2026-01-14 23:59", 15, "2025-12-15", "2026-01-15"),
        ("month", "2026-12-31 00:00", 31, "2026-12-31", "2027-01-31"),
        ("day", "2028-02-29 05:00", 1, "2028-02-29", "2028-03-01"),
        ("day", "2026-12-31 23:59", 1, "2026-12-31", "2027-01-01"),
        # weeks begin on Mondays, also where the year ends in between
        ("week", "2026-11-22 23:59", 1, "2026-11-16", "2026-11-23"),
        ("week", "2026-11-23 00:00", 1, "2026-11-23", "2026-11-30"),
        ("week", "2026-12-31 23:59", 1, "2026-12-28", "2027-01-04"),
        ("week", "2027-01-03 23:59", 1, "2026-12-28", "2027-01-04"),
        ("week", "2027-01-04 00:00", 1, "2027-01-04", "2027-01-11"),
        ("week", "2028-02-29 12:00", 1, "2028-02-28", "2028-03-06"),
        ("year", "2026-12-31 23:59", 1, "2026-01-01", "2027-01-01"),
        ("year", "2027-01-01 00:00", 1, "2027-01-01", "2028-01-01"),
        ("year", "2028-12-31 23:59", 1, "2028-01-01", "2029-01-01"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_calendar_periods(per, moment, anchor, start, end, zone):  # noqa: PLR0917 - a table
    found = window(per, at(moment, zone), zone, anchor)
    assert (local(found.start, zone), local(found.end, zone)) == (f"{start} 00:00", f"{end} 00:00")
    assert found.label == f"{per}:{start}"


@pytest.mark.parametrize(
    ("year", "anchor", "days"),
    [
        (2026, 29, [29, 28, 29, 29, 29, 29, 29, 29, 29, 29, 29, 29]),
        (2028, 29, [29] * 12),
        (2026, 30, [30, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30]),
        (2028, 30, [30, 29, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30]),
        (2026, 31, [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]),
        (2028, 31, [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]),
        (2000, 31, [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]),
        (2100, 31, [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]),
    ],
)
def test_a_month_begins_on_its_anchor_day_or_on_the_last_day_of_a_shorter_one(year, anchor, days):
    starts = [f"{year}-{month:02}-{day:02}" for month, day in enumerate(days, 1)]
    starts.append(f"{year + 1}-01-{anchor}")
    zone = "Europe/Zurich"
    for start, end in pairwise(starts):
        found = window("month", at(f"{start} 00:00", zone), zone, anchor)
        assert (found.label, local(found.end, zone)) == (f"month:{start}", f"{end} 00:00")
        assert window("month", at(f"{end} 00:00", zone) - 1, zone, anchor) == found


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Zurich", "2026-03-29", 23),
        ("Europe/Zurich", "2026-10-25", 25),
        ("Europe/Zurich", "2026-10-26", 24),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("America/Havana", "2026-03-08", 23),  # midnight itself is skipped
        ("America/Havana", "2026-11-01", 25),  # midnight comes twice
        ("America/Sao_Paulo", "2018-11-04", 23),  # midnight is skipped
        ("America/Sao_Paulo", "2018-02-17", 25),  # at midnight, its last hour comes once more
        ("Asia/Beirut", "2024-03-31", 23),
        ("Asia/Beirut", "2024-10-26", 25),
        ("Africa/Cairo", "2024-04-26", 23),
        ("Africa/Cairo", "2024-10-31", 25),
        ("Asia/Tokyo", "2026-03-29", 24),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(zone, day, hours):
    found = window("day", at(f"{day} 12:00", zone), zone)
    assert found.end - found.start == timedelta(hours=hours)
    assert found.label == f"day:{day}"


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("America/Havana", "2026-03-08"),
        ("America/Sao_Paulo", "2018-11-04"),
        ("Asia/Beirut", "2024-03-31"),
        ("Africa/Cairo", "2024-04-26"),
    ],
)
def test_a_day_whose_midnight_is_skipped_begins_when_the_clocks_change(zone, day):
    found = window("day", at(f"{day} 12:00", zone), zone)
    assert local(found.start, zone) == f"{day} 01:00"
    assert window("day", found.start.timestamp() - 1, zone).end == found.start


@pytest.mark.parametrize(
    ("per", "anchor", "before", "after", "length"),
    [
        ("day", 1, "2011-12-29", "2011-12-31", 1),
        ("week", 1, "2011-12-26", "2011-12-26", 6),
        ("month", 1, "2011-12-01", "2011-12-01", 30),
        ("month", 30, "2011-11-30", "2011-12-30", 30),
        ("month", 31, "2011-11-30", "2011-12-31", 31),
        ("year", 1, "2011-01-01", "2011-01-01", 364),
    ],
)
def test_a_day_that_a_zone_leaves_out_is_no_period(per, anchor, before, after, length):
    """Samoa went to the other side of the date line: 29 December 2011 was followed by the 31st."""
    zone = "Pacific/Apia"
    change = at("2011-12-30 10:00")
    assert window(per, change - 1, zone, anchor).label == f"{per}:{before}"
    found = window(per, change, zone, anchor)
    assert (found.label, found.end - found.start) == (f"{per}:{after}", timedelta(days=length))


def test_a_day_that_the_clocks_show_again_stays_over():
    # St. John's set its clocks back at 00:01, to 23:01 of the day before
    zone = "America/St_Johns"
    midnight = window("day", at("2009-11-01 12:00", zone), zone).start
    again = midnight.timestamp() + 120
    assert local(datetime.fromtimestamp(again, UTC), zone).startswith("2009-10-31 23:02")
    assert window("day", again, zone).label == "day:2009-11-01"


def test_an_hour_is_an_hour_of_utc():
    found = window("hour", at("2026-11-23 05:59:59"), "Asia/Kolkata")
    assert (found.label, found.end - found.start) == ("hour:2026-11-23T05Z", timedelta(hours=1))


@pytest.mark.parametrize("per", ["call", "total"])
def test_what_has_no_period_has_no_bounds(per):
    found = window(per, at("2026-11-23 05:59"))
    assert (found.label, found.start, found.end) == (per, None, None)


PERIODS = st.sampled_from(["hour", "day", "week", "month", "year"])
INSTANTS = st.integers(0, 4_000_000_000) | st.integers(1_325_000_000, 1_326_000_000)  # until 2096; the end of 2011

PAIRS = st.tuples(INSTANTS, INSTANTS) | st.tuples(INSTANTS, st.integers(0, 200_000)).map(lambda two: (two[0], sum(two)))


@settings(max_examples=300)
@given(PERIODS, INSTANTS, st.sampled_from(ZONES), st.integers(1, 31))
def test_windows_tile_time(per, moment, zone, anchor):
    found = window(per, moment, zone, anchor)
    start, end = found.start.timestamp(), found.end.timestamp()
    assert start <= moment < end
    assert window(per, start, zone, anchor) == found
    assert window(per, end - 1, zone, anchor) == found
    assert window(per, end, zone, anchor).start == found.end
    assert window(per, start - 1, zone, anchor).end == found.start


@settings(max_examples=300)
@given(PERIODS, PAIRS, st.sampled_from(ZONES), st.integers(1, 31))
def test_labels_sort_as_time_does(per, moments, zone, anchor):
    one, other = (window(per, each, zone, anchor) for each in moments)
    assert (one.label < other.label) == (one.start < other.start)
    assert (one.label == other.label) == (one == other)


@given(st.integers(1_000_000_000, 4_000_000_000), st.integers(60, 10_000_000))
def test_a_rolling_window_counts_what_was_spent_within_its_length_and_little_more(moment, seconds):
    length = timedelta(seconds=seconds)
    now, oldest = rolling_window(length, moment)
    assert oldest <= rolling_window(length, moment - seconds + 0.001)[0].label < now.label
    assert rolling_window(length, moment - seconds * 61 / 60 - 0.001)[0].label < oldest
    late = rolling_end(length, oldest).timestamp() - moment  # told in full seconds
    assert 0 <= late < seconds / 60 + 1.001


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


class Spender:
    """Asks a budget for one call at a time, at instants that a clock shows."""

    def __init__(self, ledger, budget):
        self.ledger, self.scope = ledger, Scope(budget)
        self.asked = 0

    def spend(self, moment, calls):
        """Say how many of so many calls are granted."""
        granted = 0
        for _ in range(calls):
            self.asked += 1
            call, line = f"call-{self.asked}", self.scope.line(moment)
            answer = self.ledger.reserve(call, [line], ONE, ONE, at=moment, lease_seconds=60)
            if isinstance(answer, Grant):
                self.ledger.settle(call, Charge(0), at=moment)
                granted += 1
        return granted


ONE = Amounts(calls=1)
NOON = at("2026-11-30 12:00", "Europe/Zurich")
STEPS = {  # a step back within the period, and on to the next
    "hour": (timedelta(minutes=5), timedelta(hours=1)),
    "day": (timedelta(hours=6), timedelta(days=1)),
    "week": (timedelta(hours=6), timedelta(days=7)),
    "month": (timedelta(days=20), timedelta(days=1)),
    "year": (timedelta(days=300), timedelta(days=40)),
}


@pytest.mark.parametrize("per", STEPS)
def test_a_clock_that_steps_back_regains_nothing(ledger, per):
    spender = Spender(ledger, Budget(calls=5, per=per, zone="Europe/Zurich", name="all"))
    within, across = (step.total_seconds() for step in STEPS[per])
    now = NOON + 300
    assert spender.spend(now, 3) == 3
    assert spender.spend(now - within, 4) == 2  # what was left, and no more
    assert spender.spend(now, 1) == 0
    assert spender.spend(now + across, 2) == 2
    assert spender.spend(now, 1) == 0  # back in the period before, which is still used up
    assert spender.spend(now - within, 1) == 0
    assert spender.spend(now + across, 5) == 3


@pytest.mark.parametrize("back", [1, 60, 1800, 3600, 7200, 86_400])
def test_a_clock_that_steps_back_regains_nothing_in_a_rolling_window(ledger, back):
    spender = Spender(ledger, Budget(calls=5, per=timedelta(hours=1), name="all"))
    assert spender.spend(NOON, 5) == 5
    assert spender.spend(NOON - back, 1) == 0
    assert spender.spend(NOON, 1) == 0


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Zurich", "2026-10-25 01:00"),
        ("America/New_York", "2026-11-01 06:00"),
        ("Australia/Lord_Howe", "2026-04-04 15:00"),
        ("America/Havana", "2026-11-01 05:00"),  # 01:00 becomes midnight
        ("America/Sao_Paulo", "2018-02-18 02:00"),  # midnight becomes 23:00
        ("Asia/Beirut", "2024-10-26 21:00"),
        ("Africa/Cairo", "2024-10-31 21:00"),
        ("America/St_Johns", "2009-11-01 02:31"),  # 00:01 becomes 23:01 of the day before
    ],
)
def test_an_hour_that_the_clocks_show_twice_opens_no_fresh_room(ledger, zone, change):
    spender = Spender(ledger, Budget(calls=5, per="day", zone=zone, name="all"))
    moment = at(change)
    assert local(datetime.fromtimestamp(moment, UTC), zone) < local(datetime.fromtimestamp(moment - 1, UTC), zone)
    assert spender.spend(moment - 30, 5) == 5
    assert spender.spend(moment + 30, 1) == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6 * 24), st.integers(1, 6)), min_size=1, max_size=12), st.booleans())
def test_however_the_clock_steps_no_day_has_more_than_its_limit(steps, rolls_over):
    """With rollover a day may use what days before it left, and all days together no more than their limits."""
    spent = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(SqliteLedger(f"{folder}/ledger.db")) as ledger:
        spender = Spender(ledger, Budget(calls=5, per="day", rollover=int(rolls_over), name="all"))
        for hours, calls in steps:
            moment = NOON + hours * 3600
            day = datetime.fromtimestamp(moment, UTC).date()
            spent[day] = spent.get(day, 0) + spender.spend(moment, calls)
    if not rolls_over:
        assert max(spent.values()) <= 5
    assert sum(spent.values()) <= 5 * ((max(spent) - min(spent)).days + 1)


def test_a_window_is_worked_out_once_and_left_when_it_ends(monkeypatch):
    made = []

    def counted(*args):
        made.append(args)
        return window(*args)

    monkeypatch.setattr("inferkit.budgets.budget.window", counted)
    before, after = at("2031-11-30 23:59:59"), at("2031-12-01 00:00")
    month = Budget(usd="1", per="month", name="all")
    labels = [month.line("all", moment).window for moment in (before, before - 10, after, before)]
    assert labels == ["month:2031-11-01", "month:2031-11-01", "month:2031-12-01", "month:2031-11-01"]
    assert len(made) == 3
    assert Budget(usd="1", per="total", name="all").line("all", after).window == "total"


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "Europe/berlin?", 5])
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(ConfigurationError, match="IANA"):
        zone_named(name)
