"""Every metric of `clf worker` and `clf serve`, on a registry of their own; call_books.py counts the calls.

Label values come from closed sets, never from documents.
"""

import platform
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from models.model import Model
from schemas.classification import Classification, Status
from schemas.dead_letter import Reason
from worker.capacity import Capacity
from worker.clock import Clock
from worker.config import Topics
from worker.diagnosis.host import HostReason
from worker.diagnosis.slow_node import Diagnosis
from worker.model_reloads import ReloadOutcome
from worker.page.recent import Recent
from worker.partition_watch import Partitions
from worker.serve.call_books import CALL_BUCKETS, CallBooks
from worker.serve.histograms import BulkHistogram
from worker.serve.request_log import Drop
from worker.stream.ports import RebalanceEvent
from worker.stream.processor import DEAD_LETTERED, TOMBSTONE
from worker.stream.records import Outcome, TopicPartition

_OUTCOMES = (*Status, TOMBSTONE, DEAD_LETTERED)
_STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


class _ServedModels(Collector):
    """`clf_model_info`, replaced as a whole: nobody who scrapes meets a moment without models."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.served: Sequence[tuple[str, str, str]] = ()
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The present state."""
        labels = ("lang", "version", "digest")
        family = GaugeMetricFamily("clf_model_info", "1 for each model that is being served.", labels=labels)
        for values in self.served:
            family.add_metric(values, 1)
        yield family


class ServiceMetrics:
    """What every process that serves models tells of itself. Any thread may call it."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self._registry = registry
        self._version = version
        self.predictions = Counter(
            "clf_predictions", "Labels given, by language and class.", ["lang", "name"], registry=registry
        )
        self._models = _ServedModels(registry)
        self._stale = Gauge(
            "clf_model_stale",
            "1 while another version is active in the store than the one that serves.",
            ["lang"],
            registry=registry,
        )
        self._store_gone = Gauge(
            "clf_model_store_gone", "1 while the model store cannot be read; what serves goes on.", registry=registry
        )
        self.reloads = Counter(
            "clf_model_reloads",
            "New active versions: swapped in, or refused, which the log explains.",
            ["lang", "outcome"],
            registry=registry,
        )
        host_gauge = partial(Gauge, labelnames=["reason"], registry=registry)
        self._slow = host_gauge(
            "clf_host_slow", "1 while this process is slow for that reason of its host; see --slow-factor."
        )
        self._pressure = host_gauge(
            "clf_host_pressure_ratio", "Share of the time that the host kept from its processes, by reason."
        )
        for reason in HostReason:
            self._slow.labels(reason)
            self._pressure.labels(reason)
        self._drift = Gauge(
            "clf_p99_drift_ratio",
            "The p99 of batches (per document) or calls, by what it usually is; 0 while that is not known.",
            registry=registry,
        )
        self._build = Info("clf_build", "The program, and which scorers serve its models.", registry=registry)
        self._tell_build(())
        ProcessCollector(registry=registry)  # its CPU seconds, resident memory and open descriptors

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """All metrics as they are now."""
        return self._registry.collect()

    def serving(self, models: Iterable[Model]) -> None:
        """These models are served from now on."""
        served = list(models)
        self._models.served = [(model.lang, model.version, model.digest) for model in served]
        self._tell_build(sorted({model.scorer.name for model in served}))
        for model in served:
            for outcome in ReloadOutcome:
                self.reloads.labels(model.lang, outcome)  # at 0, so that the first one is seen as an increase
            self._stale.labels(model.lang)

    def reloaded(self, lang: str, outcome: ReloadOutcome) -> None:
        """An active version of `lang`, a language of the store, was swapped in or refused."""
        self.reloads.labels(lang, outcome).inc()

    def stale(self, lang: str, *, is_so: bool) -> None:
        """Another version of `lang`, a language of the store, is active than the one that serves, or not any more."""
        self._stale.labels(lang).set(is_so)

    def store_gone(self, *, is_so: bool) -> None:
        """The model store cannot be read, or can be again."""
        self._store_gone.set(is_so)

    def diagnosed(self, diagnosis: Diagnosis) -> None:
        """What the last window showed of this process and its host."""
        self._drift.set(diagnosis.drift or 0.0)
        for reason, share in diagnosis.shares.items():
            self._pressure.labels(reason).set(share)
            self._slow.labels(reason).set(reason in diagnosis.reasons)

    def _tell_build(self, scorers: Sequence[str]) -> None:
        """`scorer` is "native", "reference", "native+reference" or, without models, "none"."""
        scorer = "+".join(scorers) or "none"
        self._build.info({"version": self._version, "python": platform.python_version(), "scorer": scorer})


class Metrics(ServiceMetrics):
    """Those of `clf worker`; implements the loop's `Observer`."""

    def __init__(
        self, registry: CollectorRegistry, clock: Clock, topics: Topics, version: str, drain_target: float
    ) -> None:
        """`topics` are the names the `topic` label takes; a lag should be gone in `drain_target` seconds."""
        super().__init__(registry, version)
        self._clock = clock
        self._topics = topics
        self._capacity = Capacity(clock, drain_target)
        self.recent = Recent(clock, topics.dead_letters)
        self._documents = topics.documents
        self._oldest_ms: int | None = None
        self._committed: dict[TopicPartition, int] = {}
        self.waiting = 0  # the lags together, as of the last statistics
        self._define_counters(partial(Counter, registry=registry))
        self._define_gauges(partial(Gauge, registry=registry))
        self._define_histograms(registry)

    def _define_counters(self, counter: Callable[..., Counter]) -> None:
        self.records = counter("clf_records", "Input records settled, by how they ended.", ["topic", "outcome"])
        self.dead = counter("clf_dead_letters", "Records that became dead letters, by reason.", ["reason"])
        self.aborted = counter("clf_transactions_aborted", "Transactions that were aborted and run again.")
        self.stalls = counter("clf_stalls", "Times the worker was found stuck: see --stuck-after.")
        self.deaths = counter(
            "clf_worker_deaths", "Partitions taken over from a worker that died with documents of them in hand."
        )
        self.rebalances = counter("clf_rebalances", "Changes of the assignment: assigned, revoked, lost.", ["event"])
        # At 0 from the start: a rate sees an increase, not a first value.
        for outcome in _OUTCOMES:
            self.records.labels(self._documents, outcome)
        for reason in Reason:
            self.dead.labels(reason)
        for event in RebalanceEvent:
            self.rebalances.labels(event)

    def _define_gauges(self, gauge: Callable[..., Gauge]) -> None:
        self.lag = gauge(
            "clf_consumer_lag_records", "Records not yet settled, per assigned partition.", ["topic", "partition"]
        )
        self.assigned = gauge("clf_assigned_partitions", "Partitions assigned to this worker.", ["topic"])
        self.assigned.labels(self._documents).set(0)
        self.topic_partitions = gauge(
            "clf_topic_partitions",
            "Partitions of each topic, looked at every few seconds; documents and classifications must be equal.",
            ["topic", "role"],
        )
        self.withheld = gauge(
            "clf_withheld_partitions",
            "Assigned partitions whose documents wait, because there is no partition for their results yet.",
            ["topic"],
        )
        self.withheld.labels(self._documents).set(0)
        self.is_stuck = gauge(
            "clf_stuck", "1 while records wait and nothing has been committed for --stuck-after seconds."
        )
        self._breaker_open = gauge(
            "clf_breaker_open",
            "1 from when too many dead letters ended the last worker of this slot until a window is within the limit.",
        )
        self.suspects = gauge(
            "clf_suspected_partitions",
            "Partitions whose documents are taken a few at a time, because a worker died with them in hand.",
        )
        oldest = gauge(
            "clf_oldest_record_age_seconds",
            "Age of the oldest record that was read and is not yet committed; 0 when there is none.",
        )
        oldest.set_function(self._oldest_age)
        drain = gauge(
            "clf_drain_seconds",
            "Forecast of when the lag of this worker's partitions is gone; +Inf: never at this inflow; 0 without lag.",
        )
        drain.set_function(lambda: self._capacity.drain_seconds)
        useful = gauge(
            "clf_workers_useful",
            "Workers that this worker's lagging partitions would keep busy until drained in --drain-target, one each "
            "at most; summed over all workers and rounded up: how many there should be.",
        )
        useful.set_function(lambda: self._capacity.workers_useful)

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

    def lags(self, lags: Mapping[TopicPartition, int]) -> None:
        """The present lag of every assigned partition; those of others vanish."""
        self.waiting = sum(lags.values())
        self._capacity.saw(lags)
        self.lag.clear()
        for source, lag in lags.items():
            self.lag.labels(source.topic, str(source.partition)).set(lag)

    @property
    def committed_offsets(self) -> Mapping[TopicPartition, int]:
        """The offsets this worker committed since each partition was assigned to it."""
        return dict(self._committed)

    def partitions(self, found: Partitions) -> None:
        """How many partitions the topics have."""
        for (role, count), topic in zip(found._asdict().items(), self._topics.names, strict=True):
            self.topic_partitions.labels(topic, role).set(count)

    def withheld_are(self, count: Callable[[], int]) -> None:
        """Where to ask for how many partitions wait."""
        self.withheld.labels(self._documents).set_function(count)

    def stuck(self, *, is_so: bool) -> None:
        """The worker is stuck, or is not any more."""
        self.is_stuck.set(is_so)
        if is_so:
            self.stalls.inc()

    def breaker(self, *, is_open: bool) -> None:
        """The breaker is open, since this process or the last one of its slot, or it has closed."""
        self._breaker_open.set(is_open)

    # --- the loop's Observer -----------------------------------------------------------------------------------

    def stage(self, stage: str, seconds: float) -> None:
        """One stage of one batch took that long."""
        self.stage_seconds.labels(stage).observe(seconds)
        self._capacity.stage(stage, seconds)

    def batch_closed(self, records: int) -> None:
        """A batch of that many records was handed on."""
        self.batch_size.observe(records)

    def committed(self, outcome: Outcome, now_ms: float) -> None:
        """A batch's results and offsets are permanent."""
        self._committed.update(outcome.offsets)
        self._capacity.committed(outcome)
        self.recent.committed(outcome)
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
        self.recent.rebalanced(event, partitions, assigned)
        self.assigned.labels(self._documents).set(assigned)
        for source in partitions:
            self._committed.pop(source, None)

    def transaction_aborted(self) -> None:
        """A transaction was aborted, and its batch will be run again."""
        self.aborted.inc()

    def death_found(self) -> None:
        """A partition was taken over from a worker that died with documents in hand."""
        self.deaths.inc()

    def suspected(self, partitions: int) -> None:
        """In that many partitions documents are taken a few at a time now."""
        self.suspects.set(partitions)

    def _oldest_age(self) -> float:
        oldest = self._oldest_ms
        return 0.0 if oldest is None else max(0.0, self._clock.time() - oldest / 1000)


class GrpcMetrics(ServiceMetrics):
    """Those of `clf serve`."""

    def __init__(
        self, registry: CollectorRegistry, version: str, service: str, methods: Sequence[str], codes: Sequence[str]
    ) -> None:
        """`service`, `methods` and `codes` are what the labels of those names take."""
        super().__init__(registry, version)
        self.calls = CallBooks(registry, service, methods, codes)
        counter = partial(Counter, registry=registry)
        self.documents = counter("clf_answered_documents", "Documents answered, by what came of them.", ["status"])
        self._children: dict[tuple[Counter, tuple[str, ...]], Counter] = {}
        self.log_drops = counter("clf_request_log_dropped", "Entries the request log lost, by reason.", ["reason"])
        self.synthetic = counter("clf_keep_warm_calls", "Synthetic calls that keep the server warm.", ["outcome"])
        for drop in Drop:
            self.log_drops.labels(drop)
        for outcome in ("answered", "failed"):
            self.synthetic.labels(outcome)
        self.synthetic_seconds = BulkHistogram(
            "clf_keep_warm_seconds", "What a synthetic call took.", CALL_BUCKETS, registry
        )
        self._registered = Gauge("clf_registered", "1 while Consul has this server registered.", registry=registry)
        self._in_hand = Gauge("clf_calls_in_hand", "Calls that wait for a thread or have one.", registry=registry)
        self._log_waiting = Gauge(
            "clf_request_log_waiting_entries", "Entries of the request log not written yet.", registry=registry
        )

    def watch(self, calls_in_hand: Callable[[], float], log_entries_waiting: Callable[[], float]) -> None:
        """Where the gauges look when somebody asks."""
        self._in_hand.set_function(calls_in_hand)
        self._log_waiting.set_function(log_entries_waiting)

    def answered(self, results: Iterable[Classification]) -> None:
        """Documents of an answered call."""
        for result in results:
            self._child(self.documents, (result.status,)).inc()
            for name in result.labels:
                self._child(self.predictions, (result.lang, name)).inc()

    def _child(self, counter: Counter, values: tuple[str, ...]) -> Counter:
        """`counter.labels(*values)`, remembered: the library takes a lock and makes texts each time."""
        found = self._children.get((counter, values))
        if found is None:
            found = self._children[counter, values] = counter.labels(*values)
        return found

    def registered(self, known: bool) -> None:  # noqa: FBT001 - the value of the gauge
        """Whether Consul has this server now."""
        self._registered.set(known)

    def kept_warm(self, seconds: float | None) -> None:
        """A synthetic call took that long; None: it failed."""
        self.synthetic.labels("failed" if seconds is None else "answered").inc()
        if seconds is not None:
            self.synthetic_seconds.observe_all([seconds])
