"""What `inferkit models bench` does, and shows as tables, as JSON, and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from inferkit.cli.models.adding import Bars
from inferkit.cli.models.bench_chart import draw
from inferkit.cli.models.inspecting import figures_table
from inferkit.cli.models.naming import bytes_of, file_of
from inferkit.core.errors import ConfigurationError
from inferkit.economics.formatting import printable
from inferkit.local.measuring.bench import TextPlan, bench, labels, speed_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inferkit.local.measuring.bench import Bench, Loss, Speed, SpeedPlan

__all__ = ["numbers_of", "run_bench"]


def run_bench(
    names: Sequence[str],
    *,
    against: str | None,
    text: str | None,
    tokens: int,
    plan: SpeedPlan,
    as_json: bool,
    plot: str | None,
) -> None:
    """Measure, and show what came of it."""
    words = None if text is None else TextPlan(_text_of(text), tokens=tokens)
    if plot is not None:
        _write(Path(plot).expanduser(), "")  # what cannot be written is found out now, and not after minutes
    with Bars(of_bytes=False) as bars:
        found = bench(
            [file_of(name) for name in names],
            against=None if against is None else file_of(against),
            plan=plan,
            text=words,
            progress=bars,
        )
    if plot is not None:
        _write(Path(plot).expanduser(), draw(found))
    if as_json:
        typer.echo(json.dumps(_facts(found), indent=2, ensure_ascii=False))
    else:
        _show(found, Console(highlight=False))


def numbers_of(text: str, what: str) -> tuple[int, ...]:
    """Read whole numbers with commas between. Raises `ConfigurationError`."""
    try:
        found = tuple(dict.fromkeys(int(part) for part in text.split(",") if part.strip()))
    except ValueError:
        found = (0,)
    if any(number < 1 for number in found):
        raise ConfigurationError(f'{what} takes whole numbers from 1, with commas: 1,2,4; got "{text}"')
    return found


def _text_of(place: str) -> str:
    try:
        return Path(place).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{place} cannot be read as text ({error}); name a file of UTF-8 text") from error


def _write(place: Path, drawing: str) -> None:
    try:
        place.write_text(drawing, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{place} cannot be written ({error.strerror}); name another file") from error


def _show(found: Bench, out: Console) -> None:
    names = labels(found)
    for path, label in names.items():
        out.print(
            Text(printable(f"{label}: {path}" if label != path.stem else str(path)), style="dim", overflow="fold")
        )
    out.print()
    base = None if found.reference is None else printable(names[found.reference.path])
    compared = [] if base is None else [f"to {base}"]
    table = figures_table("Tokens a second", "threads", "batch", "prompt", "reply", *compared, "memory")
    for row in found.speeds:
        faster = speed_up(found, row)
        memory = "-" if row.memory is None else bytes_of(row.memory)
        mine = ["" if faster is None else f"{faster:.2f} x"] if compared else []
        name = Text(printable(names[row.model.path]))
        table.add_row(name, str(row.threads), str(row.batch), _rate(row.prompt), _rate(row.generate), *mine, memory)
    out.print(table)
    if found.losses:
        out.print()
        others = [] if base is None else [f"to {base}", "same words", "same replies"]
        table = figures_table("On the text", "perplexity", *others)
        for loss in found.losses:
            name = Text(printable(names[loss.model.path]))
            table.add_row(name, f"{loss.perplexity:.3f}", *(_compared(loss) if others else ()))
        out.print(table)
    out.print(Text("\n" + " ".join(_conditions(found)), style="dim"))


def _rate(value: float) -> str:
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"  # noqa: PLR2004 - four digits are enough


def _compared(loss: Loss) -> tuple[str, str, str]:
    if loss.ratio is None or loss.ratio_low is None or loss.ratio_high is None:
        return "", "", ""
    wide = max(loss.ratio_high - loss.ratio, loss.ratio - loss.ratio_low)
    more = f"{100 * (loss.ratio - 1):+.2f} \N{PLUS-MINUS SIGN} {100 * wide:.2f} %"
    return more, _share(loss.same_tokens), _share(loss.same_replies)


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _conditions(found: Bench) -> Iterator[str]:
    """Say under which conditions the figures came about, and what they mean."""
    plan = found.plan
    yield f"Prompts of {plan.prompt} tokens, replies of {plan.generate}, the middle of {plan.repeats} repeats,"
    yield f"{found.cores} cores; load of the machine before: {found.load_average:.1f}."
    if found.load_average > found.cores / 2:
        yield "That is much: measure again on a quiet machine."
    spread = max((_spread(row) for row in found.speeds), default=0.0)
    yield f"Repeats differ by up to {100 * spread:.0f} %."
    if found.losses:
        yield f"Perplexity of {found.losses[0].tokens:,} tokens, less is better."
    if found.losses and found.reference is not None:
        yield "Same words: of replies with the best token each time, up to the first that differs."


def _spread(row: Speed) -> float:
    return max(max(figures) / min(figures) - 1 for figures in (row.prompts, row.replies))


def _facts(found: Bench) -> dict[str, Any]:
    """Give all that was measured in the form of JSON."""
    return {
        "prompt_tokens": found.plan.prompt,
        "reply_tokens": found.plan.generate,
        "cores": found.cores,
        "load_average": found.load_average,
        "reference": None if found.reference is None else str(found.reference.path),
        "speeds": [
            {
                "path": str(row.model.path),
                "quantisation": row.model.quantisation,
                "engine": row.model.engine,
                "size": row.model.size,
                "threads": row.threads,
                "batch": row.batch,
                "prompt_tokens_per_second": list(row.prompts),
                "reply_tokens_per_second": list(row.replies),
                "speed_up": speed_up(found, row),
                "load_seconds": row.load,
                "peak_memory": row.memory,
            }
            for row in found.speeds
        ],
        "losses": [
            {
                "path": str(loss.model.path),
                "tokens": loss.tokens,
                "perplexity": loss.perplexity,
                "ratio": loss.ratio,
                "ratio_interval_95": None if loss.ratio is None else [loss.ratio_low, loss.ratio_high],
                "same_replies": loss.same_replies,
                "same_tokens": loss.same_tokens,
            }
            for loss in found.losses
        ],
    }
