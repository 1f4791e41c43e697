"""Reports write amounts as people expect them."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from inferkit.economics.formatting import count, money, name, period, plural, share
from inferkit.economics.report.report import Period


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "$0.00"),
        (1_234_567_890_000_000, "$1,234,567.89"),
        (-31_200_000_000, "-$31.20"),
        (456_712_300, "$0.46"),
        (995_000_000, "$1.00"),
        (10_000_000, "$0.01"),
        (4_217_000, "$0.0042"),
        (-4_217_000, "-$0.0042"),
        (9_999_999, "$0.01"),
        (1, "$0.000000001"),
        (9 * 10**18 + 5, "$9,000,000,000.00"),
    ],
)
def test_money_is_written_to_the_cent_and_finer_only_below_one(nanos, text):
    assert money(nanos) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.7604"), "76.0 %"),
        (Decimal(1), "100.0 %"),
        (Decimal("-12.3456"), "-1,234.6 %"),
        (Decimal("-0.0001"), "0.0 %"),
        (None, "\N{EN DASH}"),
    ],
)
def test_shares_are_per_cent(value, text):
    assert share(value).replace("\N{NO-BREAK SPACE}", " ") == text


def test_counts_are_readable_and_agree_with_their_noun():
    assert count(1234567) == "1,234,567"
    assert [plural(0, "call"), plural(1, "call"), plural(2345, "call")] == ["0 calls", "1 call", "2,345 calls"]
    assert plural(2, "reply", "replies") == "2 replies"


def test_a_name_from_outside_can_do_nothing_to_a_terminal_or_to_the_direction_of_a_line():
    assert name("Zoë 日本 <b>") == "Zoë 日本 <b>"
    assert name("\x1b[2Jana\u202e\n") == "\\x1b[2Jana\\u202e\\n"
    assert name(None) == "(none)"


@pytest.mark.parametrize(
    ("since", "until", "zone", "text"),
    [
        ("2026-11-01", "2026-12-01", "UTC", "November 2026 (UTC)"),
        ("2026-11-03", "2026-11-10", "UTC", "3 to 9 November 2026 (UTC)"),
        ("2026-11-03", "2026-11-04", "UTC", "3 November 2026 (UTC)"),
        ("2026-10-28", "2026-11-04", "UTC", "28 October to 3 November 2026 (UTC)"),
        ("2025-12-28", "2026-01-04", "UTC", "28 December 2025 to 3 January 2026 (UTC)"),
        ("2026-10-31T23:00", "2026-11-30T23:00", "Europe/Zurich", "November 2026 (Europe/Zurich)"),
        ("2026-11-01", "2026-11-28T09:30", "UTC", "1 November 2026, 00:00 to 28 November 2026, 09:30 (UTC)"),
    ],
)
def test_a_period_is_written_in_days_of_its_zone(since, until, zone, text):
    instants = [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (since, until)]
    assert period(Period(*instants, zone)) == text
