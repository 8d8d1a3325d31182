"""`clf tail`: follow the results."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import click
import orjson

from schemas.classification import Classification, ClassificationError, decode_classification
from schemas.headers import JSON, content_type_of
from worker.clock import Clock, SystemClock
from worker.commands.cluster import clear_errors, client_settings, partitions_of
from worker.commands.output import console, counted, printable_bytes, write_lines
from worker.commands.result_table import ResultTable, Row, result_row, tombstone_row
from worker.config import COUNT, SECONDS, Cluster, Topics
from worker.kafka.consumer import TopicReader
from worker.lifecycle import StopSignals
from worker.options import options
from worker.stream.deadline import Deadline
from worker.stream.records import Record, TopicPartition

_POLL_RECORDS, _POLL_SECONDS = 500, 0.2
_FORCED = 130


@dataclass(frozen=True, slots=True)
class View:
    """Which results are shown, and when to stop."""

    as_json: bool
    from_beginning: bool
    follow: bool
    limit: int | None
    seconds: float | None
    url: str
    labels: tuple[str, ...]


class Shown(NamedTuple):
    """One result as it was read; `result` is None for a tombstone."""

    record: Record
    result: Classification | None


@click.command()
@options(Cluster, Topics)
@click.option(
    "--json", "as_json", is_flag=True, help="A JSON object per line; that is how results look in a pipe or a file."
)
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest result that the topic holds.")
@click.option(
    "--follow/--no-follow",
    default=True,
    show_default=True,
    help="--no-follow shows what the topic holds now, and stops.",
)
@click.option("--limit", type=COUNT, help="Stop after showing this many.")
@click.option("--for", "seconds", type=SECONDS, help="Stop after this many seconds.")
@click.option("--url", default="", help="Only results whose url contains this.")
@click.option("--label", "labels", multiple=True, help="Only results with this label; may be given more than once.")
def tail(cluster: Cluster, topics: Topics, **view: Any) -> None:  # noqa: ANN401 - the options above, each checked by click
    """Follow the results as workers publish them, until Ctrl-C.

    Only committed results are read, from all partitions, starting behind the last one (--from-beginning: at the
    first). The column "age" is the time from publishing to reading here: what the transaction's commit and the way
    through the broker took, while one follows. A tombstone is the deletion of a page.

    As JSON, a result is the published value itself, and a tombstone {"url": ..., "tombstone": true}. Values that
    are no classifications are reported on standard error.

    \b
    clf tail --label sport
    clf tail --no-follow --json > results.jsonl

    \b
    Exit codes: 0 stopped as asked, also by Ctrl-C   2 wrong usage   3 cannot start, see the message
                4 the cluster refuses to go on, or the output could not be written
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    with clear_errors(), StopSignals(lambda: sys.exit(_FORCED)).installed() as signals:
        partitions = partitions_of(cluster, topics.classifications)
        with closing(TopicReader(client_settings(cluster, "consumer"))) as reader:
            _Tail(reader, View(**view), SystemClock(), signals.stopping).run(topics.classifications, partitions)


class _Tail:
    """One run of `clf tail`."""

    def __init__(self, reader: TopicReader, view: View, clock: Clock, stopping: Callable[[], bool]) -> None:
        self._reader = reader
        self._view = view
        self._clock = clock
        self._stopping = stopping
        self._left = sys.maxsize if view.limit is None else view.limit
        self._deadline = None if view.seconds is None else Deadline(clock, view.seconds)
        self._undecodable = 0
        self._table = ResultTable(console(), with_age=True) if _wants_rows(view) else None

    def run(self, topic: str, partitions: int) -> None:
        ends = self._reader.assign(topic, partitions, from_beginning=self._view.from_beginning or not self._view.follow)
        if self._view.follow:
            click.echo(f"Following {topic} ({counted(partitions, 'partition')}). Ctrl-C ends.", err=True)
        for records in self._polls(ends):
            self._show(records)
            if self._is_over():
                break
        if self._undecodable:
            click.echo(f"{counted(self._undecodable, 'value')} of {topic} could not be read.", err=True)

    def _polls(self, ends: Mapping[TopicPartition, int]) -> Iterator[list[Record]]:
        if not self._view.follow:
            yield from self._reader.batches_to(ends)
            return
        while True:
            yield self._reader.poll(_POLL_RECORDS, _POLL_SECONDS)

    def _is_over(self) -> bool:
        return self._left <= 0 or self._stopping() or (self._deadline is not None and self._deadline.expired)

    def _show(self, records: Iterable[Record]) -> None:
        shown = [item for record in records if (item := self._decode(record)) is not None and self._is_wanted(item)]
        shown = shown[: self._left]
        self._left -= len(shown)
        if not shown:
            return
        if self._table is None:
            write_lines(_json(item) for item in shown)
        else:
            now_ms = self._clock.time() * 1000
            self._table.show([_row(item, now_ms) for item in shown])

    def _decode(self, record: Record) -> Shown | None:
        if record.value is None:
            return Shown(record, None)
        try:
            return Shown(record, decode_classification(record.value, content_type_of(record.headers)))
        except ClassificationError as error:
            self._undecodable += 1
            topic, partition = record.source
            click.echo(f"{topic}/{partition}/{record.offset} is no classification: {error.detail}", err=True)
            return None

    def _is_wanted(self, item: Shown) -> bool:
        if item.result is None:
            return not self._view.labels and self._view.url in printable_bytes(item.record.key)
        return self._view.url in item.result.url and (
            not self._view.labels or not set(self._view.labels).isdisjoint(item.result.labels)
        )


def _wants_rows(view: View) -> bool:
    return sys.stdout.isatty() and not view.as_json


def _json(item: Shown) -> bytes:
    record, result = item
    if result is None:
        return orjson.dumps({"url": (record.key or b"").decode("utf-8", "replace"), "tombstone": True})
    value = record.value or b""
    as_published = content_type_of(record.headers) in (None, JSON) and b"\n" not in value
    return value if as_published else result.to_json()


def _row(item: Shown, now_ms: float) -> Row:
    timestamp = item.record.timestamp_ms
    age = _age(max(0.0, now_ms - timestamp) / 1000) if timestamp else ""
    if item.result is None:
        return tombstone_row(printable_bytes(item.record.key), age)
    return result_row(item.result, age)


def _age(seconds: float) -> str:
    """Seconds as a person reads them."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
