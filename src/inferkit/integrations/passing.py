"""The span of a request that is no model call: it goes on to its own server, and is seen to.

It says which server was asked for what, and nothing of what was sent; it has no `gen_ai.*`, so nobody adds it up.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from inferkit.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.trace import Tracer

__all__ = ["traced"]

_FAILED = 400


@contextmanager
def traced(tracer: Tracer, request: Any) -> Iterator[Callable[[Any], Any]]:
    """Have a span around the sending of a request, to the head of its answer, which goes through what this gives.

    It is current meanwhile, so that an instrumented HTTP client's own span is its child.
    """
    span = tracer.start_span(
        names.PASSED_ON,
        kind=SpanKind.CLIENT,
        attributes={
            names.HTTP_METHOD: request.method,
            names.SERVER_ADDRESS: request.url.host,
            names.URL_PATH: request.url.path,
        },
    )

    def answered(answer: Any) -> Any:
        span.set_attribute(names.HTTP_STATUS, answer.status_code)
        if answer.status_code >= _FAILED:
            span.set_attribute(names.ERROR_TYPE, str(answer.status_code))
            span.set_status(Status(StatusCode.ERROR))
        return answer

    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield answered
        except BaseException as error:
            span.set_attribute(names.ERROR_TYPE, type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise
