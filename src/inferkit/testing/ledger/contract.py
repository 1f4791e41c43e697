"""Everything that a store of the ledger promises: by example, under interrupts, and against a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inferkit.ledger.ledger import Ledger
from inferkit.testing.ledger.accounts import AccountsContract
from inferkit.testing.ledger.journal import JournalContract
from inferkit.testing.ledger.leaving import LeavingContract
from inferkit.testing.ledger.notices import NoticesContract
from inferkit.testing.ledger.windows import WindowsContract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inferkit.ledger.protocols import Store

__all__ = ["LedgerContract"]


class LedgerContract(AccountsContract, LeavingContract, WindowsContract, JournalContract, NoticesContract):
    """Inherit from it, and say how a store is made; `examples` is how many sequences of steps are tried."""

    examples = 100

    def make(self, folder: Path) -> Store:
        """Make an empty store; `folder` is there for its files."""
        raise NotImplementedError

    def verify(self, ledger: Ledger) -> None:
        """Look into a ledger at a test's end; raise if it is damaged."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return self.make(tmp_path)

    @pytest.fixture
    def ledger(self, store: Store) -> Iterator[Ledger]:
        ledger = Ledger(store)
        yield ledger
        self.verify(ledger)
        ledger.close()

    def test_whatever_order_the_steps_come_in_it_does_what_dictionaries_do(
        self, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        from inferkit.testing.ledger.machine import run_machine

        def make() -> Ledger:
            return Ledger(self.make(tmp_path_factory.mktemp("steps")))

        run_machine(make, self.verify, examples=self.examples)
