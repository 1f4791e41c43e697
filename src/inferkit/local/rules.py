"""The rules of a grammar, as both engines follow them.

A grammar is a dictionary of rules. A rule is a list of alternatives, each a list of items: `["text", "true"]`,
`["chars", [[97, 122]]]` for one character of some ranges of code points, `["not", [[0, 31]]]` for one of none of them,
and `["rule", name]`. It travels to the worker as JSON. The rule that a reply follows is called "root".
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeAlias

__all__ = ["RULES_LIMIT", "Item", "RuleBook", "Rules", "begins_with_itself"]

Item: TypeAlias = list[Any]
Rules: TypeAlias = dict[str, list[list[Item]]]

RULES_LIMIT = 20_000
"""Rules of a grammar at most: more take longer to follow than a model to write."""


class RuleBook:
    """Rules that are being made."""

    def __init__(self) -> None:
        self.rules: Rules = {}

    def new_name(self) -> str:
        """Give a name that no rule has. Raises `OverflowError` where there are too many."""
        if len(self.rules) > RULES_LIMIT:
            raise OverflowError
        return f"r{len(self.rules)}"

    def rule(self, *alternatives: list[Item]) -> Item:
        """Add a rule and give the item that stands for it."""
        name = self.new_name()
        self.rules[name] = list(alternatives)
        return ["rule", name]

    def times(self, item: Item, least: int, most: int | None) -> Item:
        """Give an item that stands for another one from `least` to `most` times (None: any number)."""
        if most is None:
            name = self.new_name()
            self.rules[name] = [[item, ["rule", name]], []]
            tail: Item = ["rule", name]
        else:
            tail = self.rule([])
            for _ in range(most - least):
                tail = self.rule([item, tail], [])
        return self.rule([*[item] * least, tail])


def begins_with_itself(rules: Rules) -> bool:
    """Whether a rule can begin with itself, which no engine could follow."""
    empty: set[str] = set()
    while True:
        found = {
            name
            for name, alternatives in rules.items()
            if any(all(item[0] == "rule" and item[1] in empty for item in one) for one in alternatives)
        }
        if found == empty:
            break
        empty = found
    begins: dict[str, set[str]] = {}
    for name, alternatives in rules.items():
        firsts = begins[name] = set()
        for one in alternatives:
            for item in one:
                if item[0] != "rule":
                    break
                firsts.add(item[1])
                if item[1] not in empty:
                    break
    try:
        TopologicalSorter(begins).prepare()
    except CycleError:
        return True
    return False
