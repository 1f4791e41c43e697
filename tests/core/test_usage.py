"""What several attempts took adds up, and what only one of them reported is no sum."""

import pytest

from inferkit.core.usage import NO_DETAILS, Usage, UsageDetails


def test_details_add_up_and_the_later_way_holds():
    one = UsageDetails(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, (("a", 1), ("b", 2)), "flex", "fast", None, 10)
    other = UsageDetails(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, (("b", 3), ("c", 4)), None, "slow", "eu", 5)
    both = (Usage(1, 1, details=one) + Usage(1, 1, details=other)).details
    assert both == UsageDetails(
        2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, (("a", 1), ("b", 5), ("c", 4)), None, "slow", "eu", 15
    )


REPORTED = Usage(1, 1, details=UsageDetails(reported_nanos=5))


@pytest.mark.parametrize(
    ("attempts", "reported"),
    [
        ([REPORTED, REPORTED], 10),
        ([Usage(), REPORTED], 5),
        ([REPORTED, Usage()], 5),
        ([Usage(1, 0), REPORTED], None),
        ([REPORTED, Usage(1, 0), REPORTED], None),
    ],
)
def test_a_sum_of_reports_is_known_where_all_that_took_something_reported(attempts, reported):
    total = Usage()
    for attempt in attempts:
        total += attempt
    assert total.details.reported_nanos == reported


def test_plain_usages_have_plain_sums():
    assert (Usage(1, 2) + Usage(3, 4)).details is NO_DETAILS
