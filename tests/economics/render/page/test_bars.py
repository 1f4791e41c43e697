"""Bars in a table start where zero is."""

import re

import pytest

from economics.render.page.made_reports import report
from economics.render.page.pages import Page
from inferkit.economics.render import Section, Table, render_page


def bars(*values):
    table = Table(("Name",), [("a",)] * len(values), bars=values)
    html = render_page(report(), what_if=[Section("t", table=table)])
    return re.findall(r'class="bar-(above|below)-zero" x="([\d.]+)" width="([\d.]+)"', html)


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ((4, 1), [("above", "0.00", "100.00"), ("above", "0.00", "25.00")]),
        ((-4, -1), [("below", "0.00", "100.00"), ("below", "0.00", "25.00")]),
        ((3, -1), [("above", "25.00", "75.00"), ("below", "0.00", "25.00")]),
        ((4, None, 0), [("above", "0.00", "100.00")]),
        ((0, None), []),
    ],
)
def test_a_bar_is_as_long_as_its_value_and_goes_the_other_way_below_zero(values, drawn):
    assert bars(*values) == drawn


def test_an_empty_section_is_its_title():
    page = Page(render_page(report(), what_if=[Section("What if")]))
    assert page.text.count("What if") == 1
    assert not page.tables
