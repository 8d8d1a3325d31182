"""The calls a gRPC server has in hand: the thread pool that answers them, and the books about them."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol

import grpc
import structlog

from worker.clock import Clock

log = structlog.get_logger(__name__)

# How a call may end, as the gRPC metrics of other languages write it.
CODE_NAMES = {
    grpc.StatusCode.OK: "OK",
    grpc.StatusCode.CANCELLED: "Canceled",
    grpc.StatusCode.UNKNOWN: "Unknown",
    grpc.StatusCode.INVALID_ARGUMENT: "InvalidArgument",
    grpc.StatusCode.DEADLINE_EXCEEDED: "DeadlineExceeded",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "ResourceExhausted",
    grpc.StatusCode.INTERNAL: "Internal",
}


@dataclass(slots=True)
class Call:
    """One call from its arrival until its answer is on its way.

    Attributes:
        method: its name in the books; None when nobody keeps any about it.
        arrived: monotonic seconds.
        code: how it ended; CANCELLED until work on it begins: what never gets that far was abandoned.
        seconds_left: until the caller's deadline, when work on it began; None before, infinite without a deadline.
    """

    method: str | None
    arrived: float
    code: grpc.StatusCode = grpc.StatusCode.CANCELLED
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one pool.

    Attributes:
        threads: that answer calls.
        calls: in hand at once, waiting or worked on.
    """

    threads: int
    calls: int


def _stay() -> None:
    """Leave a thread where the system puts it."""


class Books(Protocol):
    """Told of every call whose method is in the books, on the thread that knows."""

    def began(self, method: str) -> None:
        """A call came."""

    def refused(self, method: str) -> None:
        """It was sent away at once, because too many are in hand."""

    def ended(self, method: str, code: str, seconds: float, seconds_left: float | None) -> None:
        """It was answered, or given up, `seconds` after it came; `seconds_left` as `Call` has it."""


class CallPool(grpc.ServerInterceptor):
    """The threads that answer the calls of one grpcio server, and the interceptor that decides who gets in.

    grpcio takes calls one after the other on its serving thread: it asks the interceptors for the method's handler and
    submits the call to the pool. grpcio's own limit (`maximum_concurrent_rpcs`) would count every stream of the
    reflection service, and what it refuses it tells nobody. Python's own pool would do, but its futures take a tenth of
    what a whole call may cost.
    """

    def __init__(
        self, limits: Limits, names: Mapping[str, str], books: Books, clock: Clock, settle: Callable[[], None] = _stay
    ) -> None:
        """Start the threads.

        Args:
            limits: how many threads, and calls.
            names: the methods to keep books about: full path, such as "/clf.v1.Classifier/Classify", to name.
            books: told of them.
            clock: the time.
            settle: called once by each thread that has to do with calls, grpcio's serving thread among them.
        """
        self._max_calls = limits.calls
        self._names = names
        self._books = books
        self._clock = clock
        self._settle = settle
        self._serving_settled = False
        self._refusal = _refusal(f"{limits.calls} calls are in hand here already: try another server, or later")
        self._local = threading.local()
        self._looked_up: str | None = None
        self._lock = threading.Lock()
        self._in_hand = 0
        self._ended = 0
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"call-{n}", daemon=True) for n in range(limits.threads)
        ]
        for thread in self._threads:
            thread.start()

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:  # noqa: ANN401 - as the base class
        """Let a call in, or refuse it; on the serving thread."""
        if not self._serving_settled:
            self._serving_settled = True
            self._settle()
        method = self._names.get(handler_call_details.method)
        if method is not None:
            self._books.began(method)
            if self._in_hand >= self._max_calls:
                self._books.refused(method)
                return self._refusal
        self._looked_up = method
        return continuation(handler_call_details)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "_NobodyWaits":  # noqa: ANN401 - as an executor's
        """Answer the call that was let in last on one of the threads; on the serving thread."""
        with self._lock:
            self._in_hand += 1
        self._queue.put((Call(self._looked_up, self._clock.monotonic()), fn, args, kwargs))
        return _NOBODY_WAITS

    @property
    def current(self) -> Call:
        """The call that this thread answers."""
        call: Call = self._local.call
        return call

    def age(self, call: Call) -> float:
        """Seconds since the call came."""
        return self._clock.monotonic() - call.arrived

    @property
    def in_hand(self) -> int:
        """Calls that wait for a thread or have one."""
        return self._in_hand

    @property
    def crowded(self) -> bool:
        """Whether calls wait for a thread."""
        return self._in_hand > len(self._threads)

    @property
    def ended(self) -> int:
        """Calls that have been answered or given up since the start."""
        return self._ended

    def close(self) -> None:
        """Let the threads end, once they have answered what is in hand."""
        for _ in self._threads:
            self._queue.put(None)

    def _run(self) -> None:
        self._settle()
        while (work := self._queue.get()) is not None:
            call, fn, args, kwargs = work
            self._local.call = call
            try:
                fn(*args, **kwargs)
            except Exception:
                log.exception("call_failed", reason="This is a bug, of grpcio or here. Other calls are not affected.")
            if call.method is not None:
                self._books.ended(call.method, CODE_NAMES[call.code], self.age(call), call.seconds_left)
            with self._lock:
                self._in_hand -= 1
                self._ended += 1
            del work, call, fn, args, kwargs  # what waits for the next call must not keep the last one's document


class _NobodyWaits:
    """Stands for the future of a call. grpcio only asks to be told for the sake of a limit that is not used."""

    def add_done_callback(self, fn: Callable[[Any], Any], /) -> None:
        """It is not told."""


_NOBODY_WAITS = _NobodyWaits()
_Work = tuple[Call, Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class _AtOnce(ThreadPoolExecutor):
    """Runs what it is handed on the thread that hands it over.

    A refusal waits for nothing, not even for the request, so the serving thread makes it in passing. On a thread of the
    pool it would come after the calls that are in hand, or take the interpreter from them.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 - as the base class
        """Run, and return what is done already."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _refusal(sentence: str) -> "grpc.RpcMethodHandler[Any, Any]":
    """A handler that refuses. As one for a stream of requests it is called before the request has arrived."""

    def refuse(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        del requests
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence)

    # grpcio's way to give a handler a pool of its own.
    refuse.experimental_thread_pool = _AtOnce(1)  # type: ignore[attr-defined]  # functions may carry attributes
    return grpc.stream_unary_rpc_method_handler(refuse)
