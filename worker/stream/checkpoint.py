"""The unit of commit: the only place that begins, commits or aborts."""

import threading

from worker.clock import Clock
from worker.stream.deadline import Deadline
from worker.stream.errors import AbortableError, FatalError, FencedError, RetriableError, StreamError
from worker.stream.ports import Observer, Publisher
from worker.stream.records import Outcome


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
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ask the running commit to abort at its next step: the partitions were lost."""
        self._cancelled.set()

    def run(self, outcome: Outcome, membership: bytes) -> None:
        """Commit `outcome`.

        Raises:
            AbortableError: nothing was committed; the same outcome may be tried again.
            FencedError: another process has this slot.
            FatalError: the outcome is unknown, or the client is unusable.
        """
        deadline = Deadline(self._clock, self._timeout)
        try:
            self._publisher.begin()  # 1
            self._send(outcome)  # 2
            self._commit(outcome, membership, deadline)  # 3
        except (AbortableError, RetriableError) as error:
            self._abort(deadline)
            raise AbortableError(str(error)) from error
        except (FencedError, FatalError):
            raise
        except BaseException:
            self._abort(deadline)
            raise
        finally:
            self._cancelled.clear()

    def acknowledge(self, outcome: Outcome) -> None:
        """4: the one step that belongs to the polling thread; see `Publisher.acknowledge`."""
        self._publisher.acknowledge(outcome.offsets)

    def _send(self, outcome: Outcome) -> None:
        started = self._clock.monotonic()
        for part in outcome.parts.values():
            self._check_cancelled()
            self._publisher.send(part.outgoing)
        self._observer.stage("produce", self._clock.monotonic() - started)

    def _commit(self, outcome: Outcome, membership: bytes, deadline: Deadline) -> None:
        self._check_cancelled()
        started = self._clock.monotonic()
        self._publisher.commit(outcome.offsets, membership, deadline)
        self._observer.stage("commit", self._clock.monotonic() - started)

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise AbortableError("The partitions of this batch were lost to another worker.")

    def _abort(self, deadline: Deadline) -> None:
        try:
            self._publisher.abort(deadline)
        except FencedError:
            raise
        except StreamError as error:
            raise FatalError(f"The transaction could not be aborted: {error}") from error
        self._observer.transaction_aborted()
