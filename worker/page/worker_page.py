"""What a worker shows of itself."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from worker.clock import Clock
from worker.diagnosis.slow_node import SlowNode
from worker.page.page import LONG, NUMBER, SHARE, Column, Fact, Page, Section
from worker.page.parts import build, counted, duration, host, models, moment, number, rate, recent
from worker.page.recent import Recent
from worker.page.snapshots import Growth, Snapshot, Snapshots

_STAGES = ("decode", "score", "encode", "produce", "commit")
_MOST_PARTITIONS = 40
_MOST_NUMBERS = 24  # of partitions in one line


@dataclass(frozen=True, slots=True)
class WorkerPage:
    """Makes the page.

    Attributes:
        group: the consumer group.
        slot: this worker's place in it; "" before it has one.
        not_ready_because: as `/ready` has it.
        snapshots: of its metrics.
        recent: what happened last.
        slow_node: what the host does.
        watched: whether that is looked at.
        clock: the time.
    """

    group: str
    slot: Callable[[], str]
    not_ready_because: Callable[[], str | None]
    snapshots: Snapshots
    recent: Recent
    slow_node: SlowNode
    watched: bool
    clock: Clock

    def __call__(self) -> Page:
        """As it is now."""
        growth = self.snapshots.growth()
        now = growth.now
        about = f"Group {self.group}, slot {self.slot() or 'not known yet'}. {build(now)}. {moment(self.clock.time())}."
        sections = [
            _partitions(now),
            _stages(growth),
            counted("Documents", "outcome", "clf_records_total", "outcome", growth),
            models(now),
            self._rebalances(),
            self._letters(now),
            host(self.slow_node.diagnosis, watched=self.watched),
        ]
        return Page("clf worker", self.not_ready_because(), about, _facts(growth), sections)

    def _rebalances(self) -> Section:
        now = self.clock.time()
        columns = [Column("time"), Column("change"), Column("partitions", LONG), Column("then assigned", NUMBER)]
        rows = [
            (recent(item.time, now), item.event, _numbers(list(map(str, item.partitions))), number(item.assigned))
            for item in self.recent.rebalances
        ]
        return Section("Last rebalances", columns, rows, "" if rows else "None so far.")

    def _letters(self, snapshot: Snapshot) -> Section:
        now = self.clock.time()
        columns = [Column("time"), Column("reason"), Column("topic/partition/offset", LONG)]
        rows = [tuple(map(str, (recent(item.time, now), item.reason, item.source))) for item in self.recent.letters]
        total = snapshot.value("clf_dead_letters_total")
        return Section(
            "Last dead letters", columns, rows, f"{number(total)} since the start." if rows else "None so far."
        )


def _facts(growth: Growth) -> list[Fact]:
    now = growth.now
    lag, drain = now.value("clf_consumer_lag_records"), now.value("clf_drain_seconds")
    return [
        Fact("Throughput", rate(growth.rate("clf_records_total")), "documents per second"),
        Fact("Lag", number(lag), "documents that wait"),
        Fact("Drained", *_drained(drain, math.ceil(now.value("clf_workers_useful")))),
        Fact("Oldest in hand", duration(now.value("clf_oldest_record_age_seconds"))),
        Fact(
            "Dead letters",
            number(now.value("clf_dead_letters_total")),
            f"{rate(growth.rate('clf_dead_letters_total'))} per second",
        ),
        Fact("Partitions", number(now.value("clf_assigned_partitions")), "assigned"),
    ]


def _drained(seconds: float, workers: int) -> tuple[str, str]:
    if not seconds:
        return "now", "nothing waits"
    if math.isinf(seconds):
        return "never", "more comes than is done"
    return f"in {duration(seconds)}", f"work for {workers} worker{'s' if workers > 1 else ''}"


def _partitions(now: Snapshot) -> Section:
    lags = sorted(now.by("clf_consumer_lag_records", "partition").items(), key=lambda item: (-item[1], int(item[0])))
    shown = sorted(lags[:_MOST_PARTITIONS], key=lambda item: int(item[0]))
    topic = next(iter(now.labels("clf_assigned_partitions")), {}).get("topic", "")
    if not lags:
        note = "None is assigned, or nothing is known of them yet."
    elif len(lags) > len(shown):
        note = f"Those with the largest lag; there are {len(lags)}."
    else:
        note = ""
    return Section(
        f"Partitions of {topic}",
        [Column("partition"), Column("lag", NUMBER)],
        [(key, number(lag)) for key, lag in shown],
        note,
    )


def _stages(growth: Growth) -> Section:
    shares = growth.rates("clf_stage_duration_seconds_sum", "stage")
    batches = growth.rates("clf_stage_duration_seconds_count", "stage")
    rows = [
        (stage, min(1.0, shares[stage]), duration(shares[stage] / batches[stage]) if batches[stage] else "")
        for stage in _STAGES
        if stage in shares
    ]
    columns = [Column("stage"), Column("of the time", SHARE), Column("per batch", NUMBER)]
    note = "Decode, score and encode of one batch run beside produce and commit of the one before."
    return Section("Stages", columns, rows, note if rows else "No batch so far.")


def _numbers(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NUMBERS} more" if len(names) > _MOST_NUMBERS else ""
    return ", ".join(names[:_MOST_NUMBERS]) + more
