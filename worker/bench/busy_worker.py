"""A `clf worker` that has more to do than it can: what keeps both cores busy beside a server under measurement."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from worker.bench.contender import Contender, worker_command
from worker.bench.trained import BenchError
from worker.clock import Clock
from worker.kafka.admin import Cluster

_START_SECONDS = 60.0
_POLL_SECONDS = 0.05
_TOPIC = {"max.message.bytes": "2000000"}


@dataclass(frozen=True, slots=True)
class BusyWorker:
    """Workers, one after the other, each with the whole backlog before it.

    Attributes:
        servers: of the broker.
        topic: the backlog.
        partitions: of each topic.
        count: documents in it.
        models: the store.
        directory: for the files of the workers.
        cluster: the broker, to look at it.
        clock: the time.
    """

    servers: str
    topic: str
    partitions: int
    count: int
    models: Path
    directory: Path
    cluster: Cluster
    clock: Clock
    _runs: list[str] = field(default_factory=list)

    @contextmanager
    def running(self, told: Callable[[float], None]) -> Iterator[None]:
        """A worker at full load inside the `with` block; `told` hears afterwards how many documents a second it did.

        Raises:
            BenchError: the worker does not get going, or was not busy all the time.
        """
        group = f"bench-{uuid4().hex[:8]}"
        self._runs.append(group)
        topics = [f"{group}-results", f"{group}-dead"]
        for topic in topics:
            self.cluster.create(topic, self.partitions, 1, _TOPIC)
        names = ["--documents", self.topic, "--classifications", topics[0], "--dead-letters", topics[1]]
        where = ["--bootstrap-servers", self.servers, "--models", str(self.models.absolute()), "--group", group]
        directory = self.directory / f"busy-worker-{len(self._runs)}"
        contender = Contender(worker_command(*where, *names), directory, self.cluster, self.clock)
        try:
            before, began = self._await_first(group, directory), self.clock.monotonic()
            yield
            done, seconds = self._done(group), self.clock.monotonic() - began
            if done >= self.count:
                raise BenchError("The worker ran out of documents: raise --backlog, or shorten --seconds.")
            told((done - before) / seconds)
        finally:
            contender.stop()
            self.cluster.delete(topics)

    def _await_first(self, group: str, directory: Path) -> int:
        end = self.clock.monotonic() + _START_SECONDS
        while not (done := self._done(group)):
            if self.clock.monotonic() > end:
                raise BenchError(f"The worker did not get going. Its output is in {directory}.")
            self.clock.sleep(_POLL_SECONDS)
        return done

    def _done(self, group: str) -> int:
        return self.cluster.committed(group, self.topic)
