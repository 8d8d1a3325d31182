"""`clf verify`: the audit."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from models.store import Store, StoreError
from schemas.document_reader import DocumentReader
from worker.audit.audit import Audit, AuditLimits
from worker.audit.findings import Report
from worker.clock import Clock, SystemClock
from worker.commands.cluster import clear_errors, client_settings, existing_topics
from worker.commands.output import console, counted, write
from worker.commands.progress import track
from worker.commands.verify_report import report_json, tell_example, tell_report
from worker.config import SECONDS, SHARE, Cluster, Http, ModelStore, Topics
from worker.document_options import FieldMapping
from worker.kafka.admin import CLEANUP, ClusterError
from worker.kafka.admin import Cluster as Admin
from worker.kafka.audit import ClusterAudit
from worker.lifecycle import ExitCode, StopSignals
from worker.options import option, options
from worker.serve.audit_metrics import AuditMetrics
from worker.serve.http import HttpServer, routes
from worker.serve.service_file import HEALTH, remove_service_file, write_service_file
from worker.serving_models import store_of
from worker.stream.errors import StreamError

_FORCED = 130
_FINDINGS = 1
_NO_LIMIT = 2**31  # the worker's own limit of a document's size is not known here


@dataclass(frozen=True, slots=True)
class Auditing(FieldMapping):
    """What is checked, and how patiently."""

    group: str = option("clf", "Consumer group of the workers.")
    recompute: float = option(
        0.1, "Share of the outcomes that are computed anew and compared, from 0, none, to 1, all.", type=SHARE
    )
    max_lag: int | None = option(
        None, "Most documents of a partition that may wait; any number without it.", type=click.IntRange(0)
    )
    patience: float = option(
        20.0, "Seconds until an open transaction is one that stays open; above --transaction-timeout.", type=SECONDS
    )
    interval: float = option(10.0, "With --follow: seconds between two looks.", type=SECONDS)


@click.command()
@options(Cluster, Topics, Auditing, ModelStore, Http)
@click.option(
    "--follow", is_flag=True, help="Keep looking at what comes from now on, and serve the findings as metrics."
)
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON object on standard output.")
def verify(
    *,
    cluster: Cluster,
    topics: Topics,
    auditing: Auditing,
    model_store: ModelStore,
    http: Http,
    follow: bool,
    as_json: bool,
) -> None:
    """Prove that every document has exactly one outcome, in order, and the right one.

    Reads the documents, their results and dead letters and the group's offsets, of workers that run or have been
    stopped, and reports per partition what is missing, doubled, out of order, unexpected, or not what the stamped
    model gives. It commits nothing and disturbs nobody. Give it the topics, the group and --fields of the workers.

    What was removed by retention is left out: the audit begins with the first document that could still have its
    outcome. Compacted topics are refused. Outcomes that come out of order are reported as that, and not compared with
    their document.

    With --follow it begins with what is not settled now, looks again every --interval seconds until Ctrl-C, and has
    a port for /status, /ready and /metrics (clf_verify_findings and more). A look that the cluster does not answer is
    made again.

    \b
    clf verify --recompute 1
    clf verify --json | jq .findings
    clf verify --follow --http-port 9466

    \b
    Exit codes: 0 all holds   1 something was found   2 wrong usage   3 cannot start, see the message
                4 the cluster refuses to go on
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    clock = SystemClock()
    with (
        clear_errors(StoreError),
        StopSignals(lambda: sys.exit(_FORCED)).installed() as signals,
        closing(_cluster_audit(cluster, topics, auditing.group)) as source,
    ):
        store = _store(model_store, auditing.recompute)
        read = DocumentReader(_NO_LIMIT, auditing.fields)
        limits = AuditLimits(auditing.patience, auditing.max_lag)
        watch = _Watch(Audit(source, topics, store, auditing.recompute, limits, clock, read), topics, auditing, clock)
        report = watch.follow(signals, http) if follow else watch.once()
    if as_json:
        write(report_json(report, topics, auditing.group))
    else:
        tell_report(console(), report, topics, auditing.group)
    sys.exit(0 if report.holds else _FINDINGS)


def _cluster_audit(cluster: Cluster, topics: Topics, group: str) -> ClusterAudit:
    admin = Admin(client_settings(cluster, "admin"))
    for name, info in existing_topics(admin, topics.names).items():
        if "compact" in info.cleanup_policy:
            raise ClusterError(
                f"Topic {name} is compacted: what compaction removes cannot be told from what was lost. "
                f"Set {CLEANUP}=delete to have it audited."
            )
    return ClusterAudit(admin, client_settings(cluster, "consumer"), topics, group)


def _store(models: ModelStore, share: float) -> Store:
    store = store_of(models)  # quietly: the bar that shows the audit may be there already
    if share > 0:
        try:
            store.languages()
        except StoreError as error:
            raise StoreError(f"{error} With --recompute 0 the audit needs no models.") from error
    return store


class PortError(click.ClickException):
    """The port for the metrics cannot be had; exit code 3."""

    exit_code = ExitCode.CANNOT_START


class _Watch:
    """One run of `clf verify`."""

    def __init__(self, audit: Audit, topics: Topics, auditing: Auditing, clock: Clock) -> None:
        self._topics = topics
        self._auditing = auditing
        self._clock = clock
        self._audit = audit
        self._ready = False
        self._told = 0

    def once(self) -> Report:
        """Look at everything there is."""
        with track("auditing", self._audit.size(), self._clock) as progress:
            return self._audit.look(progress)

    def follow(self, signals: StopSignals, http: Http) -> Report:
        """Look at what comes, until told to stop."""
        metrics = AuditMetrics(self._topics.documents, self._clock)
        with _served(http, lambda: None if self._ready else "no look is completed yet", metrics) as address:
            self._audit.skip_to_now()
            click.echo(f"Watching {self._topics.documents}; metrics at {address}/metrics. Ctrl-C ends.", err=True)
            while not signals.wait(self._auditing.interval):
                self._look(metrics)
            self._look(metrics)
        return self._audit.report

    def _look(self, metrics: AuditMetrics) -> None:
        try:
            report = self._audit.look()
        except (StreamError, ClusterError) as error:
            self._ready = False
            metrics.failed()
            click.echo(f"{self._now()}  {error} Trying again in {self._auditing.interval:g} s.", err=True)
            return
        self._ready = True
        metrics.looked(report)
        found = report.findings.total()
        click.echo(
            f"{self._now()}  {counted(report.total('documents'), 'document')}, lag {report.total('lag'):,}, "
            f"{counted(found, 'finding') if found else 'no findings'}",
            err=True,
        )
        for example in report.examples[self._told :]:
            click.echo(f"          {tell_example(example)}", err=True)
        self._told = len(report.examples)

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock.time(), UTC).strftime("%H:%M:%SZ")


@contextmanager
def _served(http: Http, not_ready_because: Callable[[], str | None], metrics: AuditMetrics) -> Iterator[str]:
    """The port, for the time of the block; gives its address."""
    try:
        server = HttpServer(http.http_host, http.http_port, routes(not_ready_because, metrics.exposition))
        write_service_file(http.service_file, {HEALTH: f"{server.host}:{server.port}"})
    except OSError as error:
        raise PortError(
            f"The port {http.http_host}:{http.http_port} cannot be opened, or {http.service_file} cannot be written: "
            f"{error}. Another process may have the port: take --http-port 0 for a free one."
        ) from error
    try:
        yield f"http://{server.host}:{server.port}"
    finally:
        server.close()
        remove_service_file(http.service_file)
