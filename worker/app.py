"""The composition root of `clf worker`: builds every part, runs the loop, and takes it all down in order."""

import gc
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from importlib.metadata import version

import structlog
from prometheus_client import CollectorRegistry

from models.bundle import BundleError
from models.store import StoreError
from schemas.dead_letter import Stage
from schemas.document_reader import DocumentReader
from schemas.framing import NO_FRAME
from worker import logs
from worker.clock import Clock, SystemClock
from worker.config import Delivery, WorkerConfig
from worker.diagnosis.host import Host
from worker.diagnosis.pace import Pace
from worker.diagnosis.slow_node import Caution, SlowNode
from worker.diagnosis.ticker import every
from worker.kafka import settings as kafka_settings
from worker.kafka.admin import Cluster, ClusterError, TopicInfo, problems
from worker.kafka.bootstrap import bootstrap_servers
from worker.kafka.consumer import GroupSource
from worker.kafka.producer import AtLeastOncePublisher, TransactionalPublisher
from worker.kafka.registry import RegistryError, open_registry
from worker.kafka.settings import Settings, SettingsError
from worker.kafka.statistics import lag_by_partition
from worker.lifecycle import ExitCode, Lifecycle, State, StopSignals
from worker.live_models import LiveModels, open_live_models
from worker.model_reloads import ModelReloads, start_reloads
from worker.page.page import StatusPage
from worker.page.snapshots import Snapshots
from worker.page.worker_page import WorkerPage
from worker.partition_watch import Partitions, PartitionWatch
from worker.serve.http import HttpServer, routes
from worker.serve.metrics import Metrics
from worker.serve.service_file import HEALTH, remove_service_file, write_service_file
from worker.slot import Slot, SlotError
from worker.stream.batch import BatchLimits
from worker.stream.breaker import Breaker
from worker.stream.checkpoint import Checkpoint
from worker.stream.deadline import Deadline
from worker.stream.errors import DeniedError, FatalError, StreamError
from worker.stream.loop import LoopLimits, Stages, StreamLoop
from worker.stream.ports import Publisher
from worker.stream.processor import Destination, Processor
from worker.stream.suspects import Suspects
from worker.systemd import Systemd
from worker.tracing import stream_tracing
from worker.watchdog import Seen, Watchdog

log = structlog.get_logger(__name__)

_GC_THRESHOLD = 100_000  # new objects between two searches for cyclic garbage
# Threads that take the interpreter from each other every 5 ms, in the midst of a batch, lose 4 % of the time.
_SWITCH_SECONDS = 0.05
_TICK_SECONDS = 1.0
_COMMIT_MARGIN = 2.0  # seconds beyond the client's own time limit
_BREAKER_OPEN = "breaker open"  # the word that a worker leaves in its slot
_LEAVE_SECONDS = 15.0  # for leaving the group and letting the clients go, after the drain
_START_TIMEOUT = 30.0  # seconds for registering the transactional id, which waits for a dead predecessor's abort


class CannotStartError(Exception):
    """Something must be put right before a worker can run. The text says what."""


def run_worker(config: WorkerConfig, clock: Clock | None = None) -> int:
    """Run a worker until it is told to stop. Returns the exit code (`worker.lifecycle.ExitCode`)."""
    logs.configure(config.logging)
    worker = _Worker(config, clock or SystemClock())
    with StopSignals(worker.force).installed() as signals:
        try:
            return worker.run(signals)
        except (
            CannotStartError,
            ClusterError,
            SlotError,
            SettingsError,
            RegistryError,
            StoreError,
            BundleError,
        ) as error:
            log.error("cannot_start", reason=str(error))  # noqa: TRY400 - the sentence is the message, not the stack
            return ExitCode.CANNOT_START
        except DeniedError as error:
            # Before the first partition came, the worker never worked: to start it again helps as little as then.
            code = ExitCode.FATAL if worker.has_run else ExitCode.CANNOT_START
            event = "fatal" if worker.has_run else "cannot_start"
            log.error(event, kind=type(error).__name__, reason=str(error))  # noqa: TRY400 - as above
            worker.crash(code)
        except StreamError as error:
            log.error("fatal", kind=type(error).__name__, reason=str(error))  # noqa: TRY400 - as above
            worker.crash()
        except Exception:
            log.exception("fatal", reason="This is a bug. Nothing of the batch in hand was committed.")
            worker.crash()
        return ExitCode.FATAL


@dataclass(frozen=True, slots=True)
class _Running:
    """What `_Worker.run` started and must stop again."""

    loop: StreamLoop
    source: GroupSource
    publisher: Publisher
    watch: PartitionWatch
    reloads: ModelReloads


class _Worker:
    """One worker, in the order of its life: prepare, start, serve, stop."""

    def __init__(self, config: WorkerConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._lifecycle = Lifecycle()
        self._systemd = Systemd.of(os.environ, clock)
        self._metrics = Metrics(
            CollectorRegistry(), clock, config.topics, version("clf-worker"), config.forecast.drain_target
        )
        self._loop: StreamLoop | None = None
        self._watchdog: Watchdog | None = None
        self._pace = Pace(clock)
        slow = config.slow_host
        self._slow_node = SlowNode(
            self._pace.seconds,
            Host(clock),
            self._metrics,
            clock,
            factor=slow.slow_factor,
            window=slow.slow_window,
            caution=Caution(windows=2),
        )
        self._tracing = stream_tracing(os.environ, config.batching.max_records)
        self.has_run = False  # whether it ever had a partition
        self._slot = ""
        self._snapshots = Snapshots(self._metrics.collect, clock)

    def run(self, signals: StopSignals) -> int:
        """Live once. Raises what kept it from starting or from going on."""
        http = self._open_http()
        try:
            with Slot(self._config.group.group, self._config.group.slot) as slot:
                self._slot = slot.name
                running = self._start(slot)
                log.info("started", slot=slot.name, metrics=f"http://{http.host}:{http.port}/metrics")
                self._systemd.ready()
                self._watchdog = self._watchdog_of(running.loop)
                with (
                    self._watchdog.running(),
                    self._observed(),
                ):
                    self._serve(running.loop, signals)
                self._stop(running)
        finally:
            http.close()
            remove_service_file(self._config.http.service_file)
        return ExitCode.CLEAN

    def force(self) -> None:
        """A second signal: leave at once. What is in hand stays uncommitted."""
        log.warning("forced", reason="A second signal came before everything in hand was committed.")
        self._exit(ExitCode.FATAL)

    def crash(self, code: int = ExitCode.FATAL) -> None:
        """Leave without waiting for a client that may never answer; nothing uncommitted is lost by that."""
        if self._lifecycle.state is not State.STOPPED:
            self._lifecycle.move(State.FAILED)
        self._exit(code)

    def _give_up(self) -> None:
        """The same from the watchdog's thread, while the others hang."""
        remove_service_file(self._config.http.service_file)
        self.crash()

    @staticmethod
    def _exit(code: int) -> None:
        os._exit(code)  # threads inside the client would hold up a regular exit for as long as their calls take

    # --- prepare ----------------------------------------------------------------------------------------------

    def _open_http(self) -> HttpServer:
        config = self._config.http
        try:
            server = HttpServer(
                config.http_host,
                config.http_port,
                routes(self._not_ready_because, self._metrics.exposition, StatusPage(self._page(), self._clock)),
            )
        except OSError as error:
            raise CannotStartError(
                f"The health port {config.http_host}:{config.http_port} cannot be opened: {error}. Another worker may "
                "have it: take --http-port 0 for a free one."
            ) from error
        try:
            write_service_file(config.service_file, {HEALTH: f"{server.host}:{server.port}"})
        except OSError as error:
            raise CannotStartError(
                f"{config.service_file} cannot be written: {error.strerror}. Name another with --service-file."
            ) from error
        return server

    def _not_ready_because(self) -> str | None:
        stuck = self._watchdog.reason if self._watchdog else None
        return self._lifecycle.not_ready_because or stuck or self._slow_node.reason

    def _page(self) -> WorkerPage:
        return WorkerPage(
            group=self._config.group.group,
            slot=lambda: self._slot,
            not_ready_because=self._not_ready_because,
            snapshots=self._snapshots,
            recent=self._metrics.recent,
            slow_node=self._slow_node,
            watched=self._config.slow_host.slow_factor > 0,
            clock=self._clock,
        )

    def _observed(self) -> AbstractContextManager[None]:
        seconds = min(_TICK_SECONDS, self._config.slow_host.slow_window)
        return every(seconds, self._slow_node.look, self._snapshots.tick)

    def _live_models(self) -> LiveModels:
        live = open_live_models(self._config.scoring)
        self._metrics.serving(live.models().values())
        return live

    def _check_topics(self, cluster: Cluster) -> dict[str, TopicInfo]:
        topics = self._config.topics
        found = cluster.topics(topics.names)
        wrong = problems(topics, found)
        if wrong:
            raise CannotStartError(" ".join([*wrong, "`clf topics create` creates missing topics and raises sizes."]))
        return found

    # --- start ------------------------------------------------------------------------------------------------

    def _start(self, slot: Slot) -> _Running:
        config = self._config
        servers = bootstrap_servers(config.cluster)
        properties = kafka_settings.read_properties(config.cluster.kafka_config)
        topics = self._check_topics(Cluster(kafka_settings.common(servers, properties, "admin")))
        live = self._live_models()
        consumer = kafka_settings.consumer(
            kafka_settings.common(servers, properties, "consumer"), config.group.group, config.group.group_protocol
        )
        watch = PartitionWatch(
            config.topics, Partitions(*(topics[name].partitions for name in config.topics.names)), self._metrics
        )
        source = GroupSource(consumer, config.topics.documents, self._on_statistics, watch.has_results, self._clock)
        self._metrics.withheld_are(lambda: len(source.withheld))
        limit = min(
            topics[name].max_message_bytes for name in (config.topics.classifications, config.topics.dead_letters)
        )
        producer = kafka_settings.producer(kafka_settings.common(servers, properties, "producer"), limit)
        publisher = self._publisher(producer, slot, source)
        log.info("consumer_settings", settings=kafka_settings.redacted(consumer))
        loop = self._loop_of(source, publisher, live, watch, self._breaker(slot))
        self._loop = loop
        source.subscribe(loop)
        self._lifecycle.move(State.WAITING)
        watch.start(publisher.partitions_of)
        reloads = start_reloads(config.scoring, config.reload, live, self._metrics, self._clock)
        return _Running(loop, source, publisher, watch, reloads)

    def _publisher(
        self, producer: Settings, slot: Slot, source: GroupSource
    ) -> TransactionalPublisher | AtLeastOncePublisher:
        guarantee = self._config.guarantee
        if guarantee.delivery is Delivery.AT_LEAST_ONCE:
            log.info("producer_settings", settings=kafka_settings.redacted(producer))
            return AtLeastOncePublisher(producer, source.client, self._clock)
        settings = kafka_settings.transactional(producer, slot.transactional_id, guarantee.transaction_timeout)
        log.info("producer_settings", settings=kafka_settings.redacted(settings))
        publisher = TransactionalPublisher(settings)
        try:
            publisher.open(Deadline(self._clock, _START_TIMEOUT))
        except StreamError as error:
            raise CannotStartError(f"Transactions cannot be used: {str(error).rstrip('.')}.") from error
        return publisher

    def _breaker(self, slot: Slot) -> Breaker:
        def tell(is_open: bool) -> None:  # noqa: FBT001 - the value of the gauge
            self._metrics.breaker(is_open=is_open)
            with suppress(OSError):  # a disk that is full must not become the reason why the worker ends
                slot.leave(_BREAKER_OPEN if is_open else "")

        failures, was_open = self._config.failures, slot.word == _BREAKER_OPEN
        self._metrics.breaker(is_open=was_open)
        return Breaker(failures.dead_letter_limit, failures.dead_letter_window, was_open=was_open, tell=tell)

    def _loop_of(
        self,
        source: GroupSource,
        publisher: Publisher,
        live: LiveModels,
        watch: PartitionWatch,
        breaker: Breaker,
    ) -> StreamLoop:
        config, clock = self._config, self._clock
        batching, failures = config.batching, config.failures
        registry = open_registry(config.schema_registry, clock)
        processor = Processor(
            live.classifier,
            Destination(config.topics.classifications, config.topics.dead_letters, lambda: watch.found.dead_letters),
            {
                Stage.DECODE: failures.on_decode_failure,
                Stage.SCORE: failures.on_score_failure,
            },
            self._metrics,
            clock,
            DocumentReader(
                batching.max_document_bytes, config.field_mapping.fields, registry.schema_type if registry else None
            ),
            registry.result_frame(config.topics.classifications, config.schema_registry.result_framing)
            if registry
            else NO_FRAME,
        )
        process = self._pace.of(processor)
        if self._tracing:
            process = self._tracing.process(process, config.topics.documents, config.group.group)
            publisher = self._tracing.publisher(publisher, config.topics.classifications)
        return StreamLoop(
            source=source,
            process=process,
            condemn=processor.condemned,
            suspects=Suspects(failures.max_deaths, self._metrics),
            checkpoint=Checkpoint(publisher, self._metrics, clock, config.guarantee.transaction_timeout),
            breaker=breaker,
            stages=Stages(ThreadPoolExecutor(1, "processing"), ThreadPoolExecutor(1, "committing")),
            limits=LoopLimits(
                BatchLimits(batching.max_records, batching.max_bytes, batching.max_age),
                config.group.revoke_timeout,
                config.guarantee.transaction_timeout + _COMMIT_MARGIN,
            ),
            observer=self._metrics,
            clock=clock,
        )

    def _on_statistics(self, statistics: bytes) -> None:
        documents = self._config.topics.documents
        idle = self._loop is None or self._loop.idle
        self._metrics.lags(lag_by_partition(statistics, documents, self._metrics.committed_offsets, idle=idle))

    def _watchdog_of(self, loop: StreamLoop) -> Watchdog:
        def see() -> Seen:
            return Seen(loop.commits, loop.turns, len(loop.assignment), self._metrics.waiting > 0 or not loop.idle)

        stuck_after = self._config.guarantee.stuck_after
        return Watchdog(see, self._metrics, self._give_up, self._clock, stuck_after, self._systemd.alive)

    # --- serve and stop -----------------------------------------------------------------------------------------

    def _serve(self, loop: StreamLoop, signals: StopSignals) -> None:
        # A batch makes tens of thousands of objects and no cycles; looking for some every 700 cost a third of its time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD)
        sys.setswitchinterval(_SWITCH_SECONDS)
        while not signals.stopping():
            loop.run_once()
            self._lifecycle.move(State.RUNNING if loop.assignment else State.WAITING)
            self._systemd.status(f"Partitions assigned: {len(loop.assignment)}")
            self.has_run |= bool(loop.assignment)

    def _stop(self, running: _Running) -> None:
        """Along the data flow: not ready, no intake, finish what is in hand, leave the group, let the client go."""
        self._lifecycle.move(State.DRAINING)
        seconds = self._config.guarantee.drain_timeout
        self._systemd.stopping(seconds + _LEAVE_SECONDS)
        log.info("draining", seconds=seconds)
        if not running.loop.drain(Deadline(self._clock, seconds)):
            raise FatalError("Not everything in hand was committed in time (--drain-timeout); it stays unread.")
        running.source.close()
        running.watch.close()
        running.publisher.close()
        running.reloads.close()
        if self._tracing:
            self._tracing.close()
        self._lifecycle.move(State.STOPPED)
        log.info("stopped")
