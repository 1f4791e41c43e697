"""Fills the slots of the grammar: word lists, invented numbers, and order numbers of many shapes."""

import random
import string
from collections.abc import Callable
from functools import cache

from .places import GRAMMAR

DIGITS, UPPER = string.digits, string.ascii_uppercase


@cache
def words() -> dict[str, list[str]]:
    """The word lists of `slots.txt`."""
    lines = (GRAMMAR / "slots.txt").read_text("utf-8").splitlines()
    pairs = (line.split(":", 1) for line in lines if line.strip())
    return {name: [word.strip() for word in values.split("|")] for name, values in pairs}


def shaped(shape: str, rng: random.Random) -> str:
    """Fills `9` with a digit and `A` with a capital letter."""
    return "".join(rng.choice(DIGITS) if mark == "9" else rng.choice(UPPER) if mark == "A" else mark for mark in shape)


SHAPES = (
    ["99999"] * 6 + ["A-99999"] * 6 + ["AAA-99-9999"] * 3 + ["INV-99-9999"] * 3 + ["AA9999A"] * 5
    + ["AAA-9999-99"] * 3 + ["ORD-9999-99"] * 4 + ["999-9999999"] * 6
    + ["9999", "999999", "9999999", "AA-9999", "A9999", "AAA99999", "99-99999", "AA99-999", "A-9999",
       "AA9999", "A9999A", "ORD9999", "INV-9999", "99999-A", "999-999", "AAAA-999", "A99-9999-A"]
)  # fmt: skip


def order_number(rng: random.Random) -> str:
    """A new order number; the shapes of the label sheet are the most frequent."""
    return shaped(rng.choice(SHAPES), rng)


def money(rng: random.Random) -> str:
    """An amount in one of the ways people type it."""
    whole = rng.choice([rng.randint(3, 99), rng.randint(100, 999), rng.randint(1000, 2500)])
    amount = rng.choice([f"{whole}.{rng.choice(['99', '50', '95', '00', '20'])}", str(whole)])
    return rng.choice(["${}", "£{}", "€{}", "{} euros", "{} dollars", "{} pounds", "{} EUR", "{}"]).format(amount)


def phone(rng: random.Random) -> str:
    """A telephone number, never an order number."""
    return shaped(rng.choice(["0999 999 9999", "+44 9999 999999", "555-0199", "(999) 555-0199", "09999 999999"]), rng)


def postcode(rng: random.Random) -> str:
    """A postcode, never an order number."""
    return shaped(rng.choice(["AA9 9AA", "A99 9AA", "AA99 9AA", "9999 AA"]), rng)


def tracking(rng: random.Random) -> str:
    """A carrier's tracking number, never an order number."""
    return shaped(rng.choice(["JD999999999999", "1Z999AA9999999999", "AA999999999AA", "99999999999999"]), rng)


def gibberish(rng: random.Random) -> str:
    """A run of keys without meaning."""
    letters = rng.choice(["asdfghjkl", "qwertyuiop", string.ascii_lowercase, string.ascii_lowercase, "zxcvbnm,."])
    return "".join(rng.choice(letters) for _ in range(rng.randint(2, 11)))


INVENTED: dict[str, Callable[[random.Random], str]] = {
    "money": money,
    "money2": money,
    "phone": phone,
    "postcode": postcode,
    "tracking": tracking,
    "gibberish": gibberish,
    "n": lambda rng: str(rng.choice([2, 3, 4, 5, 6, 8, 10, 12, 17, 20, 24, 36, 50, 144])),
    "n2": lambda rng: str(rng.randint(2, 999)),
}


def thing(rng: random.Random, article: str) -> str:
    """A product, with an adjective now and then."""
    product = rng.choice(words()["product"])
    name = f"{rng.choice(words()['adjective'])} {product}" if rng.random() < 0.3 else product
    if rng.random() < 0.05:
        name = f"{shaped(rng.choice(['AA9', 'A-99', 'AA 999', 'A99 Pro']), rng)} {product}"
    if article == "a" and not product.endswith("s"):
        return ("an " if name[0] in "aeiou" else "a ") + name
    return name if article in ("", "a") else f"{article} {name}"


def fill(slot: str, rng: random.Random) -> str:
    """The text of any slot but those of the order number."""
    if slot in ("a_P", "a_P2"):
        return thing(rng, "a")
    if slot in ("the_P", "this_P"):
        return thing(rng, rng.choice(["the", "the", "the", "my", "this"]) if slot == "the_P" else "this")
    if slot == "P":
        return rng.choice(words()["product"])
    if slot in INVENTED:
        return INVENTED[slot](rng)
    values = words().get(slot) or words()[slot.rstrip("2")]
    text = rng.choice(values)
    for inner in ("dur", "city"):
        if "{" + inner + "}" in text:
            text = text.replace("{" + inner + "}", rng.choice(words()[inner]))
    return text
