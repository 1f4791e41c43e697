"""Processes leave each other notices: the latest of each teller, for as long as it is worth something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inferkit.ledger.notices import MOST_NOTICES, Notice
from inferkit.ledger.protocols import Noticeboard

if TYPE_CHECKING:
    from inferkit.ledger.protocols import Store

__all__ = ["NoticesContract"]


class NoticesContract:
    """Part of `LedgerContract`, for stores that are a `Noticeboard`, too."""

    @pytest.fixture
    def board(self, store: Store) -> Noticeboard:
        if not isinstance(store, Noticeboard):
            pytest.skip("this store has no room for notices")
        return store

    def test_each_teller_has_its_latest_notice_up_and_hears_the_others(self, board: Noticeboard) -> None:
        first, second = _notice("a", "1"), _notice("b", "2")
        assert _put(board, "a", first) == []
        assert _put(board, "b", second) == [first]
        assert _put(board, "a", first._replace(facts="3"), second._replace(teller="a", name="other")) == [second]
        heard, mark = board.exchange([], teller="b", since=0, at=10, patience=1)
        assert sorted(one.facts for one in heard) == ["2", "3"]
        assert all(one.teller == "a" for one in heard)
        assert board.exchange([], teller="b", since=mark, at=10, patience=1) == ([], mark)

    def test_what_was_heard_is_not_told_again_and_what_is_changed_is(self, board: Noticeboard) -> None:
        _put(board, "a", _notice("a", "1"), _notice("a", "2", name="other"))
        _, mark = board.exchange([], teller="b", since=0, at=10, patience=1)
        _put(board, "a", _notice("a", "3"))
        heard, mark = board.exchange([], teller="b", since=mark, at=10, patience=1)
        assert [one.facts for one in heard] == ["3"]

    def test_what_is_over_or_from_a_time_to_come_is_not_told(self, board: Noticeboard) -> None:
        _put(board, "a", _notice("a", "1", until=20.0), _notice("a", "2", name="other", until=21.0))
        _put(board, "c", _notice("c", "3", at=1000.0, until=2000.0))
        heard, _ = board.exchange([], teller="b", since=0, at=20, patience=1)
        assert [one.facts for one in heard] == ["2"]

    def test_there_are_never_too_many(self, board: Noticeboard) -> None:
        for part in range(3):
            many = [_notice("a", "1", name=f"{part} {each}") for each in range(MOST_NOTICES // 2)]
            board.exchange(many, teller="a", since=0, at=10 + 100 * part, patience=1)
        heard, _ = board.exchange([], teller="b", since=0, at=300, patience=1)
        assert len(heard) <= MOST_NOTICES
        assert {one.name.partition(" ")[0] for one in heard} >= {"2"}


def _notice(teller: str, facts: str, *, name: str = "m", at: float = 10.0, until: float = 1000.0) -> Notice:
    return Notice(teller, "health", name, at, until, facts)


def _put(board: Noticeboard, teller: str, *notices: Notice) -> list[Notice]:
    return board.exchange(notices, teller=teller, since=0, at=10, patience=1)[0]
