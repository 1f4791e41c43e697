"""A month is a month, and a day ends at midnight where the user lives."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from inferkit._errors import ConfigurationError
from inferkit.budgets.windows import current_window, window, zone_named

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "America/St_Johns"]


def at(text, zone="UTC"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def local(moment, zone):
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat(" ", "minutes")


@pytest.mark.parametrize(
    ("per", "moment", "anchor", "start", "end"),
    [
        ("month", "2026-01-31 23:59", 1, "2026-01-01", "2026-02-01"),
        ("month", "2026-02-01 00:00", 1, "2026-02-01", "2026-03-01"),
        ("month", "2026-12-15 00:00", 1, "2026-12-01", "2027-01-01"),
        ("month", "2026-02-27 12:00", 31, "2026-01-31", "2026-02-28"),
        ("month", "2026-02-28 00:00", 31, "2026-02-28", "2026-03-31"),
        ("month", "2028-02-28 12:00", 31, "2028-01-31", "2028-02-29"),
        ("month", "2028-02-29 00:00", 30, "2028-02-29", "2028-03-30"),
        ("month", "2026-04-30 08:00", 31, "2026-04-30", "2026-05-31"),
        ("month", "2026-01-14 23:59", 15, "2025-12-15", "2026-01-15"),
        ("month", "2026-12-31 00:00", 31, "2026-12-31", "2027-01-31"),
        ("day", "2028-02-29 05:00", 1, "2028-02-29", "2028-03-01"),
        ("week", "2026-11-22 23:59", 1, "2026-11-16", "2026-11-23"),
        ("week", "2026-11-23 00:00", 1, "2026-11-23", "2026-11-30"),
        ("year", "2028-12-31 23:59", 1, "2028-01-01", "2029-01-01"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_calendar_periods(per, moment, anchor, start, end, zone):  # noqa: PLR0917 - a table
    found = window(per, at(moment, zone), zone, anchor)
    assert (local(found.start, zone), local(found.end, zone)) == (f"{start} 00:00", f"{end} 00:00")
    assert found.label == f"{per}:{start}"


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("America/Havana", "2026-03-08", 23),  # midnight itself is skipped
        ("America/Havana", "2026-11-01", 25),  # midnight comes twice
        ("Asia/Tokyo", "2026-03-29", 24),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(zone, day, hours):
    found = window("day", at(f"{day} 12:00", zone), zone)
    assert found.end - found.start == timedelta(hours=hours)
    assert found.label == f"day:{day}"


def test_a_day_whose_midnight_is_skipped_begins_when_the_clocks_change():
    found = window("day", at("2026-03-08 12:00", "America/Havana"), "America/Havana")
    assert local(found.start, "America/Havana") == "2026-03-08 01:00"


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


@given(
    st.sampled_from(["hour", "day", "week", "month", "year"]),
    st.integers(1_000_000_000, 2_500_000_000),
    st.sampled_from(ZONES),
    st.integers(1, 31),
)
def test_windows_tile_time(per, moment, zone, anchor):
    found = window(per, moment, zone, anchor)
    start, end = found.start.timestamp(), found.end.timestamp()
    assert start <= moment < end
    assert window(per, start, zone, anchor) == found
    assert window(per, end - 1, zone, anchor) == found
    following = window(per, end, zone, anchor)
    assert (following.start, following.label != found.label) == (found.end, True)


def test_the_remembered_window_is_left_when_it_ends():
    before, after = at("2026-11-30 23:59:59"), at("2026-12-01 00:00")
    assert current_window("month", before, "UTC", 1).label == "month:2026-11-01"
    assert current_window("month", before, "UTC", 1) is current_window("month", before - 10, "UTC", 1)
    assert current_window("month", after, "UTC", 1).label == "month:2026-12-01"
    assert current_window("month", before, "UTC", 1).label == "month:2026-11-01"
    assert current_window("total", after, "UTC", 1).label == "total"


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "Europe/berlin?", 5])
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(ConfigurationError, match="IANA"):
        zone_named(name)
