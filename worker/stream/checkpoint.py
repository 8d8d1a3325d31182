"""The unit of commit: the only place that begins, commits or aborts."""

from collections.abc import Collection
from threading import Event

from worker.clock import Clock
from worker.stream.deadline import Deadline
from worker.stream.errors import AbortableError, FatalError, FencedError, RetriableError, StreamError
from worker.stream.ports import Observer, Publisher
from worker.stream.records import Outcome, TopicPartition


class Checkpoint:
    """Publishes one outcome and commits its offsets, in three numbered steps under one deadline.

    Every way out either commits or aborts, but two: a fenced worker no longer owns the transaction, and after a
    commit with an unknown result an abort is not allowed; both end the process.
    """

    def __init__(self, publisher: Publisher, observer: Observer, clock: Clock, timeout_seconds: float) -> None:
        self._publisher = publisher
        self._observer = observer
        self._clock = clock
        self._timeout = timeout_seconds

    def run(self, outcome: Outcome, membership: bytes, cancelled: Event) -> None:
        """Commit `outcome`, unless `cancelled` is set before the last step: then its partitions were lost, it aborts.

        Raises:
            AbortableError: nothing was committed; the same outcome may be tried again.
            FencedError: another process has this slot.
            FatalError: the outcome is unknown, or the client is unusable.
        """
        deadline = Deadline(self._clock, self._timeout)
        try:
            self._publisher.begin()  # 1
            self._send(outcome, cancelled)  # 2
            _check(cancelled)
            self._commit(outcome, membership, deadline)  # 3
        except (AbortableError, RetriableError) as error:
            self._abort(deadline)
            raise AbortableError(str(error)) from error
        except (FencedError, FatalError):
            raise
        except BaseException:
            self._abort(deadline)
            raise

    def acknowledge(self, outcome: Outcome) -> bool:
        """4: the one step that belongs to the polling thread; see `Publisher.acknowledge`."""
        return self._publisher.acknowledge(outcome.positions)

    def release(self, partitions: Collection[TopicPartition], deadline: Deadline) -> None:
        """Before `partitions` are given up, on the polling thread; see `Publisher.release`."""
        self._publisher.release(partitions, deadline)

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """When `partitions` are gone, on the polling thread; see `Publisher.forget`."""
        self._publisher.forget(partitions)

    def _send(self, outcome: Outcome, cancelled: Event) -> None:
        started = self._clock.monotonic()
        for part in outcome.parts.values():
            _check(cancelled)
            self._publisher.send(part.outgoing)
        self._observer.stage("produce", self._clock.monotonic() - started)

    def _commit(self, outcome: Outcome, membership: bytes, deadline: Deadline) -> None:
        started = self._clock.monotonic()
        self._publisher.commit(outcome.positions, membership, deadline)
        self._observer.stage("commit", self._clock.monotonic() - started)

    def _abort(self, deadline: Deadline) -> None:
        try:
            self._publisher.abort(deadline)
        except FencedError:
            raise
        except StreamError as error:
            raise FatalError(f"The transaction could not be aborted: {error}") from error
        self._observer.transaction_aborted()


def _check(cancelled: Event) -> None:
    if cancelled.is_set():
        raise AbortableError("The partitions of this batch were lost to another worker.")
