"""What `inferkit route` does: fits a router to a file of outcomes, and says what it is expected to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from inferkit.core.errors import ConfigurationError
from inferkit.core.money import NANOS_PER_USD
from inferkit.ledger.sqlite.journal import SqliteRecords
from inferkit.routing.learned.fitting import fit_router
from inferkit.routing.learned.outcomes import read_outcomes
from inferkit.routing.learned.router import read_router, write_router

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.routing.learned.outcomes import InLedger

__all__ = ["Done", "fit_file", "refused", "shown"]


class Done(NamedTuple):
    """What is to be said of a fit, and why it is not to be used, where it is not; `facts` is the same for programs."""

    text: str
    refusal: str | None
    facts: dict[str, Any]


def fit_file(
    file: str, *, out: str, loss: float, certainty: float, models: str | None, ledger: str | None, seed: int
) -> Done:
    """Fit, and write the router where it cleared its gate. Raises `ConfigurationError` and `LedgerError`."""
    look_up = None if ledger is None else _calls(ledger).get
    try:
        with Path(file).open(encoding="utf-8") as lines:
            cases = read_outcomes(lines, name=file, look_up=look_up)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    names = None if models is None else [name.strip() for name in models.split(",")]
    fitted = fit_router(cases, loss=loss, certainty=certainty, models=names, seed=seed)
    if fitted.refusal is None:
        write_router(fitted.router, out)
    router = fitted.router
    return Done(_text(router.models, router.evidence), fitted.refusal, _facts(router.models, router.evidence))


def shown(path: str) -> Done:
    """Say what a router in a file is expected to do."""
    router = read_router(path)
    return Done(_text(router.models, router.evidence), None, _facts(router.models, router.evidence))


def _facts(models: Sequence[str], evidence: Mapping[str, Any]) -> dict[str, Any]:
    return {"models": list(models), **evidence}


def refused(why: str, out: str) -> str:
    """Say that nothing was written."""
    return f"this router is not to be used, and {out} was not written: {why}"


def _calls(ledger: str) -> dict[str, InLedger]:
    """Give model and cost of the calls in a ledger that were answered at once, and have a known price."""
    if not Path(ledger).is_file():
        raise ConfigurationError(f"there is no ledger at {ledger}")
    records = SqliteRecords(ledger)
    try:
        return {
            entry.call: (f"{entry.charge.provider}:{entry.charge.model}", entry.charge.usd / NANOS_PER_USD)
            for entry in records.entries(kind="settled")
            if entry.charge.usd is not None and entry.charge.provider is not None and not entry.charge.parts
        }
    finally:
        records.close()


def _text(models: Sequence[str], of: Mapping[str, Any]) -> str:
    shares = ", ".join(f"{of['shares'][name]:.0%} to {name}" for name in models)
    usd, dearest = 1000 * of["usd_a_call"], 1000 * of["last_usd_a_call"]
    saved = f"saves  {_between(of['saving'], of['saving_interval'])} of the cost: ${usd:.4f} for a thousand calls"
    lost = f"loses  {_between(of['loss'], of['loss_interval'])} of the quality; by chance, with as many calls to each"
    gate = f"gate   at most {of['loss_at_most']:.2%} lost with a certainty of {of['certainty']:.0%}"
    lines = [
        f"{of['cases']:,} questions; of calls like these go {shares}",
        f"{saved}, and ${dearest:.4f} by {models[-1]} alone",
        f"{lost}, it would be {of['chance_loss']:.2%}",
        f"{gate}; {of['loss_bound']:.2%} are allowed",
    ]
    return "\n".join(lines)


def _between(value: float, interval: Sequence[float]) -> str:
    return f"{value:.2%} ({interval[0]:.2%} to {interval[1]:.2%})"
