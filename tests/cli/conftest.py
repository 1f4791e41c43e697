"""A shop's ledger, for the commands that show what is in one."""

from __future__ import annotations

import shutil

import pytest

from cli.shop import open_for_business


@pytest.fixture(scope="module")
def shop_ledger(tmp_path_factory):
    """The ledger of one day of a shop, which nobody writes to: seven calls."""
    home = tmp_path_factory.mktemp("shop")
    open_for_business(home)
    return home / "ledger.sqlite3"


@pytest.fixture
def path(shop_ledger, tmp_path):
    """A copy of it for one test."""
    return shutil.copy(shop_ledger, tmp_path / "ledger.sqlite3")
