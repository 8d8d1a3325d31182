"""A topic full of documents, for a worker to be measured on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice

from schemas.document import Document
from worker.clock import Clock
from worker.kafka.admin import Cluster
from worker.kafka.producer import Sender
from worker.kafka.settings import Settings, producer
from worker.stream.deadline import Deadline
from worker.stream.records import Outgoing

_SEND_CHUNK = 1000
_FINISH_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Backlog:
    """That many documents in one topic."""

    topic: str
    partitions: int
    count: int

    @contextmanager
    def sent(
        self,
        documents: Sequence[Document],
        settings: Settings,
        cluster: Cluster,
        clock: Clock,
        say: Callable[[str], None],
    ) -> Iterator[str]:
        """Send `documents`, again and again under distinct urls; the topic exists inside the `with` block."""
        cluster.create(self.topic, self.partitions, 1, {})
        say(f"sending {self.count:,} documents")
        sender = Sender(producer(settings))
        numbered = enumerate(islice(cycle(documents), self.count))
        while chunk := list(islice(numbered, _SEND_CHUNK)):
            sender.send(self._outgoing(number, document) for number, document in chunk)
        sender.finish(Deadline(clock, _FINISH_SECONDS))
        sender.close()
        try:
            yield self.topic
        finally:
            cluster.delete([self.topic])

    def _outgoing(self, number: int, document: Document) -> Outgoing:
        url = f"https://bench.example/{number}"
        value = Document(url, document.title, document.text, document.lang).to_json()
        return Outgoing(self.topic, number % self.partitions, url.encode(), value, ())
