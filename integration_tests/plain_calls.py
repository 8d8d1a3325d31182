"""Callers of `clf serve` that use nothing of ours: plain channels, and the messages of the .proto file."""

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NamedTuple, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from schemas import classifier_pb2

SERVICE = "clf.v1.Classifier"
PATIENT_S = 30.0
_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50)]


class Outcome(NamedTuple):
    """How one call ended."""

    code: grpc.StatusCode
    message: str
    reply: bytes
    trailers: dict[str, str]


class Held:
    """A call that has sent no request yet."""

    def __init__(
        self, call: "grpc.StreamUnaryMultiCallable[bytes, bytes]", request: bytes, timeout: float | None
    ) -> None:
        """Begin it. On the wire it is what a plain call is, but for the time between its parts."""
        self._request = request
        self._go = threading.Event()
        self._future: Any = call.future(self._requests(), timeout)

    def release(self) -> None:
        """Send the request."""
        self._go.set()

    def cancel(self) -> None:
        """Leave."""
        self._future.cancel()

    def outcome(self) -> Outcome:
        """Wait until it is over."""
        return _outcome(self._future)

    def _requests(self) -> Iterator[bytes]:
        self._go.wait()
        yield self._request


class Caller:
    """One channel to one address, or to several, closed at the end of the `with` block."""

    def __init__(
        self,
        address: str,
        credentials: grpc.ChannelCredentials | None = None,
        options: "tuple[tuple[str, Any], ...]" = (),
    ) -> None:
        """Nothing is connected before the first call."""
        # A connection of its own, which no other channel of this process shares.
        options = (*options, *_RECONNECT, ("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1))
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options)
        else:
            self.channel = grpc.secure_channel(address, credentials, options)
        self._health: Any = health_pb2_grpc.HealthStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.channel.close()

    def call(
        self, request: bytes, method: str = "Classify", timeout: float | None = PATIENT_S, service: str = SERVICE
    ) -> Outcome:
        """Send any bytes."""
        return _outcome(self.begin(request, method, timeout, service))

    def begin(
        self, request: bytes, method: str = "Classify", timeout: float | None = PATIENT_S, service: str = SERVICE
    ) -> Any:  # noqa: ANN401 - grpcio's future has no public type
        """The same, without waiting for the end."""
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(f"/{service}/{method}")
        return call.future(request, timeout)

    def hold(self, request: bytes, timeout: float | None = PATIENT_S) -> Held:
        """Begin a call without its request."""
        return Held(self.channel.stream_unary(f"/{SERVICE}/Classify"), request, timeout)

    def classify(self, document: classifier_pb2.Document) -> classifier_pb2.Classification:
        """As generated code does it; raises what grpcio raises."""
        call: grpc.UnaryUnaryMultiCallable[classifier_pb2.Document, classifier_pb2.Classification]
        call = self.channel.unary_unary(
            f"/{SERVICE}/Classify",
            classifier_pb2.Document.SerializeToString,
            classifier_pb2.Classification.FromString,
        )
        return call(document, timeout=PATIENT_S, wait_for_ready=True)

    def check(self, service: str = "") -> int:
        """What the health service says."""
        return int(self._health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENT_S).status)

    def watch(self, service: str = "") -> "Watch":
        """What it says from now on."""
        return Watch(self._health.Watch(health_pb2.HealthCheckRequest(service=service), wait_for_ready=True))


class Watch:
    """The statuses that a watcher was sent, in order, until the server hangs up."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - grpcio's call has no public type
        self._stream = stream
        self.seen: list[int] = []
        self.ended = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def cancel(self) -> None:
        """Leave."""
        self._stream.cancel()

    def _read(self) -> None:
        try:
            for response in self._stream:
                self.seen.append(response.status)
        except grpc.RpcError:
            self.ended.set()


def _outcome(future: Any) -> Outcome:  # noqa: ANN401 - as above
    reply = b"" if future.exception() else future.result()
    trailers = {key: value for key, value in future.trailing_metadata() or () if isinstance(value, str)}
    return Outcome(future.code(), future.details() or "", reply, trailers)
