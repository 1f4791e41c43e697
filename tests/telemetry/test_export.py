"""Spans over the wire, to a receiver that speaks OTLP as Jaeger does."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from inferkit import ConfigurationError
from inferkit.telemetry import export_to_jaeger

APP = """
import sys
from inferkit import Client
from inferkit.telemetry import export_to_jaeger
from inferkit.testing import FakeProvider

with export_to_jaeger(sys.argv[1], service_name="shop"):
    with Client(providers={"fake": FakeProvider("hello")}, models={"any": "fake:m"}, ledger=False, cache=False) as llm:
        print(llm.complete("any", "a secret question").trace_id)
"""


class Receiver(ThreadingHTTPServer):
    def __init__(self):
        self.received = []
        self.paths = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        self.server.paths.append(self.path)
        self.server.received.append(ExportTraceServiceRequest.FromString(body))
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    yield server
    server.shutdown()
    server.server_close()


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
