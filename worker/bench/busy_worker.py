"""A `clf worker` that has more to do than it can: what keeps both cores busy beside a server under measurement."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from schemas.document import Document
from worker.bench.backlog import Backlog
from worker.bench.contender import Contender, worker_command
from worker.bench.trained import BenchError
from worker.clock import Clock
from worker.kafka.admin import Cluster
from worker.kafka.settings import Settings

_PARTITIONS = 4
_START_SECONDS = 60.0
_POLL_SECONDS = 0.05
_TOPIC = {"max.message.bytes": "2000000"}


class BusyWorker:
    """One worker and its backlog."""

    def __init__(self, cluster: Cluster, group: str, topic: str, count: int, clock: Clock) -> None:
        self._cluster = cluster
        self._group = group
        self._topic = topic
        self._count = count
        self._clock = clock
        self._began = (clock.monotonic(), self.done)

    @property
    def done(self) -> int:
        """Documents it has committed."""
        return self._cluster.committed(self._group, self._topic)

    def rate(self) -> float:
        """Documents a second since it began.

        Raises:
            BenchError: it has run out of documents, so it has not been busy all the time.
        """
        at, before = self._began
        done = self.done
        if done >= self._count:
            raise BenchError("The worker ran out of documents: raise --backlog, or shorten --seconds.")
        return (done - before) / (self._clock.monotonic() - at)


@contextmanager
def busy_worker(
    settings: Settings, documents: list[Document], count: int, models: Path, directory: Path, clock: Clock
) -> Iterator[Callable[[], float]]:
    """A worker at full load inside the `with` block; what is yielded tells its documents a second so far.

    Args:
        settings: common to all Kafka clients.
        documents: the backlog is made of these.
        count: of the backlog; it must last.
        models: the store.
        directory: for the worker's files; must not exist.
        clock: the time.

    Raises:
        BenchError: the worker does not get going, or had not enough to do.
    """
    cluster = Cluster(settings, timeout_seconds=30)
    run = f"bench-{uuid4().hex[:8]}"
    topics = [f"{run}-results", f"{run}-dead"]
    for topic in topics:
        cluster.create(topic, _PARTITIONS, 1, _TOPIC)
    with Backlog(f"{run}-input", _PARTITIONS, count).sent(
        documents, settings, cluster, clock, lambda _: None
    ) as source:
        names = ["--documents", source, "--classifications", topics[0], "--dead-letters", topics[1], "--group", run]
        servers = ["--bootstrap-servers", str(settings["bootstrap.servers"]), "--models", str(models.absolute())]
        contender = Contender(worker_command(*servers, *names), directory, cluster, clock)
        try:
            end = clock.monotonic() + _START_SECONDS
            while not cluster.committed(run, source):
                if clock.monotonic() > end:
                    raise BenchError(f"The worker did not get going. Its output is in {directory}.")
                clock.sleep(_POLL_SECONDS)
            worker = BusyWorker(cluster, run, source, count, clock)
            yield worker.rate
        finally:
            contender.stop()
            cluster.delete(topics)
