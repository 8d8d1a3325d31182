"""Traces: spans with links for batches and transactions, child spans for calls, and nothing at all when nobody asks."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from threading import Event
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from schemas.dead_letter import Stage
from schemas.document import Document
from schemas.document_reader import DocumentReader
from schemas.headers import Headers
from worker.calling.caller import caller_context
from worker.classify import ConstantClassifier
from worker.serve.call_spans import CallSpans
from worker.serve.call_tracing import call_tracing
from worker.serve.calls import Call
from worker.spans import StreamSpans
from worker.stream.checkpoint import Checkpoint
from worker.stream.errors import AbortableError
from worker.stream.policy import OnFailure
from worker.stream.processor import Destination, Processor
from worker.stream.records import Record
from worker.tests.fakes import P0, ManualClock, NotingObserver
from worker.tracing import stream_tracing, wanted_exporters

TRACE = 0x0AF7651916CD43DD8448EB211C80319C


def traced(span: int, flags: int = 1) -> Headers:
    """The headers of a document that was sent by that span."""
    return (("traceparent", f"00-{TRACE:032x}-{span:016x}-{flags:02x}".encode()), ("tracestate", b"crawler=7"))


class Kept:
    """A provider that keeps its spans."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """Those that ended."""
        return self._exporter.get_finished_spans()


@pytest.fixture
def kept() -> Iterator[Kept]:
    """For one test."""
    kept = Kept()
    yield kept
    kept.provider.shutdown()


def links(span: ReadableSpan) -> list[tuple[int, int]]:
    """Where it points."""
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def records() -> list[Record]:
    """Two are traced, the trace of one is not recorded, three have no context of any use, one is no document."""
    value = Document("u", "t", "text", "en").to_json()
    headers = [traced(1), traced(2), traced(3, flags=0), (), (("traceparent", b"\xff" * 55),), (("traceparent", None),)]
    good = [Record(P0, offset, 1, None, value, pairs) for offset, pairs in enumerate(headers)]
    return [*good, Record(P0, len(good), 1, None, b"no document", ())]


def processor() -> Processor:
    """One that puts aside."""
    policy = {Stage.DECODE: OnFailure.DEAD_LETTER, Stage.SCORE: OnFailure.DEAD_LETTER}
    destination = Destination("results", "dead", lambda: 1)
    return Processor(ConstantClassifier, destination, policy, NotingObserver(), ManualClock(), DocumentReader())


# --- a worker -----------------------------------------------------------------------------------------------------


def test_a_batch_links_to_its_documents(kept: Kept) -> None:
    """It is a trace of its own, not a child of any; results keep the context of their document, and nothing changes."""
    outcome = StreamSpans(kept.provider).process(processor(), "documents", "clf")(records())
    assert outcome == processor()(records())
    [span] = kept.spans
    assert (span.name, span.kind, span.parent) == ("process documents", SpanKind.CONSUMER, None)
    assert links(span) == [(TRACE, 1), (TRACE, 2)]
    assert span.links[0].context.trace_state.get("crawler") == "7"
    attributes = dict(span.attributes or {})
    assert attributes["messaging.batch.message_count"] == 7
    assert (attributes["messaging.consumer.group.name"], attributes["clf.dead_letters"]) == ("clf", 1)
    assert outcome.parts[P0].outgoing[0].headers == traced(1)


def test_a_batch_that_fails_tells_its_kind_only(kept: Kept) -> None:
    """The text of an error may be anything, so it stays here."""

    def fail(batch: Sequence[Record]) -> Any:  # noqa: ANN401 - it never returns
        raise ZeroDivisionError(batch[0].value)

    with pytest.raises(ZeroDivisionError):
        StreamSpans(kept.provider).process(fail, "documents", "clf")(records())
    [span] = kept.spans
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ZeroDivisionError")
    assert span.events == ()


class FailingPublisher:
    """Does nothing, and fails to commit the first time."""

    def __init__(self) -> None:
        self.sent = 0
        self.commits = 0
        self.others: list[str] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else a publisher has
        return lambda *_: self.others.append(name)

    def send(self, outgoing: Any) -> None:  # noqa: ANN401 - records
        """Count them."""
        self.sent += len(list(outgoing))

    def commit(self, *_: object) -> None:
        """Fail once."""
        self.commits += 1
        if self.commits == 1:
            raise AbortableError("no")


def test_a_transaction_has_a_span_for_each_attempt(kept: Kept) -> None:
    """With the same links; one that is aborted is told as such, and its successor ends well."""
    inner: Any = FailingPublisher()
    publisher = StreamSpans(kept.provider).publisher(inner, "results")
    checkpoint = Checkpoint(publisher, NotingObserver(), ManualClock(), 10.0)
    outcome = processor()(records())
    with pytest.raises(AbortableError):
        checkpoint.run(outcome, b"", Event())
    checkpoint.run(outcome, b"", Event())
    checkpoint.acknowledge(outcome)
    publisher.close()
    assert [span.status.status_code for span in kept.spans] == [StatusCode.ERROR, StatusCode.OK]
    assert {(span.name, span.kind, tuple(links(span))) for span in kept.spans} == {
        ("publish results", SpanKind.PRODUCER, ((TRACE, 1), (TRACE, 2)))
    }
    assert inner.sent == 2 * 7
    assert inner.others == ["begin", "abort", "begin", "acknowledge", "close"]


# --- a server and its callers ---------------------------------------------------------------------------------------


def call_span(kept: Kept, code: grpc.StatusCode, metadata: Headers, method: str | None = "Classify") -> None:
    """One call that ends so."""
    call = Call(method, 0.0)
    pool: Any = SimpleNamespace(current=call, age=lambda _: 0.25)
    context: Any = SimpleNamespace(invocation_metadata=lambda: metadata)

    def behave(requests: Iterator[bytes], _: grpc.ServicerContext) -> bytes:
        call.code = code
        if code is not grpc.StatusCode.OK:
            raise RuntimeError("as grpcio ends a call")
        return next(requests)

    behaviour = CallSpans(kept.provider, ManualClock()).behaviour(behave, "Classify", pool)
    if code is grpc.StatusCode.OK:
        assert behaviour(iter([b"r"]), context) == b"r"
    else:
        with pytest.raises(RuntimeError):
            behaviour(iter([b"r"]), context)


def test_a_call_is_the_child_of_its_caller(kept: Kept) -> None:
    """It begins when the call came, not when a thread was free."""
    call_span(kept, grpc.StatusCode.OK, (("user-agent", b"x"), *traced(5)))
    [span] = kept.spans
    assert (span.name, span.kind) == ("clf.v1.Classifier/Classify", SpanKind.SERVER)
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id, span.parent.is_remote) == (TRACE, 5, True)
    assert span.context is not None
    assert span.context.trace_state.get("crawler") == "7"
    assert span.start_time == 999_750_000_000
    assert (span.attributes or {})["rpc.grpc.status_code"] == 0


def test_hostile_metadata_begins_a_trace_of_its_own(kept: Kept) -> None:
    """As if it were not there."""
    call_span(kept, grpc.StatusCode.OK, (("traceparent", b"00-" + b"0" * 52),))
    assert [span.parent for span in kept.spans] == [None]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.INTERNAL, StatusCode.ERROR),
        (grpc.StatusCode.DEADLINE_EXCEEDED, StatusCode.ERROR),
        (grpc.StatusCode.INVALID_ARGUMENT, StatusCode.UNSET),
        (grpc.StatusCode.CANCELLED, StatusCode.UNSET),
    ],
)
def test_failed_calls_have_their_code(kept: Kept, code: grpc.StatusCode, status: StatusCode) -> None:
    """Only what is the server's fault is an error of the server."""
    call_span(kept, code, ())
    [span] = kept.spans
    assert (span.status.status_code, (span.attributes or {})["rpc.grpc.status_code"]) == (status, code.value[0])
    assert span.events == ()


def test_calls_that_a_server_makes_to_itself_have_none(kept: Kept) -> None:
    """Keep-warm calls are in no books and in no traces."""
    call_span(kept, grpc.StatusCode.OK, (), method=None)
    assert kept.spans == ()


def test_a_client_names_the_span_it_is_called_in(kept: Kept) -> None:
    """Only while there is one."""
    assert caller_context() == ()
    with kept.provider.get_tracer("test").start_as_current_span("crawl") as span:
        context = span.get_span_context()
        parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        assert caller_context() == (("traceparent", parent),)


# --- what the environment says ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, []),
        ({"OTEL_TRACES_EXPORTER": "none"}, []),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, ["otlp", "console"]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, ["otlp"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, ["otlp"]),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, []),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "True"}, []),
    ],
)
def test_the_standard_variables_decide(environment: dict[str, str], expected: list[str]) -> None:
    """An exporter, or an endpoint for one, switches traces on."""
    assert wanted_exporters(environment) == expected


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "carrier-pigeon"}, "carrier-pigeon"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "http/json"),
    ],
)
def test_what_cannot_be_had_is_a_warning(environment: dict[str, str], told: str) -> None:
    """Such variables are often set for a whole cluster; a worker works all the same."""
    with capture_logs() as logs:
        assert stream_tracing(environment, 10) is None
        assert call_tracing(environment, ManualClock()) is None
    assert [entry["event"] for entry in logs] == ["tracing_off"] * 2
    assert all(told in entry["reason"] for entry in logs)


def test_a_collector_that_is_gone_holds_up_no_stop() -> None:
    """Closing gives up after a few seconds, whatever the exporter still tries."""
    waiting = Event()
    provider: Any = SimpleNamespace(get_tracer=lambda *_: None, force_flush=lambda: waiting.wait(60))
    with patch("worker.spans._FLUSH_SECONDS", 0.01):
        StreamSpans(provider).close()
    assert not waiting.is_set()
    waiting.set()


def test_nothing_is_imported_when_nobody_asks() -> None:
    """Neither a worker, a server nor a client knows OpenTelemetry then."""
    program = (
        "import sys, worker.app, worker.serve_app, worker.client\n"
        "from worker.tracing import stream_tracing\n"
        "from worker.serve.call_tracing import call_tracing\n"
        "assert stream_tracing({}, 1) is None and call_tracing({}, None) is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "[]\n"), found.stderr
