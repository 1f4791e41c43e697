"""What local calls cost by time, energy and hardware stands in the report beside what providers charged."""

from __future__ import annotations

from decimal import Decimal

from command import command
from inferkit import Budget, Client, LocalCost, Price, Usage
from inferkit.core.chunks import Chunk
from inferkit.testing import FakeProvider

__all__ = ["command"]

COST = LocalCost(watts=45, price_per_kwh="0.30", hardware_per_hour="3.60")


def test_a_report_has_what_local_calls_cost(command, endless_path, tmp_path):
    big = FakeProvider([Chunk("Big", finish_reason="stop", usage=Usage(1000, 1000))])
    with Client(
        providers={"big": big},
        models={"small": f"local:{endless_path}", "big": "big:m"},
        prices={"local:*": COST, "big:*": Price(input="1", output="1")},
        ledger=tmp_path / "ledger.sqlite3",
        budget=Budget(usd="1000", name="all"),
        cache=False,
    ) as llm:
        local = [llm.complete("small", "a", user="ana", max_output_tokens=20) for _ in range(2)]
        llm.complete("big", "Hi", user="ben")
    report = command("report", "--ledger", tmp_path / "ledger.sqlite3", "--by", "model,customer", "--format", "json")
    assert report.code == 0, report.err
    cost = sum(reply.cost for reply in local)
    assert cost > 0
    found = {row["name"]: (row["calls"], Decimal(row["cost"])) for row in report.json["by"]["model"]}
    assert found == {"local:endless": (2, cost), "big:m": (1, Decimal("0.002"))}
    customers = {row["name"]: Decimal(row["cost"]) for row in report.json["by"]["customer"]}
    assert customers == {"ana": cost, "ben": Decimal("0.002")}
    table = command("report", "--ledger", tmp_path / "ledger.sqlite3", "--by", "model")
    assert table.said("local:endless")


def test_a_landing_is_a_cost_of_its_own_and_no_attempt_that_failed(command, tmp_path):
    half = FakeProvider([Chunk('{"sure": tr', finish_reason="length", usage=Usage(100, 50))])
    with Client(
        providers={"big": half},
        models={"any": ["big:m", "local"]},
        prices={"local:*": COST, "big:*": Price(input="1", output="10")},
        ledger=tmp_path / "ledger.sqlite3",
        budget=Budget(usd="0.1", per="call", name="small", on_exceed="land"),
        cache=False,
    ) as llm:
        schema = {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}
        reply = llm.complete("big:m", "Sure?", schema=schema, max_output_tokens=50_000)
    assert reply.parsed == {"sure": True}
    report = command("report", "--ledger", tmp_path / "ledger.sqlite3", "--by", "model", "--format", "json").json
    found = {row["name"]: (row["calls"], Decimal(row["cost"])) for row in report["by"]["model"]}
    landing = reply.attempts[1]
    assert landing.cost_nanos > 0
    assert found == {
        "big:m": (1, Decimal("0.0006")),
        "local:triage-q8_0": (0, Decimal(landing.cost_nanos).scaleb(-9)),
    }
    assert report["waste"]["failed attempts"]["calls"] == 0
    assert report["waste"]["truncated replies"]["calls"] == 1
