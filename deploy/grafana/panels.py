"""What the dashboard shows, as plain data: dashboard.py makes Grafana's JSON of it, pictures.py draws it.

`$sel` in a query stands for the selection of the data centre, `$rate` for the window of a rate.
"""

from enum import StrEnum
from string import Template
from typing import Final, NamedTuple


class Kind(StrEnum):
    """How a panel looks."""

    LINES = "lines"
    STACK = "stack"
    """Lines on top of each other, where the sum means something."""
    HEAT = "heat"
    """A heat map of a histogram's buckets."""
    NUMBER = "number"
    """The present value, large."""
    TABLE = "table"
    """The present values with their labels."""


class Query(NamedTuple):
    """One PromQL expression, and the name of its series, with labels in double braces."""

    expression: str
    legend: str = ""


class Panel(NamedTuple):
    """One panel. `width` is in 24ths of the dashboard; `unit` is one of Grafana's; `limit` is drawn as a red line."""

    title: str
    description: str
    kind: Kind
    unit: str
    width: int
    queries: tuple[Query, ...]
    limit: float | None = None


class Row(NamedTuple):
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


def filled(query: Query, selection: str, rate: str) -> str:
    """The PromQL of a query: `selection` goes between the braces of each metric, `rate` between the brackets."""
    return Template(query.expression).substitute(sel=selection, rate=rate)


def _per_stage(quantile: str) -> str:
    return (
        f"histogram_quantile({quantile}, sum by (le, stage) (rate(clf_stage_duration_seconds_bucket{{$sel}}[$rate])))"
    )


def _quantiles(metric: str, *quantiles: str) -> tuple[Query, ...]:
    return tuple(
        Query(f"histogram_quantile({quantile}, sum by (le) (rate({metric}_bucket{{$sel}}[$rate])))", f"p{name}")
        for quantile, name in ((one, f"{float(one) * 100:g}") for one in quantiles)
    )


_OVERVIEW = Row(
    "Overview",
    (
        Panel(
            "Documents per second",
            "Input records settled by all workers together, as results or as dead letters.",
            Kind.NUMBER,
            "short",
            4,
            (Query("sum(rate(clf_records_total{$sel}[$rate]))"),),
        ),
        Panel(
            "Lag",
            "Records that no worker has settled yet.",
            Kind.NUMBER,
            "short",
            4,
            (Query("sum(clf_consumer_lag_records{$sel})"),),
        ),
        Panel(
            "Drained in",
            "Until the slowest worker has nothing left, at the present cost of a document and the present inflow.",
            Kind.NUMBER,
            "s",
            4,
            (Query("max(clf_drain_seconds{$sel})"),),
        ),
        Panel(
            "Workers useful",
            "How many workers would have something to do; never more than the partitions that lag.",
            Kind.NUMBER,
            "short",
            4,
            (Query("sum(clf_workers_useful{$sel})"),),
        ),
        Panel(
            "Workers",
            "Workers with partitions assigned.",
            Kind.NUMBER,
            "short",
            4,
            (Query("count(clf_assigned_partitions{$sel} > 0)"),),
        ),
        Panel(
            "Oldest record in hand",
            "Age of the oldest record that was read and is not committed.",
            Kind.NUMBER,
            "s",
            4,
            (Query("max(clf_oldest_record_age_seconds{$sel})"),),
        ),
    ),
)

_TRAFFIC = Row(
    "Traffic",
    (
        Panel(
            "Settled, by how",
            "Input records per second by outcome: classified, without result, or a dead letter.",
            Kind.STACK,
            "short",
            12,
            (Query("sum by (outcome) (rate(clf_records_total{$sel}[$rate]))", "{{outcome}}"),),
        ),
        Panel(
            "Settled, by worker",
            "Whether all workers carry the same weight. They need not: partitions differ.",
            Kind.LINES,
            "short",
            12,
            (Query("sum by (instance) (rate(clf_records_total{$sel}[$rate]))", "{{instance}}"),),
        ),
        Panel(
            "Time from a record's timestamp to its committed result",
            "Every result, by the bucket it fell into. A bright band that climbs is a backlog.",
            Kind.HEAT,
            "s",
            12,
            (Query("sum by (le) (rate(clf_end_to_end_latency_seconds_bucket{$sel}[$rate]))", "{{le}}"),),
        ),
        Panel(
            "The same, as percentiles",
            "Over all workers.",
            Kind.LINES,
            "s",
            12,
            _quantiles("clf_end_to_end_latency_seconds", "0.5", "0.99"),
        ),
    ),
)

_LAG = Row(
    "Lag and age",
    (
        Panel(
            "Lag per partition",
            "Records not settled. One that climbs alone: a hot key, or a partition without an owner.",
            Kind.LINES,
            "short",
            12,
            (Query("max by (topic, partition) (clf_consumer_lag_records{$sel})", "{{topic}}/{{partition}}"),),
        ),
        Panel(
            "Oldest record in hand, by worker",
            "Climbs by a second a second when a worker gets no further.",
            Kind.LINES,
            "s",
            6,
            (Query("max by (instance) (clf_oldest_record_age_seconds{$sel})", "{{instance}}"),),
        ),
        Panel(
            "Workers that would help",
            "Those that have partitions, and those that would have work.",
            Kind.LINES,
            "short",
            6,
            (
                Query("count(clf_assigned_partitions{$sel} > 0)", "assigned"),
                Query("sum(clf_workers_useful{$sel})", "useful"),
            ),
        ),
    ),
)

_STAGES = Row(
    "Stages",
    (
        Panel(
            "Seconds of work per second, by stage",
            "Where the time goes. Together near 1 per worker: the worker is busy all the time.",
            Kind.STACK,
            "short",
            12,
            (Query("sum by (stage) (rate(clf_stage_duration_seconds_sum{$sel}[$rate]))", "{{stage}}"),),
        ),
        Panel(
            "A batch in each stage, 99th percentile",
            "commit is the broker's time, score the processor's.",
            Kind.LINES,
            "s",
            6,
            (Query(_per_stage("0.99"), "{{stage}}"),),
        ),
        Panel(
            "Records per batch",
            "Small batches under load: records arrive one by one, or a limit is too low.",
            Kind.LINES,
            "short",
            6,
            _quantiles("clf_batch_size_records", "0.5", "0.99"),
        ),
    ),
)

_CLASSES = Row(
    "Classes and models",
    (
        Panel(
            "Labels given",
            "Labels per second, by language and class. A class that vanishes after a rollout is a reason to roll back.",
            Kind.STACK,
            "short",
            12,
            (Query("sum by (lang, name) (rate(clf_predictions_total{$sel}[$rate]))", "{{lang}} {{name}}"),),
        ),
        Panel(
            "Models that are served",
            "By how many processes. Two versions of a language for longer than a rollout: one did not follow.",
            Kind.TABLE,
            "short",
            8,
            (Query("count by (lang, version, digest) (clf_model_info{$sel})"),),
        ),
        Panel(
            "Model changes",
            "New versions swapped in, and those refused, which the log explains.",
            Kind.LINES,
            "short",
            4,
            (Query("sum by (outcome) (increase(clf_model_reloads_total{$sel}[$rate]))", "{{outcome}}"),),
        ),
    ),
)

_GROUP = Row(
    "Group and dead letters",
    (
        Panel(
            "Rebalances",
            "Changes of the assignment. Many without a rollout: workers come and go, or are too slow to poll.",
            Kind.LINES,
            "short",
            8,
            (Query("sum by (event) (increase(clf_rebalances_total{$sel}[$rate]))", "{{event}}"),),
        ),
        Panel(
            "Dead letters",
            "Per second, by reason.",
            Kind.STACK,
            "short",
            8,
            (Query("sum by (reason) (rate(clf_dead_letters_total{$sel}[$rate]))", "{{reason}}"),),
        ),
        Panel(
            "Aborted and stuck",
            "Transactions run again, and times a worker was found stuck.",
            Kind.LINES,
            "short",
            8,
            (
                Query("sum(increase(clf_transactions_aborted_total{$sel}[$rate]))", "aborted"),
                Query("sum(increase(clf_stalls_total{$sel}[$rate]))", "stuck"),
            ),
        ),
    ),
)

_CALLS = Row(
    "Calls (gRPC)",
    (
        Panel(
            "Calls, by how they ended",
            "Per second.",
            Kind.STACK,
            "short",
            8,
            (Query("sum by (grpc_code) (rate(grpc_server_handled_total{$sel}[$rate])) > 0", "{{grpc_code}}"),),
        ),
        Panel(
            "Answer time",
            "From a call's arrival to its answer, without the way there and back. The caller gives up after 100 ms.",
            Kind.LINES,
            "s",
            8,
            _quantiles("clf_latency_seconds", "0.5", "0.99", "0.999"),
            limit=0.1,
        ),
        Panel(
            "Answer time, all calls",
            "Every answered call, by the bucket it fell into.",
            Kind.HEAT,
            "s",
            8,
            (Query("sum by (le) (rate(clf_latency_seconds_bucket{$sel}[$rate]))", "{{le}}"),),
        ),
        Panel(
            "Sent away before any work",
            "too_many_calls: the server is full; too_little_time: callers leave it less than it needs.",
            Kind.LINES,
            "short",
            8,
            (Query("sum by (reason) (rate(clf_refused_calls_total{$sel}[$rate]))", "{{reason}}"),),
        ),
        Panel(
            "Time left at arrival",
            "Until the caller's deadline, when work on its call began: the slowest 1 % and the median.",
            Kind.LINES,
            "s",
            8,
            _quantiles("clf_time_left_seconds", "0.01", "0.5"),
        ),
        Panel(
            "Attempts per call",
            "What clients send for each call. 1 when the fleet is well; hedging adds more when it is not.",
            Kind.LINES,
            "short",
            8,
            (
                Query(
                    "sum(rate(clf_client_attempts_total{$sel}[$rate]))"
                    " / sum(rate(clf_client_calls_total{$sel}[$rate]))",
                    "attempts",
                ),
            ),
        ),
    ),
)

_HOSTS = Row(
    "Hosts",
    (
        Panel(
            "Cores in use, by process",
            "Processor seconds per second.",
            Kind.LINES,
            "short",
            8,
            (Query("sum by (job, instance) (rate(process_cpu_seconds_total{$sel}[$rate]))", "{{job}} {{instance}}"),),
        ),
        Panel(
            "Resident memory, by process",
            "Model files that are mapped count as far as they were touched.",
            Kind.LINES,
            "bytes",
            8,
            (Query("max by (job, instance) (process_resident_memory_bytes{$sel})", "{{job}} {{instance}}"),),
        ),
        Panel(
            "Slowed down by its host",
            "1 while a process is slower than its own baseline and its host shows why.",
            Kind.LINES,
            "short",
            8,
            (Query("max by (instance, reason) (clf_host_slow{$sel})", "{{instance}} {{reason}}"),),
        ),
    ),
)

ROWS: Final = (_OVERVIEW, _TRAFFIC, _LAG, _STAGES, _CLASSES, _GROUP, _CALLS, _HOSTS)
