"""Makes tidy text look typed by people: typos, casing, lost punctuation, short forms, synonyms."""

import random
import re
from collections.abc import Callable
from functools import cache

from .places import GRAMMAR

NEIGHBOURS = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo",
    "j": "hk", "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "wa", "r": "et",
    "s": "ad", "t": "ry", "u": "yi", "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "x",
}  # fmt: skip
SHORT = {
    "please": ["pls", "plz", "plse"], "you": ["u"], "are": ["r"], "your": ["ur"], "thanks": ["thx", "tnx"],
    "because": ["cos", "bc"], "and": ["&", "n"], "tomorrow": ["tmrw", "2morrow"], "what": ["wat"],
    "people": ["ppl"], "the": ["teh", "da"], "received": ["recieved"], "address": ["adress"],
    "don't": ["dont", "do not"], "can't": ["cant", "cannot"], "isn't": ["isnt", "is not"], "I": ["i"],
    "I'm": ["im", "Im", "I am"], "it's": ["its", "it is"], "want": ["wanna have", "would like"],
    "to": ["2"], "for": ["4"], "with": ["w/"], "order": ["ordr", "oder"], "delivery": ["delivry"],
    "password": ["pw", "pasword"], "message": ["msg"], "definitely": ["definately"],
}  # fmt: skip
EMOJI = ["😡", "😀", "🙏", "👍", "😢", "❤️", "😂", "🤔", "!!", ":(", ":)", "..."]


@cache
def synonyms() -> dict[str, list[str]]:
    """Word to its stand-ins, from `synonyms.txt`: every line is a group that may be swapped."""
    table: dict[str, list[str]] = {}
    for line in (GRAMMAR / "synonyms.txt").read_text("utf-8").splitlines():
        group = [word.strip() for word in line.split("|") if word.strip()]
        for word in group:
            table.setdefault(word, []).extend(other for other in group if other != word)
    return table


def swap_synonyms(text: str, rate: float, rng: random.Random) -> str:
    """Replaces known words by others of their group, each with the given probability."""
    table = synonyms()

    def swap(match: re.Match[str]) -> str:
        word = match[0]
        others = table.get(word.lower())
        if not others or rng.random() > rate:
            return word
        other = rng.choice(others)
        return other[0].upper() + other[1:] if word[0].isupper() and len(word) > 1 else other

    return re.sub(r"[A-Za-z][A-Za-z'-]*", swap, text)


def _typo(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    near = NEIGHBOURS.get(word[at].lower())
    return word[:at] + rng.choice(near) + word[at + 1 :] if near else word


def _hurried(core: str, short: float, typos: float, rng: random.Random) -> str:
    if short and core in SHORT and rng.random() < short:
        core = rng.choice(SHORT[core])
    if len(core) > 3 and core.isalpha() and rng.random() < typos:
        core = _typo(core, rng)
    return core


def _except(keep: str | None, text: str, change: Callable[[str], str]) -> str:
    return " ".join(word if keep and keep in word else change(word) for word in text.split(" "))


def roughen(text: str, keep: str | None, rng: random.Random) -> tuple[str, str | None]:
    """The text as somebody in a hurry types it, and the order number `keep` as it then stands there."""
    draw = rng.random()
    lower, upper = draw < 0.22, 0.22 <= draw < 0.25
    bare = rng.random() < 0.12
    typos = rng.choice([0, 0, 0, 0.02, 0.05])
    short = rng.choice([0, 0, 0, 0.3])

    def hurry(word: str) -> str:
        tail = re.search(r"[.,!?;:)]*$", word)
        end = tail[0] if tail else ""
        core = _hurried(word[: len(word) - len(end)], short, typos, rng)
        if bare:
            core, end = core.replace("'", ""), end if rng.random() < 0.3 else ""
        return core + end

    out = " ".join(_except(keep, text, hurry).split())
    if lower and keep and rng.random() < 0.5:
        out, keep = out.lower(), keep.lower()
    elif lower:
        out = _except(keep, out, str.lower)
    elif upper:
        out = _except(keep, out, str.upper)
    if rng.random() < 0.06:
        out += " " + rng.choice(EMOJI)
    if rng.random() < 0.05:
        out = out.replace("!", "!!!").replace("?", "??")
    return out, keep
