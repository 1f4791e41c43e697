"""The key of a request in the exact cache: a hash of everything that can change the answer.

Every field of `Request` is part of it except those named in `NOT_IN_KEY`, so a field that is added later separates
entries until somebody decides otherwise: a missed hit is cheap, a wrong answer is not.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping
from dataclasses import fields
from hashlib import blake2b
from operator import attrgetter
from typing import Any

from inferkit.core.messages import PARTS, CustomTool, Message, Tool
from inferkit.core.request import WIRES, Request

__all__ = ["KEYED_FIELDS", "NOT_IN_KEY", "beginnings", "cache_key"]

NOT_IN_KEY = frozenset(
    {
        "runtime",  # where the call runs
        "record",  # what happened to it so far
        "stream",  # how it travels; one entry serves both
        "deadline",  # when it must be over
        "scopes",  # who pays
        "user",  # who asks: the boundary that no reply crosses is `tenant`
        "feature",  # what the reply is for
        "plan",
        "priority",
        "others_left",  # whether somebody else would be asked
        "prompt_cache_key",  # where the provider looks for the beginning of the prompt
        "prompt_cache_retention",
        "attempt",
        "attempt_kind",
        "target",  # which candidate serves it
        "span",
        "extensions",  # the layers' own data
        "candidates",  # each counts as its name and what its adapter says of itself
    }
)
KEYED_FIELDS = tuple(field.name for field in fields(Request) if field.name not in NOT_IN_KEY)

_FORMAT = blake2b(repr(("1", KEYED_FIELDS)).encode(), digest_size=16).digest()  # another set of fields, other keys
_values = attrgetter(*KEYED_FIELDS)
_ATOMS = frozenset({str, int, float, bool, bytes, type(None)})


_NOTHING: tuple[()] = ()
_GROWING = frozenset({"conversation"})
"""Fields that stand for something at the provider that changes with every call."""


class _CannotEncodeError(Exception):
    """A value of a type whose meaning is not known here."""


def cache_key(request: Request) -> bytes | None:
    """Return the request's key of 32 bytes, or None where it has none.

    That is where it holds a value that cannot be encoded, or goes on with a conversation that the provider keeps, which
    is not the same twice.

    What stands behind the model's name is part of it: providers, models, base URLs, credential fingerprints.
    Types count (1, 1.0, True and "1" differ), the order of mappings does not.
    """
    if request.extra and _goes_on(request.extra):
        return None
    try:
        targets = [(target.name, getattr(target.adapter, "fingerprint", "")) for target in request.candidates]
        whole = (_FORMAT, targets, _sequence(_values(request)))
        # Only ever hashed, never read back. Version 2 has typed values and no references, so equal values give
        # equal bytes, and it is five times faster than JSON.
        encoded = marshal.dumps(whole, 2)
    except (_CannotEncodeError, ValueError, RecursionError):
        return None
    return blake2b(encoded, digest_size=32).digest()


def beginnings(request: Request) -> list[tuple[int, bytes]]:
    """Give the size and a one-way print of each beginning of the prompt that ends with a message, the shortest first.

    Tools come before all messages, as providers have them. Sizes are in bytes, about those of the texts. What comes
    after a value that cannot be encoded is left out.
    """
    found: list[tuple[int, bytes]] = []
    printed, size = blake2b(_FORMAT, digest_size=16), 0
    try:
        for each in ((request.tenant, request.tools), *request.messages):
            encoded = marshal.dumps(_canonical(each), 2)
            printed.update(encoded)
            size += len(encoded)
            found.append((size, printed.digest()))
    except (_CannotEncodeError, ValueError, RecursionError):
        pass
    return found[1:]


def _goes_on(extra: Mapping[str, Any]) -> bool:
    """Say whether a call goes on with something at the provider that changes with every call."""
    places = [extra, *(value for name, value in extra.items() if name in WIRES and isinstance(value, Mapping))]
    return not all(map(_GROWING.isdisjoint, places))


def _canonical(value: Any) -> Any:
    """Turn a value into atoms, lists (for its sequences) and tuples (for everything that carries a tag)."""
    return value if type(value) in _ATOMS else _packer_of(type(value), _other)(value)


def _other(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, tuple | list):
        return _sequence(value)
    return _plain(value)


def _sequence(value: tuple[Any, ...] | list[Any]) -> list[Any]:
    return [
        v if type(v) in _ATOMS else [] if v is _NOTHING else _packer_of(type(v), _other)(v) for v in value
    ]  # of the options that are sequences most are empty, and there is one empty tuple


def _mapping(value: Mapping[Any, Any]) -> tuple[Any, ...]:
    if not value:
        return ("{}",)
    try:
        names = sorted(value)
    except TypeError as error:
        raise _CannotEncodeError from error
    if not all(isinstance(name, str) for name in names):
        raise _CannotEncodeError
    return ("{}", *[(str.__str__(name), _canonical(value[name])) for name in names])


def _plain(value: Any) -> Any:
    """Reduce members of enumerations and the like to what is sent for them."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise _CannotEncodeError


def _packer(kind: type[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Give what packs a message, a part or a tool; most have no `extra`, which is then left out."""
    name = kind.__name__
    names = tuple(field.name for field in fields(kind) if field.name != "extra" and field.compare)
    if len(names) == 1:
        only = attrgetter(*names)

        def pack(value: Any) -> tuple[Any, ...]:
            return (name, _canonical(only(value)))

    else:
        several = attrgetter(*names)

        def pack(value: Any) -> tuple[Any, ...]:
            return (name, *_sequence(several(value)))

    if not hasattr(kind, "extra"):
        return pack

    def pack_all(value: Any) -> tuple[Any, ...]:
        return pack(value) if value.extra is None else (*pack(value), _canonical(value.extra))

    return pack_all


_PACKERS: dict[type[Any], Callable[[Any], Any]] = {kind: _packer(kind) for kind in (*PARTS, Message, Tool, CustomTool)}
_PACKERS |= {tuple: _sequence, list: _sequence, dict: _mapping}
_packer_of = _PACKERS.get
