"""Charts show amounts in proportion."""

import xml.etree.ElementTree as ET
from datetime import date, timedelta

import pytest

from inferkit.economics.render.page.charts import columns, paired_bars
from inferkit.economics.render.tables import Pairs
from inferkit.economics.render.timeline import Series, Timeline

DOLLAR = 10**9


def drawn(html):
    return ET.fromstring(html)


def chart(*values, names="ab"):
    starts = tuple(date(2026, 11, 1) + timedelta(days=day) for day in range(len(values[0])))
    series = tuple(Series(name, each) for name, each in zip(names, values, strict=False))
    return drawn(columns(Timeline("day", starts, series), "Cost by day"))


def pairs(rows):
    return paired_bars(Pairs(("Revenue", "Cost"), rows), "Plans")


def axis(most):
    return [text.text for text in chart((most, 0)).iter("text") if text.get("class") == "end"]


def test_parts_of_a_column_stand_on_each_other_and_are_as_high_as_they_are_dear():
    svg = chart((4 * DOLLAR, DOLLAR), (2 * DOLLAR, 0))
    bottom, top = svg.findall("g")[0].findall("rect")
    small = svg.findall("g")[1].find("rect")
    height = float(bottom.get("height"))
    assert float(top.get("height")) == pytest.approx(height / 2, abs=0.02)
    assert float(small.get("height")) == pytest.approx(height / 4, abs=0.02)
    assert float(top.get("y")) + float(top.get("height")) == pytest.approx(float(bottom.get("y")), abs=0.02)
    assert [part.get("class") for part in (bottom, top)] == ["series-1", "series-2"]


def test_a_column_says_its_amounts():
    title = chart((4 * DOLLAR, DOLLAR), (2 * DOLLAR, 0), names=["<a>", "b"]).find("g/title")
    assert title.text == "1 November 2026: $6.00\n<a> $4.00\nb $2.00"


@pytest.mark.parametrize(
    ("most", "labels"),
    [
        (DOLLAR * 19 // 10, ["$0", "$0.50", "$1.00", "$1.50", "$2.00"]),
        (DOLLAR * 20, ["$0", "$5", "$10", "$15", "$20"]),
        (DOLLAR * 1_234_567, ["$0", "$500,000", "$1,000,000", "$1,500,000"]),
        (DOLLAR // 100, ["$0", "$0.002", "$0.004", "$0.006", "$0.008", "$0.010"]),
        (3, ["$0", "$0.000000001", "$0.000000002", "$0.000000003"]),
    ],
)
def test_the_axis_has_round_amounts_that_reach_to_the_most(most, labels):
    assert axis(most) == labels


@pytest.mark.parametrize("most", [1, 7, 10**9, 10**18, *(number * 10**7 + 1 for number in range(1, 100))])
def test_no_column_is_higher_than_the_chart(most):
    svg = chart((most, 0))
    assert float(svg.find("g/rect").get("y")) >= 0
    assert 2 <= len(axis(most)) <= 6


def test_what_is_below_zero_is_not_drawn():
    svg = chart((4 * DOLLAR, -DOLLAR))
    assert len(svg.findall("g")) == 1


def test_pairs_of_bars_are_in_proportion_and_what_is_not_known_has_none():
    svg = drawn(pairs([("pro", 40 * DOLLAR, 10 * DOLLAR), ("gold", None, 0)]))
    widths = [float(rect.get("width")) for rect in svg.iter("rect")]
    assert widths[0] == pytest.approx(4 * widths[1], abs=0.5)
    assert widths[2:] == [0, 0]
    assert [text.text for text in svg.iter("text")] == ["pro", "$40.00", "$10.00", "gold", "not known", "$0.00"]


def test_a_small_amount_beside_a_large_one_can_still_be_seen():
    svg = drawn(pairs([("pro", 10**6 * DOLLAR, 1)]))
    assert [float(rect.get("width")) >= 1 for rect in svg.iter("rect")] == [True, True]


@pytest.mark.parametrize("name", ["a-plan-with-a-name-that-goes-on-and-on", "有名的非常长的计划名称十二三四五"])
def test_a_long_name_is_cut_and_is_whole_in_what_is_said(name):
    svg = drawn(pairs([(name, DOLLAR, DOLLAR)]))
    label = svg.find("g/text").text
    assert label.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert name.startswith(label[:-1])
    assert svg.find("g/title").text == f"{name}: revenue $1.00, cost $1.00"
