"""What calls leave behind, as metrics."""

from collections import Counter as Counts
from collections.abc import Iterator, Sequence
from threading import Lock

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.serve.histograms import Tally, histogram_of

CALL_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1)
_METHOD_LABELS = ("grpc_type", "grpc_service", "grpc_method")
# gRPC gives a call without a deadline some hundred years.
_NO_DEADLINE = 1e9
_REFUSALS = {"ResourceExhausted": "too_many_calls", "DeadlineExceeded": "too_little_time", "Canceled": "abandoned"}


class CallBooks(Collector):
    """What calls leave behind, all under one lock: a metric of the library for each would take a tenth of a call."""

    def __init__(self, registry: CollectorRegistry, service: str, methods: Sequence[str], codes: Sequence[str]) -> None:
        """`service`, `methods` and `codes` are what the labels of those names take."""
        self._service = service
        self._lock = Lock()
        self._started = dict.fromkeys(methods, 0)
        self._handled = {(method, code): 0 for method in methods for code in codes}
        self._seconds = {method: Tally(CALL_BUCKETS) for method in methods}
        self._answered = Tally(CALL_BUCKETS)
        self._time_left = Tally(CALL_BUCKETS)
        registry.register(self)

    @property
    def answered(self) -> Tally:
        """How long the calls took that were answered."""
        return self._answered

    def began(self, method: str) -> None:
        """A call came; on the serving thread only."""
        self._started[method] += 1

    def refused(self, method: str) -> None:
        """It was sent away, because too many are in hand."""
        with self._lock:
            self._handled[method, "ResourceExhausted"] += 1

    def ended(self, method: str, code: str, seconds: float, seconds_left: float | None) -> None:
        """A call was answered, or not."""
        with self._lock:
            self._handled[method, code] += 1
            self._seconds[method].add(seconds)
            if code == "OK":
                self._answered.add(seconds)
            if seconds_left is not None and seconds_left < _NO_DEADLINE:
                self._time_left.add(seconds_left)

    def collect(self) -> Iterator[Metric]:
        """The present state. Nothing is yielded under the lock: calls would wait for whoever writes it down."""
        with self._lock:
            families = [
                self._started_family(),
                self._handled_family(),
                self._seconds_family(),
                self._failures_family(),
                self._refusals_family(),
                histogram_of(
                    "clf_latency_seconds", "From the arrival of an answered call until its answer.", self._answered
                ),
                histogram_of(
                    "clf_time_left_seconds",
                    "Until the caller's deadline, when work on a call began; calls without a deadline do not count.",
                    self._time_left,
                ),
            ]
        yield from families

    def _started_family(self) -> Metric:
        family = CounterMetricFamily("grpc_server_started", "Calls that came.", labels=_METHOD_LABELS)
        for method, count in self._started.items():
            family.add_metric(("unary", self._service, method), count)
        return family

    def _handled_family(self) -> Metric:
        labels = (*_METHOD_LABELS, "grpc_code")
        family = CounterMetricFamily("grpc_server_handled", "Calls that ended, by how.", labels=labels)
        for (method, code), count in self._handled.items():
            family.add_metric(("unary", self._service, method, code), count)
        return family

    def _seconds_family(self) -> Metric:
        family = HistogramMetricFamily(
            "grpc_server_handling_seconds", "From the arrival of a call until its end.", labels=_METHOD_LABELS
        )
        for method, tally in self._seconds.items():
            family.add_metric(("unary", self._service, method), tally.buckets(), tally.sum)
        return family

    def _failures_family(self) -> Metric:
        family = CounterMetricFamily("clf_failures", "Calls that got no answer, by gRPC status code.", labels=["code"])
        for code, count in self._by_code().items():
            if code != "OK":
                family.add_metric([code], count)
        return family

    def _refusals_family(self) -> Metric:
        family = CounterMetricFamily(
            "clf_refused_calls",
            "Calls sent away before any work: too_many_calls, too_little_time, abandoned.",
            labels=["reason"],
        )
        for code, reason in _REFUSALS.items():
            family.add_metric([reason], self._by_code()[code])
        return family

    def _by_code(self) -> Counts[str]:
        counts = Counts[str]()
        for (_, code), count in self._handled.items():
            counts[code] += count
        return counts
