"""The spans of a worker. Imports OpenTelemetry; `worker.tracing` imports it when there is something to trace."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.metadata import entry_points, version
from threading import Thread
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
)

from schemas.headers import Headers
from schemas.trace_context import TraceContext, trace_context
from worker.stream.deadline import Deadline
from worker.stream.loop import Process
from worker.stream.ports import Publisher
from worker.stream.records import Outcome, Outgoing, Position, Record, TopicPartition

_GROUP: Final = "opentelemetry_traces_exporter"
_OTLP: Final = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
# Spans with thousands of links are large; receivers take four megabytes at a time.
_EXPORT_SPANS: Final = 32
_FLUSH_SECONDS: Final = 3.0


def open_provider(
    service: str, exporters: Sequence[str], environment: Mapping[str, str], most_links: int | None = None
) -> TracerProvider:
    """What takes spans, for these exporters; the rest is configured by the environment, as the SDK does it.

    Raises:
        ValueError: there is no such exporter, or a setting is malformed.
        ImportError: its package is not installed.
    """
    provider = TracerProvider(
        resource=Resource.create({} if _has_name(environment) else {"service.name": service}),
        span_limits=SpanLimits(max_links=None if "OTEL_SPAN_LINK_COUNT_LIMIT" in environment else most_links),
        shutdown_on_exit=False,
    )
    size = None if "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" in environment else _EXPORT_SPANS
    for name in exporters:
        provider.add_span_processor(BatchSpanProcessor(_exporter(name, environment), max_export_batch_size=size))
    return provider


def _has_name(environment: Mapping[str, str]) -> bool:
    return "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")


def _exporter(name: str, environment: Mapping[str, str]) -> SpanExporter:
    if name == "otlp":
        protocol = (
            environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
            or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
            or "http/protobuf"
        )
        if protocol not in _OTLP:
            raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}, not one of {', '.join(_OTLP)}")
        name = _OTLP[protocol]
    found = entry_points(group=_GROUP, name=name)
    if not found:
        raise ImportError(f"No package here has the trace exporter {name!r}")
    exporter: SpanExporter = next(iter(found)).load()()
    return exporter


def tracer_of(provider: TracerProvider) -> Tracer:
    """Ours."""
    return provider.get_tracer("clf", version("clf-worker"))


def flush(provider: TracerProvider) -> None:
    """Send what is recorded, as far as that takes no more than a few seconds."""
    # The SDK does not keep its own time limit while an exporter tries again.
    sending = Thread(target=provider.force_flush, name="last spans", daemon=True)
    sending.start()
    sending.join(_FLUSH_SECONDS)


class StreamSpans:
    """Implements `worker.tracing.StreamTracing`."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = tracer_of(provider)

    def process(self, process: Process, topic: str, group: str) -> Process:
        """The same, with a span for each batch."""

        def traced(records: Sequence[Record]) -> Outcome:
            with self._tracer.start_as_current_span(
                f"process {topic}",
                kind=SpanKind.CONSUMER,
                links=_links(record.headers for record in records),
                attributes={
                    **_messaging("process", topic),
                    "messaging.consumer.group.name": group,
                    "messaging.batch.message_count": len(records),
                },
                record_exception=False,  # its text may be anything
                set_status_on_exception=False,
            ) as span:
                try:
                    outcome = process(records)
                except BaseException as error:
                    span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                    raise
                span.set_attribute("clf.dead_letters", outcome.dead_letters)
                return outcome

        return traced

    def publisher(self, publisher: Publisher, topic: str) -> Publisher:
        """The same, with a span for each transaction."""
        return _TracedPublisher(publisher, self._tracer, topic)

    def close(self) -> None:
        """Send what is recorded."""
        flush(self._provider)


class _TracedPublisher:
    """Implements `worker.stream.ports.Publisher` around another one."""

    def __init__(self, publisher: Publisher, tracer: Tracer, topic: str) -> None:
        self._publisher = publisher
        self._tracer = tracer
        self._topic = topic
        self._span: Span | None = None

    def begin(self) -> None:
        """Start a span, and what is inside."""
        self._end(StatusCode.UNSET)  # whatever became of the one before
        self._span = self._tracer.start_span(
            f"publish {self._topic}", kind=SpanKind.PRODUCER, attributes=_messaging("send", self._topic)
        )
        self._publisher.begin()

    def send(self, outgoing: Iterable[Outgoing]) -> None:
        """Link to what the records carry, and send them."""
        records = list(outgoing)
        if self._span is not None:
            for link in _links(record.headers for record in records):
                self._span.add_link(link.context)
        self._publisher.send(records)

    def commit(self, positions: Mapping[TopicPartition, Position], membership: bytes, deadline: Deadline) -> None:
        """Commit, and end the span."""
        self._publisher.commit(positions, membership, deadline)
        self._end(StatusCode.OK)

    def abort(self, deadline: Deadline) -> None:
        """End the span as failed, and abort."""
        self._end(StatusCode.ERROR, "aborted")
        self._publisher.abort(deadline)

    def acknowledge(self, positions: Mapping[TopicPartition, Position]) -> bool:
        """Pass on."""
        return self._publisher.acknowledge(positions)

    def release(self, partitions: Collection[TopicPartition], deadline: Deadline) -> None:
        """Pass on."""
        self._publisher.release(partitions, deadline)

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Pass on."""
        self._publisher.forget(partitions)

    def close(self) -> None:
        """Pass on."""
        self._publisher.close()

    def _end(self, code: StatusCode, description: str | None = None) -> None:
        if self._span is not None:
            self._span.set_status(Status(code, description))
            self._span.end()
            self._span = None


def _messaging(operation: str, topic: str) -> dict[str, Any]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }


def _links(headers: Iterable[Headers]) -> list[Link]:
    """To the contexts that somebody records; the others lead nowhere."""
    contexts = (trace_context(pairs) for pairs in headers if pairs)
    return [Link(span_context(context)) for context in contexts if context is not None and context.sampled]


def span_context(context: TraceContext) -> SpanContext:
    """The same for OpenTelemetry."""
    state = TraceState(list(context.state)) if context.state else None
    return SpanContext(
        context.trace_id, context.span_id, is_remote=True, trace_flags=TraceFlags(context.flags), trace_state=state
    )
