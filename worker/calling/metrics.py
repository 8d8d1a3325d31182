"""Metrics of the client, on the registry of the program that it is a part of."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1)


class ClientMetrics:
    """Defines them. Any thread may call it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Two clients in one program need a registry each."""
        self._calls = Counter("clf_client_calls", "Calls, by gRPC status code.", ["code"], registry=registry)
        self._seconds = Histogram(
            "clf_client_latency_seconds",
            "From the beginning of a call until its answer or failure.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._attempts = Counter(
            "clf_client_attempts", "Attempts, by their number within the call.", ["number"], registry=registry
        )
        self._won = Counter(
            "clf_client_won", "Answered calls, by the number of the attempt that won.", ["number"], registry=registry
        )
        self._throttled = Counter(
            "clf_client_throttled", "Further attempts that were not made, to spare a sick fleet.", registry=registry
        )
        self._servers = Gauge(
            "clf_client_servers", "Known servers, by state: ready or not.", ["ready"], registry=registry
        )

    def watch(self, ready: Callable[[], int], not_ready: Callable[[], int]) -> None:
        """Where the gauges look when somebody asks."""
        self._servers.labels("yes").set_function(ready)
        self._servers.labels("no").set_function(not_ready)

    def attempted(self, number: int) -> None:
        """An attempt of that number begins."""
        self._attempts.labels(str(number)).inc()

    def won(self, number: int) -> None:
        """That attempt was the first to be answered."""
        self._won.labels(str(number)).inc()

    def throttled(self) -> None:
        """One would have been made."""
        self._throttled.inc()

    def ended(self, code: str, seconds: float) -> None:
        """A call ended."""
        self._calls.labels(code).inc()
        self._seconds.observe(seconds)
