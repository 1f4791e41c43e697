"""What `inferkit cache` shows and does."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from inferkit.caching.choice import Chosen
from inferkit.caching.disk import DiskTier
from inferkit.caching.survey import survey
from inferkit.cli.configured import configured_cache, configured_ledger
from inferkit.cli.interrupts import Interrupted
from inferkit.cli.models.naming import bytes_of
from inferkit.cli.showing import Column, dollars, exact, pairs, progress, say, show_table, write_json
from inferkit.cli.times import instant_of, iso
from inferkit.core.errors import ConfigurationError
from inferkit.economics.formatting import count, instant, plural
from inferkit.ledger.sqlite.search import calls_since
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from inferkit.caching.survey import KeptReplies, Survey

__all__ = ["clear_cache", "show_cache"]

_TZ = ZoneInfo("UTC")
_KEPT = (
    Column("", fold=True),
    Column("Replies", right=True),
    Column("Size", right=True),
    Column("Oldest", 1, right=True),
    Column("Newest", right=True),
)
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


class Answers(NamedTuple):
    """What a ledger says of calls since an instant: those sent, those answered from the cache or shared in flight."""

    since: float
    sent: int
    hits: int
    coalesced: int
    saved: int

    @property
    def ratio(self) -> float | None:
        """The part of all calls that was not sent."""
        every = self.sent + self.hits + self.coalesced
        return (self.hits + self.coalesced) / every if every else None


def show_cache(*, cache: str | None, ledger: str | None, since: str | None, as_json: bool) -> None:
    """Show it. Raises `ConfigurationError`, `CacheError` and `LedgerError`."""
    folder = _folder(cache)
    found = survey(folder, clock.time())
    answers = _answers(ledger, instant_of(since, "UTC") or 0.0)
    if as_json:
        write_json(_as_dict(folder, found, answers))
        return
    say(f"the cache {folder}", "bold")
    pairs(list(_lines(found, answers)))
    for title, kept in (("Model", found.models), ("Tag", found.tags)):
        if kept:
            say("")
            columns = (_KEPT[0]._replace(title=title), *_KEPT[1:])
            show_table(columns, [_row(each) for each in kept])


def _folder(cache: str | None) -> Path:
    folder = configured_cache(cache)
    if folder is None:
        raise ConfigurationError("no cache is kept on disk here, as it is configured; name a folder: --cache")
    return folder


def _answers(ledger: str | None, since: float) -> Answers | None:
    """Count what the ledger has; None where there is none, unless one was named."""
    if ledger is None:
        with suppress(ConfigurationError):
            return _count(configured_ledger(None), since)
        return None
    from inferkit.cli.configured import existing_ledger

    return _count(existing_ledger(ledger), since)


def _count(path: Path, since: float) -> Answers | None:
    from inferkit.ledger.sqlite.journal import SqliteRecords

    if not path.is_file():
        return None
    records = SqliteRecords(path)
    try:
        begin = since - since % 3600  # hits are counted by the hour
        with progress("counting calls") as step:
            sent = calls_since(records.reader, begin, step)
        calls, saved = {"hit": 0, "coalesced": 0}, 0
        for tally in records.tallies(since=begin):
            if tally.kind in calls:
                calls[tally.kind] += tally.calls
                saved += tally.usd
    finally:
        records.close()
    return Answers(begin, sent, calls["hit"], calls["coalesced"], saved)


def _lines(found: Survey, answers: Answers | None) -> Iterator[tuple[str, str]]:
    yield "replies", count(found.entries) + (f", {count(found.expired)} of them expired" if found.expired else "")
    limit = "" if found.size_limit is None else f"; about {bytes_of(found.size_limit)} may be kept"
    yield "size", f"{bytes_of(found.size)}, in {bytes_of(found.file_size)} on disk{limit}"
    if found.oldest is not None and found.newest is not None:
        yield "age", f"the oldest {_age(found.oldest)}, the newest {_age(found.newest)}"
    if found.unlabelled:
        yield "model", f"not noted beside {plural(found.unlabelled, 'reply', 'replies')} of an older version"
    if answers is None:
        yield "answers", "not known: there is no ledger that counts them"
        return
    ratio, every = answers.ratio, answers.sent + answers.hits + answers.coalesced
    if ratio is None:
        yield "answers", f"no calls since {instant(answers.since, 'UTC')} (UTC)"
        return
    said = f"{ratio:.1%} of {plural(every, 'call')} since {instant(answers.since, 'UTC')} (UTC) were not sent"
    ways = f"{count(answers.hits)} from the cache, {count(answers.coalesced)} shared in flight"
    yield "answers", f"{said}: {ways}; {dollars(answers.saved)} saved"


def _row(kept: KeptReplies) -> list[str]:
    return [
        kept.name or "(not known)",
        count(kept.entries),
        bytes_of(kept.size),
        _age(kept.oldest),
        _age(kept.newest),
    ]


def _age(at: float) -> str:
    seconds = max(0.0, clock.time() - at)
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds:.0f} s"


def clear_cache(*, cache: str | None, model: str | None, tag: str | None, everything: bool, as_json: bool) -> None:
    """Forget replies, and say how many. Raises `ConfigurationError` and `CacheError`."""
    if everything == (model is not None or tag is not None):
        raise ConfigurationError("say which replies are to be forgotten: --model, --tag, both, or --all")
    Chosen.of(model, tag)
    folder = _folder(cache)
    known = survey(folder, clock.time())
    number = _clear(folder, known, model, tag)
    left = survey(folder, clock.time())
    if as_json:
        write_json({"cache": str(folder), "cleared": number, "left": left.entries})
        return
    of_which = " and ".join(
        part for part in (f"of {model}" if model else "", f'with the tag "{tag}"' if tag else "") if part
    )
    say(f"{plural(number, 'reply', 'replies')}{' ' if of_which else ''}{of_which} cleared, {count(left.entries)} left")
    if not number and (names := _known(known.models if tag is None else known.tags)):
        say(f"the {'models' if tag is None else 'tags'} in this cache are: {names}", "dim")


def _clear(folder: Path, known: Survey, model: str | None, tag: str | None) -> int:
    tier = DiskTier(folder) if known.size_limit is None else DiskTier(folder, size_limit=known.size_limit)
    of = known.entries if tag is None else sum(each.entries for each in known.tags if each.name == tag)
    try:
        with progress("clearing the cache") as step:
            return tier.clear(model=model, tag=tag, step=lambda done: step(done, max(done, of)))
    except KeyboardInterrupt:
        left = plural(survey(folder, clock.time()).entries, "reply is", "replies are")
        raise Interrupted(f"{left} left, of {count(known.entries)}") from None
    finally:
        tier.close()


def _known(kept: Sequence[KeptReplies]) -> str:
    return ", ".join(each.name for each in kept[:20])


def _as_dict(folder: Path, found: Survey, answers: Answers | None) -> dict[str, Any]:
    def kept(each: KeptReplies) -> dict[str, Any]:
        return each._asdict() | {"oldest": iso(each.oldest, _TZ), "newest": iso(each.newest, _TZ)}

    return {
        "cache": str(folder),
        **found._asdict(),
        "oldest": iso(found.oldest, _TZ),
        "newest": iso(found.newest, _TZ),
        "models": [kept(each) for each in found.models],
        "tags": [kept(each) for each in found.tags],
        "answers": None
        if answers is None
        else {
            "since": iso(answers.since, _TZ),
            "sent": answers.sent,
            "hits": answers.hits,
            "coalesced": answers.coalesced,
            "saved_usd": exact(answers.saved),
            "ratio": answers.ratio,
        },
    }
