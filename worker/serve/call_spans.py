"""The spans of a server's calls. Imports OpenTelemetry; `call_tracing` imports it when there is something to trace."""

from collections.abc import Iterator
from typing import Any, Final

import grpc
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, Span, SpanKind, Status, StatusCode, set_span_in_context

from schemas.trace_context import TRACEPARENT, TRACESTATE, trace_context
from worker.clock import Clock
from worker.serve.calls import CODE_NAMES, Call, CallPool
from worker.serve.grpc import SERVICE, Behaviour
from worker.spans import flush, span_context, tracer_of

# Whose fault a call is that gets no answer: the others are the caller's.
_SERVER_ERRORS: Final = frozenset(
    {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED}
)


class CallSpans:
    """Implements `worker.serve.call_tracing.CallTracing`."""

    def __init__(self, provider: TracerProvider, clock: Clock) -> None:
        self._provider = provider
        self._tracer = tracer_of(provider)
        self._clock = clock

    def behaviour(self, behaviour: Behaviour, method: str, pool: CallPool) -> Behaviour:
        """The same, with a span for each call of the books."""

        def traced(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            call = pool.current
            if call.method is None:
                return behaviour(requests, context)
            waited = pool.age(call)
            span = self._tracer.start_span(
                f"{SERVICE}/{method}",
                context=_parent(context),
                kind=SpanKind.SERVER,
                attributes={"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": method},
                start_time=int((self._clock.time() - waited) * 1e9),
            )
            try:
                return behaviour(requests, context)
            finally:
                _end(span, call)

        return traced

    def close(self) -> None:
        """Send what is recorded."""
        flush(self._provider)


def _parent(context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - a Context, which is not exported under one name
    pairs = [
        (name, value if isinstance(value, bytes) else value.encode("latin-1", "replace"))
        for name, value in context.invocation_metadata()
        if name in {TRACEPARENT, TRACESTATE}
    ]
    found = trace_context(pairs)
    return None if found is None else set_span_in_context(NonRecordingSpan(span_context(found)))


def _end(span: Span, call: Call) -> None:
    span.set_attribute("rpc.grpc.status_code", call.code.value[0])
    if call.code in _SERVER_ERRORS:
        span.set_status(Status(StatusCode.ERROR, CODE_NAMES.get(call.code)))
    span.end()
