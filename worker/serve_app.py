"""The composition root of `clf serve`: builds every part of one server process, serves, and takes it down in order."""

import gc
import os
from contextlib import ExitStack
from importlib.metadata import version
from random import choice

import structlog
from prometheus_client import CollectorRegistry

from models.bundle import BundleError
from models.store import StoreError
from schemas.classification import Classification
from schemas.document import Document
from worker import logs
from worker.clock import Clock, SystemClock
from worker.config import ServeConfig
from worker.diagnosis.host import Host
from worker.diagnosis.slow_node import Caution, SlowNode
from worker.diagnosis.ticker import every
from worker.lifecycle import ExitCode, Lifecycle, State, StopSignals
from worker.live_models import LiveModels, open_live_models
from worker.model_reloads import start_reloads
from worker.page.page import StatusPage
from worker.page.server_page import ServerPage
from worker.page.snapshots import Snapshots
from worker.registration import RegistryError, registered
from worker.serve.answers import Answered, Answers
from worker.serve.call_tracing import call_tracing
from worker.serve.calls import CODE_NAMES, CallPool, Limits
from worker.serve.cores import FREE, Cores
from worker.serve.grpc import METHODS, SERVICE, Servicer
from worker.serve.grpc_server import GrpcServer, GrpcServerError
from worker.serve.http import HttpServer, routes
from worker.serve.keep_warm import KeepWarm
from worker.serve.metrics import GrpcMetrics
from worker.serve.patience import Patience
from worker.serve.request_files import RequestLogSettings
from worker.serve.request_log import Entry, RequestLog, RequestLogError
from worker.serve.scratch import ScratchError, scratch_directory
from worker.serve.service_file import GRPC, HEALTH, remove_service_file, write_service_file
from worker.serve.tls import TlsError, credentials
from worker.systemd import Systemd

log = structlog.get_logger(__name__)

_GC_THRESHOLD = (
    100_000  # new objects between two searches for cyclic garbage, which take the interpreter from all calls
)
_POLL_SECONDS = 0.5
_TICK_SECONDS = 1.0
# Slow windows until a server leaves: by chance, so that those of a fleet do not leave at once.
_SLOW_WINDOWS = (2, 3, 4, 5, 6)
# Tells a server whose child it is.
SUPERVISOR_VARIABLE = "CLF_SUPERVISOR"
_FLUSH_SECONDS = 2.0
_LEAVE_SECONDS = 20.0  # for Consul and the request log, beside the lame duck and the grace
# Between opening a port that callers may know already and saying ready: those who try every quarter of a second, as our
# clients do, are connected by then, and whoever restarts one server after the other may go on to the next at once.
_RECONNECT_SECONDS = 0.5
_DAY_SECONDS = 86_400
_CANNOT_START = (GrpcServerError, RegistryError, ScratchError, TlsError, RequestLogError, StoreError, BundleError)


class CannotServeError(Exception):
    """Something must be put right before the server can run. The text says what."""


def run_server(config: ServeConfig, clock: Clock | None = None) -> int:
    """Run one server until it is told to stop. Returns the exit code (`worker.lifecycle.ExitCode`)."""
    logs.configure(config.logging)
    server = _Server(config, clock or SystemClock())
    with StopSignals(server.force).installed() as signals:
        try:
            return server.run(signals)
        except (CannotServeError, *_CANNOT_START) as error:
            log.error("cannot_start", reason=str(error))  # noqa: TRY400 - the sentence is the message, not the stack
            return ExitCode.CANNOT_START
        except Exception:
            log.exception("fatal", reason="This is a bug.")
            os._exit(ExitCode.FATAL)  # threads that answer calls would hold up a regular exit


class _Server:
    """One server, in the order of its life: prepare, warm up, serve, stop."""

    def __init__(self, config: ServeConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._lifecycle = Lifecycle()
        self._systemd = Systemd.of(os.environ, clock)
        self._slow_node: SlowNode | None = None
        self._cores = Cores.choose(config.grpc.core) if config.grpc.pin else FREE
        self._tracing = call_tracing(os.environ, clock)
        self._supervisor = int(os.environ.get(SUPERVISOR_VARIABLE, "0"))
        self._metrics = GrpcMetrics(
            CollectorRegistry(), version("clf-worker"), SERVICE, METHODS, list(CODE_NAMES.values())
        )
        self._snapshots = Snapshots(self._metrics.collect, clock)
        self._address = ""

    def run(self, signals: StopSignals) -> int:
        """Live once. Raises what kept it from starting."""
        config = self._config
        self._cores.for_others()
        with ExitStack() as stack:
            http = self._open_http()
            stack.callback(http.close)
            stack.callback(remove_service_file, config.serve_http.service_file)
            live = self._live_models()
            request_log = self._open_request_log()
            if request_log is not None:
                stack.callback(request_log.close, _FLUSH_SECONDS)
            pool = self._pool()
            stack.callback(pool.close)
            if self._tracing:
                stack.callback(self._tracing.close)
            patience = Patience(self._clock, lambda: pool.crowded)
            stack.callback(patience.close)
            patience.start()
            self._metrics.watch(lambda: pool.in_hand, lambda: request_log.waiting if request_log else 0)
            servicer = self._servicer(live, pool, patience, request_log)
            directory = stack.enter_context(scratch_directory(self._clock.time()))
            server = stack.enter_context(
                GrpcServer(config.grpc, servicer, pool, credentials(config.tls), directory, self._clock)
            )
            keep_warm = KeepWarm(server.own_address, live.models, self._metrics.kept_warm, self._clock)
            stack.callback(keep_warm.close)
            server.start()
            opened = self._clock.monotonic()
            self._warm_up(keep_warm)
            if config.grpc.grpc_port:
                self._clock.sleep(max(0.0, opened + _RECONNECT_SECONDS - self._clock.monotonic()))
            stack.callback(start_reloads(config.scoring, config.reload, live, self._metrics, self._clock).close)
            if not signals.stopping():  # or nobody need be told that there is a server
                server.serving()
                self._lifecycle.move(State.RUNNING)
                services = self._tell(http, server)
                node = self._slow_node = self._slow_node_of(server)
                with (
                    registered(config, services, self._metrics.registered),
                    every(min(_TICK_SECONDS, config.slow_host.slow_window), node.look, self._snapshots.tick),
                ):
                    self._systemd.ready()
                    self._serve(signals, pool)
                    self._systemd.stopping(config.grpc.lame_duck + config.grpc.grace + _LEAVE_SECONDS)
            return self._stop(server, keep_warm)

    def force(self) -> None:
        """A second signal: leave at once."""
        if self._supervisor:
            return  # systemd tells every process, and so does the supervisor; it kills its servers when it is forced
        log.warning("forced", reason="A second signal came before every call in hand was answered.")
        os._exit(ExitCode.FATAL)

    # --- prepare ----------------------------------------------------------------------------------------------

    def _open_http(self) -> HttpServer:
        config = self._config.serve_http
        try:
            return HttpServer(
                config.http_host,
                config.http_port,
                routes(self._not_ready_because, self._metrics.exposition, StatusPage(self._page(), self._clock)),
            )
        except OSError as error:
            raise CannotServeError(
                f"The health port {config.http_host}:{config.http_port} cannot be opened: {error}. Another server may "
                "have the port: take --http-port 0 for a free one."
            ) from error

    def _not_ready_because(self) -> str | None:
        return self._lifecycle.not_ready_because or (self._slow_node.reason if self._slow_node else None)

    def _page(self) -> ServerPage:
        return ServerPage(
            address=lambda: self._address,
            not_ready_because=self._not_ready_because,
            snapshots=self._snapshots,
            slow_node=lambda: self._slow_node,
            watched=self._config.slow_host.slow_factor > 0,
            clock=self._clock,
        )

    def _slow_node_of(self, server: GrpcServer) -> SlowNode:
        """Callers are told by `/ready` and the health service alike."""
        slow = self._config.slow_host
        return SlowNode(
            self._metrics.calls.answered,
            Host(self._clock),
            self._metrics,
            self._clock,
            factor=slow.slow_factor,
            window=slow.slow_window,
            caution=Caution(windows=choice(_SLOW_WINDOWS), stay_when_busier=True),  # noqa: S311 - no secret
            changed=lambda ready: server.serving() if ready else server.not_serving(),
        )

    def _tell(self, http: HttpServer, server: GrpcServer) -> dict[str, str]:
        """Say where to call; returns the same."""
        services = {GRPC: server.address, HEALTH: f"{http.host}:{http.port}"}
        self._address = server.address
        path = self._config.serve_http.service_file
        try:
            write_service_file(path, services)
        except OSError as error:
            raise CannotServeError(f"{path} cannot be written: {error}. Name another with --service-file.") from error
        log.info("started", grpc=server.address, metrics=f"http://{http.host}:{http.port}/metrics")
        return services

    def _live_models(self) -> LiveModels:
        live = open_live_models(self._config.scoring)
        self._metrics.serving(live.models().values())
        return live

    def _open_request_log(self) -> RequestLog | None:
        config = self._config.request_log
        if config.request_log is None:
            return None
        settings = RequestLogSettings(
            directory=config.request_log,
            max_age_seconds=config.request_log_days * _DAY_SECONDS,
            max_bytes=config.request_log_bytes,
            with_text=config.request_log_text,
            queue_entries=config.request_log_entries,
        )
        request_log = RequestLog(
            settings, self._clock, lambda reason, count: self._metrics.log_drops.labels(reason).inc(count)
        )
        request_log.start()
        return request_log

    def _pool(self) -> CallPool:
        config = self._config.grpc
        names = {f"/{SERVICE}/{name}": name for name in METHODS}
        limits = Limits(config.threads, config.max_calls)
        return CallPool(limits, names, self._metrics.calls, self._clock, self._cores.for_calls)

    def _servicer(
        self, live: LiveModels, pool: CallPool, patience: Patience, request_log: RequestLog | None
    ) -> Servicer:
        config = self._config.grpc
        answers = Answers(live.classifier, config.max_message_bytes, config.max_batch)

        def answered(method: str, answer: Answered, seconds: float) -> None:
            self._metrics.answered(answer.results)
            if request_log is not None:
                now = self._clock.time()
                for document, result in zip(answer.documents, answer.results, strict=True):
                    request_log.add(_entry(now, method, document, result, seconds, with_text=with_text))

        with_text = self._config.request_log.request_log_text
        arguments = (answers, pool, config.min_time_left, answered, patience)
        return Servicer(*arguments, self._tracing.behaviour) if self._tracing else Servicer(*arguments)

    # --- serve and stop -----------------------------------------------------------------------------------------

    def _warm_up(self, keep_warm: KeepWarm) -> None:
        """Before the first caller comes, and from time to time afterwards."""
        keep_warm.warm_up()
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD)
        if self._config.keep_warm.keep_warm:
            keep_warm.start(self._config.keep_warm.keep_warm)

    def _serve(self, signals: StopSignals, pool: CallPool) -> None:
        """Until a signal comes, or the supervisor that started this process is gone."""
        ended = 0
        while not signals.wait(_POLL_SECONDS):
            if pool.ended != ended or not pool.in_hand:
                ended = pool.ended
                self._systemd.alive()
            if self._supervisor and os.getppid() != self._supervisor:
                log.warning("supervisor_gone", reason="Whoever started this server has ended.")
                return

    def _stop(self, server: GrpcServer, keep_warm: KeepWarm) -> int:
        """Not serving; give callers time to notice; finish what is in hand."""
        config = self._config.grpc
        self._lifecycle.move(State.DRAINING)
        server.not_serving()
        log.info("draining", lame_duck=config.lame_duck, grace=config.grace)
        self._clock.sleep(config.lame_duck)
        keep_warm.close()  # or its next call would be refused, and reported as a fault
        finished = server.stop(config.grace)
        self._lifecycle.move(State.STOPPED)
        log.info("stopped", all_answered=finished)
        return ExitCode.CLEAN if finished else ExitCode.FATAL


def _entry(
    now: float, method: str, document: Document, result: Classification, seconds: float, *, with_text: bool
) -> Entry:
    model = result.model
    return Entry(
        time=now,
        url=document.url,
        method=method,
        lang=result.lang,
        status=result.status,
        title_chars=len(document.title),
        text_chars=len(document.text),
        labels=result.labels,
        classes=result.classes,
        model=f"{model.lang}/{model.version}" if model else None,
        seconds=seconds,
        text=document.content if with_text else None,
    )
