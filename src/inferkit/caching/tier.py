"""What a place is that the cache keeps replies in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from inferkit.caching.entry import CachedReply
    from inferkit.runtime.protocol import Runtime

__all__ = ["Tier"]


class Tier(Protocol):
    """One place for replies, which may lose anything at any time. What it raises is logged, and it is passed by.

    Its coroutines wait through `runtime` alone. `name` says in traces where a hit came from. A place outside the
    process stores what `inferkit.caching.stored` makes of an entry: bytes that nobody can change unnoticed.

    One that others clear too may have a method `news()`, which gives the `Chosen` that they have cleared since it was
    last asked; the tiers in front of it forget them then. It is asked about once a second, and does not wait.
    """

    @property
    def name(self) -> str:
        """A word, for example "memory"."""

    async def get(self, runtime: Runtime, key: bytes, /) -> CachedReply | None:
        """Look up what is kept under a key of 32 bytes."""

    async def put(self, runtime: Runtime, key: bytes, entry: CachedReply, /, *, ttl: float | None) -> None:
        """Keep an entry, for `ttl` seconds where given. It may be written a little later."""

    def clear(self, *, model: str | None = None, tag: str | None = None) -> int:
        """Forget the replies of a model (as `Chosen` has it) with a tag, or all; say how many there were. Blocks.

        Raises `CacheError` where some of them may be left: whoever clears has a reason.
        """

    def open(self) -> None:
        """Do what the first use would take long for. Blocks; the first use does it otherwise."""

    def close(self) -> None:
        """Write what waits, and close what is open. Blocks; using the tier again opens it again."""
