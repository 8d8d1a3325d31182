"""What `clf verify --follow` found, as metrics."""

from collections.abc import Iterator
from threading import Lock

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.audit.findings import Finding, Report
from worker.clock import Clock

_OUTCOMES = ("results", "tombstones", "dead_letters", "unchecked", "recomputed")


class AuditMetrics(Collector):
    """The state after the last look. Any thread may read it."""

    def __init__(self, topic: str, clock: Clock) -> None:
        """`topic` is the documents topic."""
        self._topic = topic
        self._clock = clock
        self._lock = Lock()
        self._families: list[Metric] = []
        self._failed = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def looked(self, report: Report) -> None:
        """A look at the system was completed."""
        findings = report.findings
        found = GaugeMetricFamily(
            "clf_verify_findings", "What breaks the promise, by kind; alert on any above 0.", labels=["finding"]
        )
        for finding in Finding:
            found.add_metric([finding], findings[finding])
        outcomes = CounterMetricFamily(
            "clf_verify_outcomes", "Outcomes that were read; unchecked and recomputed ones.", labels=["outcome"]
        )
        for name in _OUTCOMES:
            outcomes.add_metric([name], report.total(name))
        lag = GaugeMetricFamily(
            "clf_verify_lag_records", "Documents not settled yet, per partition.", labels=["topic", "partition"]
        )
        for partition, seen in report.partitions.items():
            lag.add_metric([self._topic, str(partition)], seen.lag)
        documents = CounterMetricFamily(
            "clf_verify_documents", "Documents that were checked for their outcome.", value=report.total("documents")
        )
        when = GaugeMetricFamily(
            "clf_verify_last_look_timestamp_seconds",
            "When the last look was completed; alert when it is old.",
            value=self._clock.time(),
        )
        with self._lock:
            self._families = [found, documents, outcomes, lag, when]

    def failed(self) -> None:
        """A look could not be completed."""
        with self._lock:
            self._failed += 1

    def collect(self) -> Iterator[Metric]:
        """The present state."""
        with self._lock:
            families, failed = list(self._families), self._failed
        yield from families
        yield CounterMetricFamily(
            "clf_verify_failed_looks", "Looks that the cluster did not answer; they are made again.", value=failed
        )
