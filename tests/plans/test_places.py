"""Where things stand in TOML files of all shapes: by examples, and by any document that can be made up."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given, settings, strategies as st

from inferkit.plans.places import Places

ALL_SHAPES = '''# a comment [not.a.table]
plain = 1
"quoted key" . 'other'.bare = "no ] } # end" # a comment
list = [ 1, 2, # in between ]
  [ "x", {k.l = 1, 'm' = [3]} ], 1979-05-27 07:32:00 ]
text = """
[nothing]
x = "quoted"""" # four of them
raw = \'\'\'a'
b\'\'\'
inline = { p = 1, q.r = { s = [true] } }
[t.below]
v = 1
[ t ] # said after what is in it
w = -2.5e3
[[many]]
x = 1
[many.sub]
y = 2
  [[many]]
x = 3
[[many.deep]]
z = 4
[[ many . deep ]]
z = 5
["caf\\u00e9"]
z.y = 1
\tz.x = 1
'''


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("plain",), (2, 1), (2, 9)),
        (("quoted key", "other", "bare"), (3, 24), (3, 31)),
        (("list", 1), (4, 13), (4, 13)),
        (("list", 2, 1, "k", "l"), (5, 13), (5, 17)),
        (("list", 2, 1, "m", 0), (5, 27), (5, 27)),
        (("list", 3), (5, 34), (5, 34)),
        (("text",), (6, 1), (6, 8)),
        (("raw",), (9, 1), (9, 7)),
        (("inline", "q", "r", "s", 0), (11, 32), (11, 32)),
        (("t",), (14, 1), (14, 1)),
        (("t", "below", "v"), (13, 1), (13, 5)),
        (("many", 0, "sub"), (18, 1), (18, 1)),
        (("many", 1, "x"), (21, 1), (21, 5)),
        (("many", 1, "deep", 1, "z"), (25, 1), (25, 5)),
        (("café", "z", "y"), (27, 3), (27, 7)),
        (("café", "z", "x"), (28, 4), (28, 8)),
        (("many", 1, "deep", 0, "missing"), (22, 1), (22, 1)),  # the table that it would stand in
        (("missing", "altogether"), (1, 1), (1, 1)),
        ((), (1, 1), (1, 1)),
    ],
)
def test_everything_is_found_where_it_stands(path, key, value):
    tomllib.loads(ALL_SHAPES)
    places = Places(ALL_SHAPES)
    assert (places.of(path), places.value_of(path)) == (key, value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_may_end_in_both_ways(end):
    places = Places(ALL_SHAPES.replace("\n", end))
    assert places.of(("many", 1, "deep", 1, "z")) == (25, 1)


def test_what_is_nested_beyond_reason_is_where_it_begins():
    text = f"a = 1\nb = {'[' * 5000}1{']' * 5000}\n"
    assert Places(text).of(("b", *([0] * 4999))).line == 2


KEYS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cc"]), max_size=4) | st.from_regex(
    r"[A-Za-z0-9_-]{1,4}", fullmatch=True
)
LEAVES = st.integers(-9, 9) | st.booleans() | st.text(st.sampled_from("ab ]}[{#=,.'é"), max_size=6)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


def written(key):
    return key if key and all(c.isascii() and (c.isalnum() or c in "_-") for c in key) else json.dumps(key)


def as_value(value, gap):
    if isinstance(value, dict):
        inner = f"{gap},{gap}".join(f"{written(k)}{gap}={gap}{as_value(v, gap)}" for k, v in value.items())
        return f"{{{gap}{inner}{gap}}}"
    if isinstance(value, list):
        return f"[{gap}{f'{gap},{gap}'.join(as_value(each, gap) for each in value)}{gap}]"
    return json.dumps(value)


def as_tables(table, path, gap):
    """Write what can be a table of its own as one, and lists of tables as lists of tables."""
    simple = {k: v for k, v in table.items() if not isinstance(v, dict) and not is_tables(v)}
    yield from (f"{gap}{written(k)}{gap}={gap}{as_value(v, gap)}{gap}# x = 1" for k, v in simple.items())
    for key, value in table.items():
        name = ".".join(map(written, (*path, key)))
        for each in value if is_tables(value) else [value] if isinstance(value, dict) else []:
            yield f"[[{name}]]" if is_tables(value) else f"{gap}[{gap}{name}{gap}]"
            yield from as_tables(each, (*path, key), gap)


def is_tables(value):
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def leaves(value, path=()):
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(each, (*path, key))
    else:
        yield path, value


@settings(max_examples=60)
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.sampled_from(["", " ", "\t"]))
def test_in_any_document_every_value_is_written_where_it_is_said_to_stand(table, gap):
    text = "\n".join(as_tables(table, (), gap)) + "\n"
    assert tomllib.loads(text) == table
    lines, places = text.split("\n"), Places(text)
    for path, value in leaves(table):
        line, column = places.value_of(path)
        assert lines[line - 1][column - 1 :].startswith(json.dumps(value))
        if isinstance(path[-1], str):
            line, column = places.of(path)
            assert lines[line - 1][column - 1 :].startswith(written(path[-1]))
