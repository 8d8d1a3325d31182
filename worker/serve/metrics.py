"""Every metric of the worker, on a registry of its own. Label values come from closed sets, never from documents."""

import bisect
import platform
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from models.model import Model
from worker.clock import Clock
from worker.config import Topics
from worker.stream.ports import RebalanceEvent
from worker.stream.records import Outcome, TopicPartition

_STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


class BulkHistogram(Collector):
    """A histogram that takes a whole batch of values in one call; one call per record would cost more than a record."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = Lock()
        registry.register(self)

    def observe_all(self, values: Iterable[float]) -> None:
        """Count every value in."""
        with self._lock:
            for value in values:
                self._counts[bisect.bisect_left(self._bounds, value)] += 1
                self._sum += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The present state, as Prometheus reads it: cumulative counts per upper bound."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        buckets: list[tuple[str, float]] = []
        cumulative = 0
        for bound, count in zip((*(str(float(b)) for b in self._bounds), "+Inf"), counts, strict=True):
            cumulative += count
            buckets.append((bound, cumulative))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=total)


class Metrics:
    """Defines the metrics and implements the loop's `Observer`. Any thread may call it."""

    def __init__(self, registry: CollectorRegistry, clock: Clock, topics: Topics, version: str) -> None:
        """`topics` are the names the `topic` label takes."""
        self._registry = registry
        self._clock = clock
        self._documents = topics.documents
        self._oldest_ms: int | None = None
        self._committed: dict[TopicPartition, int] = {}
        self._define_counters(partial(Counter, registry=registry))
        self._define_gauges(partial(Gauge, registry=registry))
        self._define_histograms(registry)
        self._version = version
        self._build = Info("clf_build", "The program, and which scorers serve its models.", registry=registry)
        self._tell_build(())
        ProcessCollector(registry=registry)  # its CPU seconds, resident memory and open descriptors

    def _define_counters(self, counter: Callable[..., Counter]) -> None:
        self.records = counter("clf_records", "Input records settled, by how they ended.", ["topic", "outcome"])
        self.dead = counter("clf_dead_letters", "Records that became dead letters, by reason.", ["reason"])
        self.predictions = counter("clf_predictions", "Labels given, by language and class.", ["lang", "name"])
        self.aborted = counter("clf_transactions_aborted", "Transactions that were aborted and run again.")
        self.rebalances = counter("clf_rebalances", "Changes of the assignment: assigned, revoked, lost.", ["event"])

    def _define_gauges(self, gauge: Callable[..., Gauge]) -> None:
        self.lag = gauge(
            "clf_consumer_lag_records", "Records not yet settled, per assigned partition.", ["topic", "partition"]
        )
        self.assigned = gauge("clf_assigned_partitions", "Partitions assigned to this worker.", ["topic"])
        self.assigned.labels(self._documents).set(0)
        self.models = gauge("clf_model_info", "1 for each model that is being served.", ["lang", "version", "digest"])
        oldest = gauge(
            "clf_oldest_record_age_seconds",
            "Age of the oldest record that was read and is not yet committed; 0 when there is none.",
        )
        oldest.set_function(self._oldest_age)

    def _define_histograms(self, registry: CollectorRegistry) -> None:
        self.batch_size = Histogram(
            "clf_batch_size_records", "Records per batch.", buckets=_BATCH_BUCKETS, registry=registry
        )
        self.stage_seconds = Histogram(
            "clf_stage_duration_seconds",
            "Time one batch spent in a stage: decode, score, encode, produce, commit.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self.latency = BulkHistogram(
            "clf_end_to_end_latency_seconds",
            "From a record's timestamp until its result was committed.",
            _LATENCY_BUCKETS,
            registry,
        )

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def serving(self, models: Iterable[Model]) -> None:
        """These models are served from now on."""
        self.models.clear()
        scorers = set()
        for model in models:
            self.models.labels(model.lang, model.version, model.digest).set(1)
            scorers.add(model.scorer.name)
        self._tell_build(sorted(scorers))

    def _tell_build(self, scorers: Sequence[str]) -> None:
        """`scorer` is "native", "reference", "native+reference" or, without models, "none"."""
        scorer = "+".join(scorers) or "none"
        self._build.info({"version": self._version, "python": platform.python_version(), "scorer": scorer})

    def lags(self, lags: Mapping[TopicPartition, int]) -> None:
        """The present lag of every assigned partition; those of others vanish."""
        self.lag.clear()
        for source, lag in lags.items():
            self.lag.labels(source.topic, str(source.partition)).set(lag)

    @property
    def committed_offsets(self) -> Mapping[TopicPartition, int]:
        """The offsets this worker committed since each partition was assigned to it."""
        return dict(self._committed)

    # --- the loop's Observer -----------------------------------------------------------------------------------

    def stage(self, stage: str, seconds: float) -> None:
        """One stage of one batch took that long."""
        self.stage_seconds.labels(stage).observe(seconds)

    def batch_closed(self, records: int) -> None:
        """A batch of that many records was handed on."""
        self.batch_size.observe(records)

    def committed(self, outcome: Outcome, now_ms: float) -> None:
        """A batch's results and offsets are permanent."""
        self._committed.update(outcome.offsets)
        for part in outcome.parts.values():
            self.latency.observe_all(max(0.0, (now_ms - stamp) / 1000) for stamp in part.timestamps_ms if stamp > 0)
            for name, count in part.outcomes.items():
                self.records.labels(self._documents, name).inc(count)
            for reason, count in part.dead_letters.items():
                self.dead.labels(reason).inc(count)
            for (lang, name), count in part.predictions.items():
                self.predictions.labels(lang, name).inc(count)

    def in_hand(self, oldest_timestamp_ms: int | None) -> None:
        """The timestamp of the oldest record read and not yet committed; None when there is none."""
        self._oldest_ms = oldest_timestamp_ms

    def rebalanced(self, event: RebalanceEvent, partitions: Collection[TopicPartition], assigned: int) -> None:
        """`partitions` came or went; `assigned` is how many are ours now."""
        self.rebalances.labels(event).inc()
        self.assigned.labels(self._documents).set(assigned)
        for source in partitions:
            self._committed.pop(source, None)

    def transaction_aborted(self) -> None:
        """A transaction was aborted, and its batch will be run again."""
        self.aborted.inc()

    def _oldest_age(self) -> float:
        oldest = self._oldest_ms
        return 0.0 if oldest is None else max(0.0, self._clock.time() - oldest / 1000)
