"""Grammars of the user's own: read, held to on both engines, and refused where they are none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

import tiny_gguf
from inferkit import Client, InvalidRequest, OpenAIChat
from inferkit.local.gbnf import read_gbnf, write_gbnf
from inferkit.local.grammar import grammar_for
from local_calls import finish

GRAMMARS = {
    "texts": ('root ::= "yes" | "no" | "perhaps"', r"yes|no|perhaps"),
    "a class, and counts": ('root ::= [A-F0-9]{3} "-" [a-c]{0,2} "."?', r"[A-F0-9]{3}-[a-c]{0,2}\.?"),
    "rules, groups and comments": (
        """
        # a list of names
        root ::= "[" (name ("," " "? name)*)? "]"   # may be empty
        name ::= [A-Z] [a-z]{1,3}
        """,
        r"\[([A-Z][a-z]{1,3}(, ?[A-Z][a-z]{1,3})*)?\]",
    ),
    "alternatives over lines": ('root ::= "a" |\n  "b" (\n "c"\n | "d" )\nother ::= "x"', r"a|b(c|d)"),
    "escapes": (r'root ::= "\"\\" [\]\[\x41-\u0042\-] "\t\n"', '"\\\\[\\]\\[A-B-]\t\n'),
    "anything but": (r'root ::= "<" [^<>\n]{1,4} ">"', r"<[^<>\n]{1,4}>"),
    "any sign": ('root ::= . "!" r0 r-1\nr0 ::= "z"{2,2}\nr-1 ::= ""', r"[^\x00]!zz"),
    "at least": ('root ::= ("ab"+ "c"){2,}', r"((ab)+c){2,}"),
}


def lengths(rules, text):
    """Say where a beginning of `text` that follows the rules can end."""

    def item(one, at):
        kind, what = one
        if kind == "rule":
            return any_of(what, at)
        if kind == "text":
            return {at + len(what)} if text.startswith(what, at) else set()
        inside = at < len(text) and any(low <= ord(text[at]) <= high for low, high in what)
        return {at + 1} if at < len(text) and inside == (kind == "chars") else set()

    def any_of(name, at):
        found = set()
        for alternative in rules[name]:
            ends = {at}
            for one in alternative:
                ends = {end for start in ends for end in item(one, start)}
            found |= ends
        return found

    return any_of("root", 0)


@pytest.mark.parametrize("case", GRAMMARS)
@given(data=st.data())
def test_a_grammar_takes_what_its_expression_takes_and_nothing_else(case, data):
    grammar, expression = GRAMMARS[case]
    rules = read_gbnf(grammar)
    text = data.draw(st.from_regex(expression, fullmatch=True))
    assert len(text) in lengths(rules, text)
    changed = data.draw(st.text('abc,[]<>!-"\\ \nAZyeson', max_size=8)) + text[data.draw(st.integers(0, 3)) :]
    assert (len(changed) in lengths(rules, changed)) == bool(re.fullmatch(expression, changed))


@pytest.mark.parametrize("case", GRAMMARS)
def test_what_a_model_writes_keeps_to_the_grammar(start, tmp_path, case):
    grammar, expression = GRAMMARS[case]
    model = start(tiny_gguf.tiny(context=256).write(tmp_path / "m.gguf"))
    for options in ({}, {"temperature": 1.5, "seed": 1}, {"temperature": 1.5, "seed": 2}):
        call = {"prompt": "hello", "grammar": read_gbnf(grammar), "max_tokens": 120, **options}
        reply = finish(model.open(call))
        if reply.end["end"] == "stop" and "\ufffd" not in reply.text:
            assert re.fullmatch(expression, reply.text)
        assert reply.text


@pytest.mark.parametrize("schema", [{"type": "object"}, {"type": "array", "items": {"type": "number"}, "maxItems": 3}])
def test_a_grammar_that_was_written_down_reads_the_same(schema):
    rules = grammar_for(schema)
    assert read_gbnf(write_gbnf(rules)) == rules


def test_a_grammar_is_written_in_the_notation_of_llama_cpp():
    text = write_gbnf({"root": [[["text", 'a"é😀'], ["rule", "r1"]], []], "r1": [[["not", [[0, 31], [92, 92]]]]]})
    assert text == 'root ::= "a\\x22\\xE9\\U0001F600" r1 | ""\nr1 ::= [^\\x00-\\x1F\\x5C]'


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        ('answer ::= "a"', "it has no rule root"),
        ('root ::= "a"\n\nroot ::= "b"', "line 3: there are two rules root"),
        ('root ::= "a" other\nx ::= missing', "line 1: there is no rule other"),
        ('root ::= "a', 'line 1: " is missing at the end'),
        ('root ::= "a"\nx ::= [a-', "line 2: ] is missing"),
        ("root ::= [z-a]", "line 1: a range of characters ends before it begins"),
        ("root ::= []", "line 1: a class of characters is empty"),
        ('root ::= ("a" | "b"', r"line 1: a group is not closed; \) is missing"),
        ('root ::= "a")', r"line 1: '\)' is not expected here"),
        ('root := "a"', "line 1: ::= is missing after the rule's name root"),
        ('root ::= "a"\n= "b"', "line 2: a rule begins with its name"),
        ('root ::= "a"{2,1}', "line 1: a repetition's lower bound is above its upper one"),
        ('root ::= "a"{1001}', "line 1: a repetition is of 1000 times at most"),
        ('root ::= "a"{x}', r"line 1: a repetition is \{2\}, \{2,\} or \{2,5\}"),
        (r'root ::= "\q"', r"line 1: \\q is no character"),
        (r'root ::= "\u12"', r"line 1: \\u is no character"),
        (r'root ::= "\U00110000"', "line 1: the last character is"),
        ("root ::= <think> [a-z]", "line 1: tokens by their name or number"),
        ('root ::= root "a" | "b"', "a rule begins with itself"),
        ('root ::= x* root "a"\nx ::= "b"', "a rule begins with itself"),
        ("root ::= " + "(" * 200 + '"a"' + ")" * 200, "line 1: groups are nested too deep"),
        ("root ::= " + "([a-z]{0,1000}){0,1000}" * 30, "line 1: it comes to too many rules"),
        ("#" * (1 << 19), "it is over 256 KiB"),
    ],
)
def test_what_is_no_grammar_is_refused_with_its_line(grammar, reason):
    with pytest.raises(InvalidRequest, match=reason) as caught:
        read_gbnf(grammar)
    assert caught.value.code == "grammar"


@given(st.text('root ::=x"[]()|*+?{},2-9^.\\\n#<', max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        rules = read_gbnf('root ::= "a"\n' + text)
    except InvalidRequest:
        return
    assert "root" in rules


def test_a_call_names_its_grammar_and_others_refuse_it():
    own = OpenAIChat(base_url="http://127.0.0.1:9/v1", api_key="none", name="other")
    models = {"fast": "local", "far": "other:m"}
    with Client(models=models, providers={"other": own}, ledger=False, cache=False) as llm:
        reply = llm.complete("fast", "Where is my parcel?", grammar='root ::= "yes" | "no"')
        assert reply.text in ("yes", "no")
        with pytest.raises(InvalidRequest, match="other does not take a grammar=; leave it out, or name another model"):
            llm.complete("far", "Where is my parcel?", grammar='root ::= "yes"')
        with pytest.raises(InvalidRequest, match="to a schema= or to a grammar=, and not to both"):
            llm.complete("fast", "Where?", grammar='root ::= "yes"', schema={"type": "object"})
        with pytest.raises(InvalidRequest, match="line 1: there is no rule x"):
            llm.complete("fast", "Where?", grammar="root ::= x")
