"""A decorated function keeps its types, and a block with a budget has some."""

import subprocess
import sys
import textwrap

import pytest

CODE = """
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from inferkit import Budget, BudgetBlock, Remaining, SqliteLedger, Spent, budget, budgeted


@budgeted(usd="5.00", per="month", key="user")
def plain(user: str, number: int = 1) -> list[int]:
    return [number]


@budgeted(Budget(calls=5), key=lambda user: user)
async def asynchronous(user: str) -> float:
    return 1.0


@budgeted(tokens=5, on_exceed="truncate")
def generator() -> Iterator[bytes]:
    yield b""


@budgeted(tokens=5, on_exceed="degrade", degrade_to="local")
async def async_generator() -> AsyncIterator[str]:
    yield ""


async def main() -> None:
    assert_type(plain("a", number=2), list[int])
    assert_type(await asynchronous("a"), float)
    assert_type(generator(), Iterator[bytes])
    assert_type(async_generator(), AsyncIterator[str])


def block(ledger: SqliteLedger) -> int:
    with budget(usd="0.10", name="run", key="ana") as spent:
        assert_type(spent, BudgetBlock)
        assert_type(spent.usage(ledger=ledger), Spent)
        assert_type(spent.remaining(ledger=ledger), Remaining)
        return plain("a")[0]


async def async_block() -> str:
    async with budget(calls=5, on_exceed="degrade", degrade_to="local"):
        plain("a")
    async with budget(Budget(calls=5), key="ana") as spent:
        return assert_type(spent.account, str)


plain(5)  # type: ignore[arg-type]
plain()  # type: ignore[call-arg]
budgeted(usd=5.0)  # type: ignore[call-overload]
budgeted(calls=5, per="fortnight")  # type: ignore[call-overload]
budget(usd=0.1)  # type: ignore[call-overload]
budget(Budget(calls=5), key=None)  # type: ignore[call-overload]
budget(Budget(calls=5), usd="0.10")  # type: ignore[call-overload]
"""


pytest.importorskip("mypy")


def test_types_survive_the_decorator(tmp_path):
    file = tmp_path / "user_code.py"
    file.write_text(textwrap.dedent(CODE))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
