"""What the audit needs of a cluster; the adapter is `worker.kafka.audit`."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from worker.stream.records import Record, TopicPartition


class Extent(NamedTuple):
    """What one partition holds at one moment, as offsets.

    Attributes:
        first: of the oldest record still there.
        stable: behind the last record that readers of committed records may see.
        end: behind the last record; above `stable` while a transaction is open.
    """

    first: int
    stable: int
    end: int


class AuditedCluster(Protocol):
    """Reads what a system left in its topics. It commits nothing and disturbs nobody.

    Every call raises one of the errors of `worker.stream.errors` or `worker.kafka.admin` when the cluster does not
    answer.
    """

    def committed(self) -> dict[int, int]:
        """The group's offset of every partition of the documents topic that it has one of.

        Offsets that a transaction has sent but not completed are waited for.
        """

    def extents(self, topic: str) -> dict[int, Extent]:
        """What every partition of a topic holds."""

    def read(self, source: TopicPartition, start: int, end: int) -> Iterator[Sequence[Record]]:
        """The committed records of one partition from `start` on, before `end`, in batches that may be empty."""


class Progress(Protocol):
    """Told of every step forward."""

    def advanced(self, count: int) -> None:
        """That much more of what `Audit.size` said was passed."""

    def records_done(self, count: int) -> None:
        """That many more records were read."""
