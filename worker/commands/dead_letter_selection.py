"""Which dead letters are meant, and reading them: the same for listing and for replaying."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import click

from schemas.dead_letter import DeadLetter, DeadLetterError, Reason
from worker.commands.output import printable
from worker.kafka.consumer import Bounds, TopicReader
from worker.stream.records import Record, TopicPartition

_RANGE = re.compile(r"([0-9]{1,9})/([0-9]{1,18})(?:(-)([0-9]{1,18})?)?")


class Range(NamedTuple):
    """Offsets of one partition of the dead-letter topic, both ends included."""

    partition: int
    first: int
    last: int

    def __str__(self) -> str:
        if self.first == self.last:
            return f"{self.partition}/{self.first}"
        return f"{self.partition}/{self.first}-{self.last if self.last < sys.maxsize else ''}"


class RangeType(click.ParamType[Range]):
    """PARTITION/OFFSET, PARTITION/FIRST-LAST, or PARTITION/FIRST- for everything from there on."""

    name = "range"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Range:
        """Parse one."""
        if isinstance(value, Range):
            return value
        match = _RANGE.fullmatch(str(value))
        if match is None:
            self.fail(
                f"{printable(str(value), 60)} is neither PARTITION/OFFSET (0/17) nor a range (0/17-40, 0/17-).",
                param,
                ctx,
            )
        first = int(match[2])
        last = int(match[4]) if match[4] else sys.maxsize if match[3] else first
        if last < first:
            self.fail(f"{match[0]} ends before it begins.", param, ctx)
        return Range(int(match[1]), first, last)


class Entry(NamedTuple):
    """One record of the dead-letter topic; `letter` is None for a record that nobody of ours wrote."""

    record: Record
    letter: DeadLetter | None

    @property
    def position(self) -> Range:
        """Where it stands."""
        return Range(self.record.source.partition, self.record.offset, self.record.offset)


@dataclass(frozen=True, slots=True)
class Selection:
    """Dead letters within any of the ranges (all, if there are none), for any of the reasons (likewise).

    Attributes:
        ranges: Offsets of the dead-letter topic.
        reasons: The closed set's values.
        max_attempts: Only what was tried at most this often; None for no limit.
    """

    ranges: tuple[Range, ...] = ()
    reasons: frozenset[Reason] = frozenset()
    max_attempts: int | None = None

    def wants(self, entry: Entry) -> bool:
        """Whether it is meant."""
        partition, offset = entry.record.source.partition, entry.record.offset
        if self.ranges and not any(r.partition == partition and r.first <= offset <= r.last for r in self.ranges):
            return False
        if entry.letter is None:
            return not self.reasons
        if self.max_attempts is not None and entry.letter.attempts > self.max_attempts:
            return False
        return not self.reasons or entry.letter.reason in self.reasons

    def bounds(self, held: Mapping[TopicPartition, Bounds]) -> dict[TopicPartition, Bounds]:
        """The part of what the topic holds that has to be read."""
        return {source: part for source, found in held.items() if (part := self._part(source, found)) is not None}

    def _part(self, source: TopicPartition, found: Bounds) -> Bounds | None:
        if not self.ranges:
            return found
        ranges = [item for item in self.ranges if item.partition == source.partition]
        if not ranges:
            return None
        first = max(found.first, min(item.first for item in ranges))
        end = min(found.end, max(item.last for item in ranges) + 1)
        return Bounds(first, max(first, end))


def check_partitions(ranges: Sequence[Range], partitions: int, topic: str) -> None:
    """Refuse partitions that the topic does not have.

    Raises:
        click.UsageError: there is one.
    """
    for item in ranges:
        if item.partition >= partitions:
            raise click.UsageError(f"{item}: the partitions of {topic} are 0 to {partitions - 1}.")


def read_batches(
    reader: TopicReader, bounds: Mapping[TopicPartition, Bounds], selection: Selection
) -> Iterator[list[Entry]]:
    """The selected entries within `bounds`, as they come; offsets ascend within a partition.

    Raises:
        StreamError: the cluster does not answer.
    """
    wanted = {source: part for source, part in bounds.items() if part.end > part.first}
    if not wanted:
        return
    reader.assign_at({source: part.first for source, part in wanted.items()})
    for records in reader.batches_to({source: part.end for source, part in wanted.items()}):
        entries = (Entry(record, _letter(record)) for record in records)
        yield [entry for entry in entries if selection.wants(entry)]


def _letter(record: Record) -> DeadLetter | None:
    try:
        return DeadLetter.from_record(record.key, record.value, record.headers)
    except DeadLetterError:
        return None
