"""Spans over the wire, to a receiver that speaks OTLP as Jaeger does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from inferkit import ConfigurationError
from inferkit.telemetry import export_to_jaeger
from otlp import Receiver

APP = """
import sys
from inferkit import Client
from inferkit.telemetry import export_to_jaeger
from inferkit.testing import FakeProvider

with export_to_jaeger(sys.argv[1], service_name="shop"):
    with Client(providers={"fake": FakeProvider("hello")}, models={"any": "fake:m"}, ledger=False, cache=False) as llm:
        print(llm.complete("any", "a secret question").trace_id)
"""


@pytest.fixture
def receiver():
    with Receiver() as server:
        yield server


def test_one_line_sends_the_spans_of_an_application_to_a_collector(receiver):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", APP, receiver.address], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert set(receiver.paths) == {"/v1/traces"}
    spans = {}
    for request in receiver.received:
        for resource in request.resource_spans:
            attributes = {item.key: item.value.string_value for item in resource.resource.attributes}
            assert attributes["service.name"] == "shop"
            for scope in resource.scope_spans:
                assert scope.scope.name == "inferkit"
                assert scope.schema_url.endswith("/1.41.1") or scope.schema_url.endswith("/1.41.0")
                spans |= {span.name: span for span in scope.spans}
    assert set(spans) == {"inferkit.call", "chat m", "inferkit.stream"}
    assert {span.trace_id.hex() for span in spans.values()} == {done.stdout.strip()}
    assert spans["chat m"].parent_span_id == spans["inferkit.call"].span_id
    assert b"secret" not in b"".join(request.SerializeToString() for request in receiver.received)


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://host", "http://", ""])
def test_an_endpoint_that_is_no_address_is_refused(endpoint):
    with pytest.raises(ConfigurationError, match="http://localhost:4318"):
        export_to_jaeger(endpoint)
