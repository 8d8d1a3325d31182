"""The loop: poll, batch, process, commit; one batch in each stage at most.

    poll -> open batch -> [processing] -> settled -> [committing] -> permanent

The two bracketed stages run on executors of one thread each, so that the next batch is decoded and scored while the
last is committed, and so that polling, which keeps the membership alive, never waits for either. Everything else,
every decision and every callback of the client, happens on the thread that calls `run_once`.

A batch with records of partitions that are not to be trusted yet is taken in steps, one after the other with nothing
else in hand; see `suspects`.
"""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Any

import structlog

from worker.clock import Clock
from worker.stream.batch import Batch, BatchLimits
from worker.stream.breaker import Breaker
from worker.stream.checkpoint import Checkpoint
from worker.stream.deadline import Deadline
from worker.stream.errors import AbortableError, FatalError, RetriableError, StreamError
from worker.stream.ports import Observer, RebalanceEvent, Source
from worker.stream.records import Outcome, Record, TopicPartition, oldest
from worker.stream.suspects import Step, Steps, Suspects

log = structlog.get_logger(__name__)

Process = Callable[[Sequence[Record]], Outcome]
Condemn = Callable[[Record, int], Outcome]  # a document and how many workers died of it


@dataclass(frozen=True, slots=True)
class LoopLimits:
    """The bounds of the loop, in seconds and counts."""

    batch: BatchLimits
    revoke_timeout: float
    commit_timeout: float
    """For one commit, abort included: beyond it the client hangs, whatever it was told of deadlines."""
    poll_timeout: float = 0.1
    busy_poll_timeout: float = 0.005
    full_wait: float = 1.0
    max_attempts: int = 5


@dataclass(frozen=True, slots=True)
class Stages:
    """Where the two slow stages run: one thread each in production, inline in unit tests."""

    processing: Executor
    committing: Executor


class StreamLoop:
    """Moves batches through their stages. It owns no thread; `run_once` is one turn."""

    def __init__(  # noqa: PLR0913 - the composition root of one worker: each part is a port or a policy of its own
        self,
        *,
        source: Source,
        process: Process,
        condemn: Condemn,
        suspects: Suspects,
        checkpoint: Checkpoint,
        breaker: Breaker,
        stages: Stages,
        limits: LoopLimits,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._source = source
        self._process = process
        self._condemn = condemn
        self._suspects = suspects
        self._checkpoint = checkpoint
        self._breaker = breaker
        self._stages = stages
        self._limits = limits
        self._observer = observer
        self._clock = clock
        self._open = Batch(limits.batch, clock)
        self._processing: Future[Outcome] | None = None
        self._processing_oldest: int | None = None
        self._settled: Outcome | None = None
        self._committing: Future[None] | None = None
        self._in_commit: Outcome | None = None
        self._commit_deadline = Deadline(clock, limits.commit_timeout)
        self._cancelled = Event()  # of that commit alone: one that ended already must not cancel the next
        self._attempts = 0
        self._gone: set[TopicPartition] = set()  # given up while their records were being processed
        self._steps = Steps()
        self._owing = False  # whether the group has not taken the last offsets yet
        self._paused = False
        self.assignment: set[TopicPartition] = set()
        self.turns = self.commits = 0  # for whoever watches whether this one gets on

    def run_once(self) -> None:
        """One turn: move finished batches on, then take records in.

        Raises:
            StreamError: the worker cannot go on; what was in hand stays uncommitted.
        """
        self._advance()
        self._take_in()
        self._observer.in_hand(self._oldest_in_hand())
        self.turns += 1

    def drain(self, deadline: Deadline) -> bool:
        """Take nothing in any more and finish what is in hand. Returns whether all of it was committed in time."""
        if self._steps:  # they may take long, and there is no harm in leaving unread what was only read
            self._steps.clear()
            self._open = Batch(self._limits.batch, self._clock)
        while not self.idle and not deadline.expired:
            self._advance(drain=True)
            if not self._wait_for_stage(min(self._limits.poll_timeout, deadline.remaining())):
                self._clock.sleep(self._limits.busy_poll_timeout)
        return self.idle

    @property
    def idle(self) -> bool:
        """Whether nothing is in hand."""
        return not self._open.records and not self._steps and self._settled is None and not self._running

    # --- stages, last first, so that each batch finds the next stage free -------------------------------------

    def _advance(self, *, drain: bool = False) -> None:
        self._finish_commit()
        self._finish_processing()
        self._start_commit()
        self._start_processing(drain=drain)

    def _finish_commit(self) -> None:
        if self._committing is None:
            return
        if not self._committing.done():
            self._check_commit_deadline()
            return
        future, outcome = self._committing, self._in_commit
        self._committing = self._in_commit = None
        assert outcome is not None  # noqa: S101 - the two are set and cleared together
        try:
            future.result()
        except AbortableError as error:
            self._run_again(outcome, error)
        else:
            self._owing = not self._checkpoint.acknowledge(outcome)
            self._suspects.committed(outcome)
            self._attempts = 0
            self.commits += 1
            if outcome.size:
                self._observer.committed(outcome, self._clock.time() * 1000)

    def _check_commit_deadline(self) -> None:
        if self._commit_deadline.expired:
            raise FatalError(
                f"The Kafka client has not come back from a commit for {self._limits.commit_timeout:g} s, longer than "
                "it was told to try: its outcome is unknown. A new client under the same slot goes on."
            )

    def _run_again(self, outcome: Outcome, error: AbortableError) -> None:
        self._attempts += 1
        log.warning("transaction_aborted", reason=str(error), attempt=self._attempts, records=outcome.size)
        if self._attempts >= self._limits.max_attempts:
            raise FatalError(f"A batch could not be committed in {self._attempts} attempts. Last reason: {error}")
        # It was settled before anything that waits now, so it goes first; both are of partitions we still own.
        self._put_back(outcome)

    def _put_back(self, outcome: Outcome) -> None:
        outcome.drop(set(outcome.parts) - self.assignment)
        if self._settled is not None:
            for source, part in self._settled.parts.items():
                first = outcome.parts.get(source)
                outcome.parts[source] = part if first is None else first.followed_by(part)
        self._settled = outcome if outcome.parts else None

    def _finish_processing(self) -> None:
        if self._processing is None or self._settled is not None or not self._processing.done():
            return
        processing, self._processing = self._processing, None
        try:
            outcome = processing.result()
            outcome.drop(self._gone)
            self._gone.clear()
            if outcome.parts:
                self._breaker.check(outcome)
                self._settled = self._steps.acquitted(outcome)
        except StreamError:  # we were told to stop here, which is no death
            with suppress(StreamError):
                self._give_back(self.assignment, Deadline(self._clock, self._limits.revoke_timeout))
            raise

    def _start_commit(self) -> None:
        if self._settled is None or self._committing is not None:
            return
        membership = self._source.membership()
        if membership is None:
            return
        self._in_commit, self._settled = self._settled, None
        self._cancelled = Event()
        self._commit_deadline = Deadline(self._clock, self._limits.commit_timeout)
        run = self._checkpoint.run
        self._committing = self._stages.committing.submit(run, self._in_commit, membership, self._cancelled)

    def _start_processing(self, *, drain: bool) -> None:
        if self._processing is not None:
            return
        if self._steps.under_way:
            self._next_step()
        if self._steps.under_way or not (self._open.due or (drain and self._open.records)):
            return
        if self._suspects.trusts(self._open.records):
            self._processing = self._stages.processing.submit(self._process, self._close_batch())
        elif self._settled is None and self._committing is None:
            self._take_in_steps()

    def _close_batch(self) -> list[Record]:
        records = self._open.records
        self._processing_oldest = self._open.oldest_timestamp_ms
        self._open = Batch(self._limits.batch, self._clock)
        self._observer.batch_closed(len(records))
        return records

    # --- steps, one after the other; see `suspects` -------------------------------------------------------------

    def _take_in_steps(self) -> None:
        try:
            positions = self._source.committed(self._suspects.unknown(self._open.records))
        except (RetriableError, AbortableError) as error:
            log.warning("committed_offsets_unknown", reason=str(error), consequence="They are asked for again.")
            self._clock.sleep(self._limits.poll_timeout)
            return
        self._steps.begin(self._suspects.plan(self._close_batch(), positions))
        self._next_step()

    def _next_step(self) -> None:
        if self._settled is not None or self._committing is not None or not self._all_acknowledged():
            return
        step = self._steps.next()
        if step is not None and step.outcome is not None:
            self._settled = step.outcome
            self._start_commit()
        elif step is not None:
            self._processing = self._stages.processing.submit(self._work_on, step)

    def _all_acknowledged(self) -> bool:
        """A note that the group has not taken yet would tell nobody."""
        if self._owing:
            self._owing = not self._checkpoint.acknowledge(Outcome({}))
        if self._owing:
            self._clock.sleep(self._limits.poll_timeout)
        return not self._owing

    def _work_on(self, step: Step) -> Outcome:
        """On the processing thread."""
        if step.deaths:
            return step.noted(self._condemn(step.records[0], step.deaths))
        return step.noted(self._process(step.records))

    # --- taking in ------------------------------------------------------------------------------------------

    def _take_in(self) -> None:
        if self._steps.under_way:
            self._stay_a_member()
            return
        if self._open.room == 0:
            self._hold_back()
            return
        if self._paused:
            self._source.resume()
            self._paused = False
        self._open.add(self._source.poll(self._open.room, self._poll_timeout()))

    def _hold_back(self) -> None:
        """The batch in the making is full and the one before it is still being worked on.

        Pausing makes the client throw away what it fetched ahead (librdkafka issue 5343), so a short wait for the
        stage ahead comes first; only when that is not enough is the source paused, and polled to stay a member.
        """
        if not self._paused:
            if self._wait_for_stage(self._limits.full_wait):
                return
            self._source.pause()
            self._paused = True
        self._open.add(self._source.poll(1, self._limits.poll_timeout))

    def _stay_a_member(self) -> None:
        """Steps are short and many, so they get the time; polls only keep the membership alive."""
        if self._open.room == 0 and not self._paused:
            self._source.pause()
            self._paused = True
        timeout = 0.0 if self._running else self._limits.busy_poll_timeout
        self._open.add(self._source.poll(max(1, self._open.room), timeout))
        self._wait_for_stage(self._limits.poll_timeout)

    def _poll_timeout(self) -> float:
        if self._running or self._settled is not None:
            return self._limits.busy_poll_timeout
        age = self._open.remaining_age
        return self._limits.poll_timeout if age is None else min(age, self._limits.poll_timeout)

    def _wait_for_stage(self, timeout: float) -> bool:
        """Wait until a running stage ends. Returns whether one did; at once when none runs."""
        unfinished: list[Future[Any]] = [future for future in self._running if not future.done()]
        return bool(wait(unfinished, timeout=timeout, return_when=FIRST_COMPLETED).done)

    @property
    def _running(self) -> list[Future[Outcome] | Future[None]]:
        return [future for future in (self._processing, self._committing) if future is not None]

    def _oldest_in_hand(self) -> int | None:
        waiting = [outcome.oldest_timestamp_ms for outcome in (self._in_commit, self._settled) if outcome is not None]
        if self._processing is not None or self._steps:
            waiting.append(self._processing_oldest)
        return oldest((*waiting, self._open.oldest_timestamp_ms))

    # --- rebalances: called by the source, inside `poll` or `close` ----------------------------------------------

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """These partitions are ours from now on."""
        self.assignment.update(partitions)
        self._suspects.assigned(partitions)
        if self._paused:
            self._source.pause()  # the new ones too
        self._note(RebalanceEvent.ASSIGNED, partitions)

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Let go of `partitions`: a running commit is finished in time, the rest is left to their next owner.

        Raises:
            FatalError: the commit did not end within the budget, so its outcome is unknown.
        """
        deadline = Deadline(self._clock, self._limits.revoke_timeout)
        self._let_go(partitions)
        self._await_commit(deadline)
        self._give_back(partitions, deadline)
        self._checkpoint.release(partitions, deadline)
        self._suspects.forget(partitions)
        self._note(RebalanceEvent.REVOKED, partitions)

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Let go of `partitions`, which are another worker's already: a commit that has not gone out yet is aborted."""
        if self._in_commit is not None and not self._in_commit.parts.keys().isdisjoint(partitions):
            self._cancelled.set()
        self._let_go(partitions)
        self._await_commit(Deadline(self._clock, self._limits.revoke_timeout))
        self._checkpoint.forget(partitions)
        self._suspects.forget(partitions)
        self._note(RebalanceEvent.LOST, partitions)

    def _let_go(self, partitions: Collection[TopicPartition]) -> None:
        self.assignment.difference_update(partitions)
        self._open.drop(partitions)
        if self._processing is not None:
            self._gone.update(partitions)
        if self._settled is not None:
            self._settled.drop(partitions)
            self._settled = self._settled if self._settled.parts else None
        self._steps.drop(partitions)

    def _give_back(self, partitions: Collection[TopicPartition], deadline: Deadline) -> None:
        """Commit what must be found when these are left in peace."""
        outcome, membership = self._suspects.to_give_back(partitions), self._source.membership()
        if not outcome.parts or membership is None or deadline.expired:
            return
        future = self._stages.committing.submit(self._checkpoint.run, outcome, membership, Event())
        wait([future], timeout=deadline.remaining())
        if not future.done():
            raise FatalError(_stuck_in_commit(self._limits.revoke_timeout))
        try:
            future.result()
        except AbortableError as error:
            log.warning("note_not_taken_back", reason=str(error), consequence="It looks like a death.")
        else:
            self._checkpoint.acknowledge(outcome)

    def _await_commit(self, deadline: Deadline) -> None:
        if self._committing is None:
            return
        wait([self._committing], timeout=deadline.remaining())
        if not self._committing.done():
            raise FatalError(_stuck_in_commit(self._limits.revoke_timeout))
        self._finish_commit()

    def _note(self, event: RebalanceEvent, partitions: Collection[TopicPartition]) -> None:
        names = sorted(f"{partition.topic}/{partition.partition}" for partition in partitions)
        log.info("rebalanced", change=event, partitions=names, assigned=len(self.assignment))
        self._observer.rebalanced(event, partitions, len(self.assignment))


def _stuck_in_commit(seconds: float) -> str:
    return (
        "A commit was still running when its partitions had to be given up "
        f"({seconds:g} s, --revoke-timeout): its outcome is unknown."
    )
