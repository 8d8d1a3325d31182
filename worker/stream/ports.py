"""The ports of the loop: what it needs of a broker and whom it tells. Adapters live in `worker.kafka`."""

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Protocol

from worker.stream.deadline import Deadline
from worker.stream.records import Outcome, Outgoing, Position, Record, TopicPartition


class RebalanceEvent(StrEnum):
    """What a rebalance did to some partitions."""

    ASSIGNED = "assigned"
    REVOKED = "revoked"
    LOST = "lost"


class RebalanceListener(Protocol):
    """Told of every change of the assignment, on the thread that polls, before the change takes effect."""

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """These partitions are ours from now on."""

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """These go to another worker as soon as this call returns; finish or abort what is in flight."""

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """These went to another worker already; nothing of theirs may be committed."""


class Source(Protocol):
    """Where records come from. All calls are made on one thread, and none blocks longer than it says."""

    def subscribe(self, listener: RebalanceListener) -> None:
        """Join the group."""

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Up to `max_records` records; waits `timeout` seconds for the first one. Calls the listener.

        Raises:
            FatalError: the client cannot go on.
        """

    def membership(self) -> bytes | None:
        """Proof of the present membership, for committing offsets; None while there is none."""

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Position]:
        """Where the group stands in these; -1 where it has committed nothing.

        Raises:
            RetriableError, AbortableError: no answer now; ask again.
            FatalError: the client cannot go on.
        """

    def pause(self) -> None:
        """Deliver nothing more, while polls keep the membership alive."""

    def resume(self) -> None:
        """Deliver again."""

    def close(self) -> None:
        """Leave the group."""


class Publisher(Protocol):
    """Where results go: publishes a batch and commits its offsets, as far as it can in one step.

    Calls are made in the order begin, send, commit; abort may follow any of them. These run on the committing thread;
    `acknowledge`, which comes last, `release` and `forget` run on the polling one. Every call raises one of the errors
    of `worker.stream.errors`.
    """

    def begin(self) -> None:
        """Start a unit of publishing."""

    def send(self, outgoing: Iterable[Outgoing]) -> None:
        """Hand records to the client; the first failed delivery is raised here or by `commit`."""

    def commit(self, positions: Mapping[TopicPartition, Position], membership: bytes, deadline: Deadline) -> None:
        """Wait for the deliveries and make them permanent, and the positions with them where that is one step."""

    def acknowledge(self, positions: Mapping[TopicPartition, Position]) -> bool:
        """On the polling thread, after `commit`: commit the positions if that is a step of its own.

        Returns whether the group has them, and all those before; when not, they are committed with the next ones.
        """

    def release(self, partitions: Collection[TopicPartition], deadline: Deadline) -> None:
        """On the polling thread, before `partitions` are given up: commit what `acknowledge` could not."""

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """On the polling thread: `partitions` are another worker's already, so nothing of theirs is committed."""

    def abort(self, deadline: Deadline) -> None:
        """Undo what `send` handed over, as far as the broker can."""

    def close(self) -> None:
        """Let go of the client without waiting for anything."""


class Observer(Protocol):
    """Whom the loop tells what happens; the metrics implement it."""

    def stage(self, stage: str, seconds: float) -> None:
        """One stage of one batch took that long."""

    def batch_closed(self, records: int) -> None:
        """A batch of that many records was handed on."""

    def committed(self, outcome: Outcome, now_ms: float) -> None:
        """A batch's results and offsets are permanent."""

    def in_hand(self, oldest_timestamp_ms: int | None) -> None:
        """The timestamp of the oldest record read and not yet committed; None when there is none."""

    def rebalanced(self, event: RebalanceEvent, partitions: Collection[TopicPartition], assigned: int) -> None:
        """`partitions` came or went; `assigned` is how many are ours now."""

    def transaction_aborted(self) -> None:
        """A transaction was aborted, and its batch will be run again."""

    def death_found(self) -> None:
        """A partition was taken over from a worker that died with documents in hand."""

    def suspected(self, partitions: int) -> None:
        """In that many partitions documents are taken a few at a time now."""
