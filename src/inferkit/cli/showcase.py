"""`inferkit demo`: the product at work in half a minute, with real parts only, no key and no network."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from inferkit import Budget, BudgetExceeded, Client, Price, budgeted
from inferkit.cli.showing import exact, write_json
from inferkit.cli.tracing import CommandTrace, send
from inferkit.telemetry.export import otlp_exporter
from inferkit.telemetry.tree import trace_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from opentelemetry.sdk.trace.export import SpanExporter

    from inferkit import Reply

__all__ = ["run_demo"]

QUESTION = "My parcel 48213 arrived with a cracked lid and I leave for holiday tomorrow. Can you send a new one?"
OTHERS = (
    "Where is order A-20817? It should have been here on Monday.",
    "I was charged twice for INV-33-1029, please give me the money back.",
    "Does the blue kettle come with a two year warranty?",
)
PRICE = Price(input="0.05", output="0.20")
LIMIT = "0.00004"
_NAME, _COUNT, _COST = 11, 3, 11  # characters, of columns that are never cut
INTRODUCTION = (
    'A @budgeted function streams answers from a quantised model that runs on this machine. User "ana" may spend '
    f"${LIMIT} this month. The model is priced at ${PRICE.input} in and ${PRICE.output} out per million tokens, as a "
    "machine of your own might be."
)


def run_demo(*, jaeger: str | None = None, model: str | None = None, as_json: bool = False) -> None:
    """Stream an answer, repeat it from the cache, run into a budget, and show costs and trace."""
    out = Console(quiet=as_json)
    trace = CommandTrace("inferkit-demo")
    destination = None if jaeger is None else otlp_exporter(jaeger)
    target = "local" if model is None else f"local:{model}"
    with tempfile.TemporaryDirectory(prefix="inferkit-demo-", ignore_cleanup_errors=True) as home:
        llm = Client(
            models={"triage": target},
            prices={"local:*": PRICE},
            home=home,
            telemetry=trace.telemetry,
        )
        with llm:
            answered = _play(out, llm, trace)
    sent = None if destination is None else _send(out, trace, *destination)
    if as_json:
        write_json({"calls": [_as_dict(*each) for each in answered], "trace": trace.as_json(), "sent": sent})


def _play(out: Console, llm: Client, trace: CommandTrace) -> list[tuple[str, Reply | None]]:
    answered: list[tuple[str, Reply | None]] = []
    budget = Budget(usd=LIMIT, per="month", name="free-tier")

    @budgeted(budget, key="user")
    def answer(user: str, question: str) -> Iterator[str]:  # noqa: ARG001 - the budget's key
        """Stream an answer at the user's expense."""
        with llm.stream("triage", question, max_output_tokens=96) as reply:
            for chunk in reply:
                yield chunk.text
        answered.append((question, reply.reply))

    out.print(Panel(INTRODUCTION, title="inferkit demo"))
    for title, question in (("A question", QUESTION), ("The same question again", QUESTION), *_numbered(OTHERS)):
        out.print(Text(f"\n{title}: ", style="bold"), Text(question), sep="")
        started = time.perf_counter()
        try:
            for text in answer("ana", question):
                out.print(text, end="", style="cyan", markup=False, highlight=False, soft_wrap=True)
            out.print()
            out.print(_summary(answered[-1][1], time.perf_counter() - started), style="dim")
        except BudgetExceeded as refusal:
            answered.append((question, None))
            out.print(Text(f"BudgetExceeded: {refusal}", style="red"))
            break
    out.print()
    out.print(_costs(answered))
    out.print(trace_tree(trace.spans, "The traces of these calls"))
    return answered


def _as_dict(question: str, reply: Reply | None) -> dict[str, Any]:
    """Give a call for another program; one that was refused has no answer, and cost nothing."""
    if reply is None:
        return {"question": question, "refused": True, "cost": "0"}
    return {
        "question": question,
        "refused": False,
        "text": reply.text,
        "model": reply.model,
        "cache": reply.cache,
        "finish_reason": reply.finish_reason,
        "input_tokens": reply.usage.input_tokens,
        "output_tokens": reply.usage.output_tokens,
        "cost": exact(reply.cost_nanos),
        "saved": exact(reply.saved_nanos),
    }


def _numbered(questions: tuple[str, ...]) -> list[tuple[str, str]]:
    return [("Another question", question) for question in questions]


def _summary(reply: Reply | None, seconds: float) -> str:
    assert reply is not None
    facts = [f"cache {reply.cache}", f"{seconds * 1000:.1f} ms", f"cost {_dollars(reply.cost)}"]
    if reply.cache == "hit":
        facts.append(f"saved {_dollars(reply.saved)}")
    else:
        facts.append(f"{reply.usage.input_tokens} tokens in, {reply.usage.output_tokens} out")
    if reply.finish_reason == "budget":
        facts.append("cut short: the budget bought no more")
    return "   ".join(facts)


def _dollars(amount: Decimal | None) -> str:
    if amount is None:
        return "no price"
    return f"${amount:.8f}" if amount else "$0"


def _costs(answered: list[tuple[str, Reply | None]]) -> Table:
    table = Table(title="What it cost", title_justify="left", title_style="bold")
    table.add_column("question", no_wrap=True, max_width=22)
    table.add_column("answered by", no_wrap=True, min_width=_NAME)
    for heading in ("in", "out", "cost", "saved"):  # whole in any terminal: only the questions are cut
        least = _COST if heading in {"cost", "saved"} else _COUNT
        table.add_column(heading, justify="right", no_wrap=True, min_width=least)
    for question, reply in answered:
        if reply is None:
            table.add_row(question, "refused", "", "", "$0", "", style="red")
            continue
        by = "the cache" if reply.cache == "hit" else reply.model
        usage = reply.usage
        counts = str(usage.input_tokens), str(usage.output_tokens)
        table.add_row(question, by, *counts, _dollars(reply.cost), _dollars(reply.saved) if reply.saved else "")
    return table


def _send(out: Console, trace: CommandTrace, endpoint: str, exporter: SpanExporter) -> bool:
    sent = send(exporter, trace.spans)
    if sent:
        out.print(f"The spans were sent to {endpoint}.")
    else:
        out.print(
            Text(f"The spans could not be sent to {endpoint}: see that Jaeger runs and listens there.", style="red")
        )
    return sent
