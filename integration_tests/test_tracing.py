"""Traces of real processes, in a receiver of ours that speaks OTLP over loopback, HTTP and gRPC."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider

from integration_tests.broker import ToSend
from integration_tests.serving import ServeProcess
from integration_tests.system import System, wait_until
from schemas.classification import Status
from schemas.document import Document
from worker.client import ClassifierClient

DOCUMENT = Document("https://a.example/1", "Title", "text", "en")
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()


class Receiver:
    """Keeps the spans it is sent, by the name of their service."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Note the spans of one request."""
        for resource in request.resource_spans:
            names = [pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name"]
            self.spans += [(names[0], span) for scope in resource.scope_spans for span in scope.spans]

    def named(self, name: str) -> list[tuple[str, Span]]:
        """Those with that name."""
        return [(service, span) for service, span in self.spans if span.name == name]


@contextmanager
def receiving_http(receiver: Receiver) -> Iterator[str]:
    """OTLP over HTTP for the time of the block; where."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """One export."""
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def receiving_grpc(receiver: Receiver) -> Iterator[str]:
    """OTLP over gRPC for the time of the block; where."""

    class Service(TraceServiceServicer):
        def Export(  # noqa: N802 - the protocol calls it so
            self, request: ExportTraceServiceRequest, _context: grpc.ServicerContext
        ) -> ExportTraceServiceResponse:
            """One export."""
            receiver.take(request)
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(Service(), server)  # type: ignore[no-untyped-call]  # generated without types
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(None).wait()


RECEIVING = {"http/protobuf": receiving_http, "grpc": receiving_grpc}


@pytest.fixture(params=["http/protobuf"])
def receiver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that the environment of started processes names."""
    found = Receiver()
    with RECEIVING[request.param](found) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", request.param)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield found


@pytest.mark.parametrize("receiver", sorted(RECEIVING), indirect=True)
def test_a_call_continues_the_trace_of_its_caller(receiver: Receiver, tmp_path: Path) -> None:
    """The span of `clf serve` is the child of the span that the client was called in."""
    provider = TracerProvider(shutdown_on_exit=False)
    options = ["--no-scoring", "--lame-duck", "0"]
    with (
        ServeProcess(tmp_path / "serve", options) as process,
        ClassifierClient(process.grpc, timeout=10.0, hedge_after=10.0) as client,
        provider.get_tracer("crawler").start_as_current_span("crawl") as span,
    ):
        assert client.classify(DOCUMENT).status is Status.CLASSIFIED
        caller = span.get_span_context()
        wait_until(lambda: receiver.named("clf.v1.Classifier/Classify"), "the span of the call is exported")
        assert process.terminate() == 0
    [(service, found)] = receiver.named("clf.v1.Classifier/Classify")
    assert service == "clf-serve"
    assert int.from_bytes(found.trace_id, "big") == caller.trace_id
    assert int.from_bytes(found.parent_span_id, "big") == caller.span_id
    assert found.kind == Span.SPAN_KIND_SERVER


@pytest.mark.broker
def test_a_batch_links_to_the_traces_of_its_documents(receiver: Receiver, system: System) -> None:
    """Both spans of a worker's batch link to them, and the result carries the context of its document."""
    headers = (("traceparent", PARENT), ("tracestate", b"crawler=7"))
    hostile = (("traceparent", b"\xff" * 55),)
    system.kafka.produce(
        system.documents, [ToSend(DOCUMENT.to_json(), b"k", pairs) for pairs in (headers, hostile, ())]
    )
    with system.worker("--no-scoring") as worker:
        system.await_settled(3)
        assert worker.terminate() == 0
    assert sum(_records(span) for _, span in receiver.named(f"process {system.documents}")) == 3
    for name in (f"process {system.documents}", f"publish {system.classifications}"):
        found = receiver.named(name)
        links = [(link.trace_id.hex(), link.span_id.hex()) for _, span in found for link in span.links]
        assert (links, {service for service, _ in found}) == ([(TRACE, SPAN)], {"clf-worker"})
        assert all(not span.parent_span_id for _, span in found)
    assert [record.headers for record in system.results()] == [headers, hostile, ()]


def _records(span: Span) -> int:
    return sum(pair.value.int_value for pair in span.attributes if pair.key == "messaging.batch.message_count")
