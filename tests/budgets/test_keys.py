"""A key is the same text tomorrow and in every process, or it is refused."""

import dataclasses
import enum
import uuid

import pytest

from budgets.spending import spend
from inferkit import Budget, ConfigurationError, SqliteLedger, budget, budgeted
from inferkit.budgets.context import current_scopes

FREE = Budget(calls=5, per="total", name="free")


class Tier(enum.Enum):
    PRO = "pro"
    TRIAL = 2


class Level(enum.IntEnum):
    HIGH = 3


class Colour(enum.StrEnum):
    RED = "red"


class Text(str):
    __slots__ = ()

    def __str__(self):
        return "something else"


@dataclasses.dataclass
class User:
    name: str
    seen: int = 0


KEYS = {
    "text": ("ana", "ana"),
    "text of a class of its own": (Text("ana"), "ana"),
    "text in another script": ("Ωλ😀", "Ωλ😀"),
    "number": (7, "7"),
    "negative number": (-7, "-7"),
    "uuid": (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    "member that is a text": (Tier.PRO, "pro"),
    "member that is none": (Tier.TRIAL, "TRIAL"),
    "member that is a number": (Level.HIGH, "HIGH"),
    "member that is a text itself": (Colour.RED, "red"),
}
NO_KEYS = {
    "dataclass": User("ana"),
    "float": 1.5,
    "bytes": b"ana",
    "flag": True,
    "tuple": ("ana",),
    "object": object(),
    "lone surrogate": "ana\ud83d",
}


@budgeted(FREE, key="user")
def accounts(user):
    return [scope.account for scope in current_scopes()]


@pytest.mark.parametrize(("key", "text"), KEYS.values(), ids=KEYS)
def test_a_key_is_one_text_wherever_it_is_given(key, text, tmp_path):
    assert accounts(key) == [f"free:{text}"]
    assert budget(FREE, key=key).account == f"free:{text}"
    assert FREE.account(key) == f"free:{text}"
    ledger = SqliteLedger(tmp_path / "ledger.db")
    assert spend(ledger, FREE, at=0.0, key=key)
    assert FREE.usage(text, ledger=ledger).calls == FREE.usage(key, ledger=ledger).calls == 1
    FREE.top_up(key, ledger=ledger, calls=1)
    assert FREE.remaining(key, ledger=ledger).calls == 5
    ledger.close()


@pytest.mark.parametrize("key", NO_KEYS.values(), ids=NO_KEYS)
def test_anything_else_is_refused_with_what_to_do(key):
    for give in (accounts, lambda key: budget(FREE, key=key), FREE.account):
        with pytest.raises(ConfigurationError, match=r"pass what tells one from another|lone surrogate") as refused:
            give(key)
        assert "ana" not in str(refused.value)


def test_keys_of_different_kinds_that_are_one_text_share_a_budget():
    assert accounts(7) == accounts("7")
