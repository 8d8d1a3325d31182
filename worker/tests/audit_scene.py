"""A system for the audit to look at, in memory: documents, and what a correct worker made of them."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from models.model import Model, Prediction
from models.store import StoreError
from schemas.classification import Classification, decode_classification
from schemas.dead_letter import Headers, Stage
from schemas.document import Document
from schemas.document_reader import DocumentReader
from worker.audit.audit import Audit, AuditLimits
from worker.audit.ports import Extent
from worker.classify import Classifier
from worker.config import Topics
from worker.stream.errors import RetriableError
from worker.stream.policy import OnFailure
from worker.stream.processor import Destination, Processor
from worker.stream.records import Record, TopicPartition
from worker.tests.fakes import ManualClock, NotingObserver

TOPICS = Topics("documents", "results", "dead")
DOCUMENTS, RESULTS, DEAD = (TopicPartition(topic, 0) for topic in ("documents", "results", "dead"))


@dataclass(frozen=True, slots=True)
class WordModel:
    """Gives a text probabilities that depend on its length and on the version."""

    lang: str
    version: str
    digest: str

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction per text; a blank one has no known term."""
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Prediction:
        prob = (len(text) + int(self.version[1:])) % 100 / 100
        classes = (("sport", prob), ("culture", round(1 - prob, 6)))
        return Prediction(bool(text.strip()), ("sport",), classes) if text.strip() else Prediction(False, (), ())  # noqa: FBT003 - a field


class MemoryBundles:
    """A store with two versions of English."""

    def __init__(self) -> None:
        self.models = {("en", version): WordModel("en", version, version * 8) for version in ("v1", "v2")}

    def load(self, lang: str, version: str) -> Model:
        """One of them."""
        if (lang, version) not in self.models:
            raise StoreError(f"There is no version {version!r} of {lang!r}.")
        return cast("Model", self.models[lang, version])

    def versions(self, lang: str) -> list[str]:
        """Those of the language."""
        return [version for known, version in self.models if known == lang]


class Scene:
    """Three topics and a group, which tests may spoil; implements `AuditedCluster`."""

    def __init__(self, partitions: int = 1, letter_partitions: int = 1) -> None:
        self.logs: dict[TopicPartition, list[Record]] = defaultdict(list)
        self.sizes = {"documents": partitions, "results": partitions, "dead": letter_partitions}
        self.ends: dict[TopicPartition, int] = {}  # behind the last record, aborted ones included
        self.hidden_from: dict[TopicPartition, int] = {}  # where an open transaction begins
        self.ends_at: float | None = None  # when that one ends
        self.offsets: dict[int, int] = {}
        self.bundles = MemoryBundles()
        self.fails_at: TopicPartition | None = None
        self.clock = ManualClock()

    # --- a correct system -----------------------------------------------------------------------------------------

    def put(self, value: bytes | None, key: bytes | None = b"k", headers: Headers = (), partition: int = 0) -> Record:
        """Append a record to the documents."""
        return self._append(TopicPartition("documents", partition), key, value, headers)

    def pages(self, count: int, *, lang: str = "en", partition: int = 0) -> list[Record]:
        """Append that many documents, each longer than the one before."""
        first = len(self.logs[TopicPartition("documents", partition)])
        numbers = range(first, first + count)
        return [
            self.put(Document(f"u{partition}/{n}", "", "x" * (n + 1), lang).to_json(), partition=partition)
            for n in numbers
        ]

    def work(self, version: str = "v1", upto: int | None = None) -> None:
        """Do what a worker does with everything that is not committed, or with all before offset `upto`."""
        for partition in range(self.sizes["documents"]):
            log = self.logs[TopicPartition("documents", partition)]
            records = [
                r for r in log if self.offsets.get(partition, 0) <= r.offset < (len(log) if upto is None else upto)
            ]
            if records:
                self._publish(records, version)
                self.offsets[partition] = records[-1].offset + 1

    def _publish(self, records: Sequence[Record], version: str) -> None:
        classifier = Classifier({"en": self.bundles.load("en", version)})
        processor = Processor(
            lambda: classifier,
            Destination("results", "dead", lambda: self.sizes["dead"]),
            {Stage.DECODE: OnFailure.DEAD_LETTER, Stage.SCORE: OnFailure.DEAD_LETTER},
            NotingObserver(),
            self.clock,
            DocumentReader(100_000),
        )
        for part in processor(records).parts.values():
            for topic, number, key, value, headers in part.outgoing:
                self._append(TopicPartition(topic, number), key, value, headers)

    def _append(self, where: TopicPartition, key: bytes | None, value: bytes | None, headers: Headers) -> Record:
        record = Record(where, self.ends.get(where, 0), 1_000, key, value, headers)
        self.logs[where].append(record)
        self.ends[where] = record.offset + 1
        return record

    # --- spoiling it ----------------------------------------------------------------------------------------------

    def relay(self, where: TopicPartition, records: Sequence[Record]) -> None:
        """Put these records into a partition instead of those there, with offsets in their new order."""
        self.logs[where] = []
        self.ends[where] = 0
        for record in records:
            self._append(where, record.key, record.value, record.headers)

    def edit(self, index: int, change: Callable[[Classification], Classification]) -> None:
        """Change one result."""
        record = self.logs[RESULTS][index]
        changed = change(decode_classification(record.value or b""))
        self.logs[RESULTS][index] = record._replace(value=changed.to_json())

    # --- the port -------------------------------------------------------------------------------------------------

    def committed(self) -> dict[int, int]:
        """The group's offsets."""
        return dict(self.offsets)

    def extents(self, topic: str) -> dict[int, Extent]:
        """From the logs."""
        return {number: self._extent(TopicPartition(topic, number)) for number in range(self.sizes[topic])}

    def _extent(self, where: TopicPartition) -> Extent:
        log, end = self.logs[where], self.ends.get(where, 0)
        over = self.ends_at is not None and self.clock.now >= self.ends_at
        return Extent(log[0].offset if log else end, end if over else self.hidden_from.get(where, end), end)

    def read(self, source: TopicPartition, start: int, end: int) -> Iterator[Sequence[Record]]:
        """Two records at a time, and an empty batch now and then."""
        found = [record for record in self.logs[source] if start <= record.offset < end]
        for at in range(0, len(found), 2):
            yield []
            if source == self.fails_at and at >= 2:
                raise RetriableError("The cluster does not answer.")
            yield found[at : at + 2]

    # --- looking at it --------------------------------------------------------------------------------------------

    def audit(self, share: float = 1.0, max_lag: int | None = None) -> Audit:
        """An audit of all this."""
        return Audit(self, TOPICS, self.bundles, share, AuditLimits(20.0, max_lag), self.clock, DocumentReader(2**31))


def mixed() -> Scene:
    """Every kind of document, settled: ten pages, and one each unsupported, empty, tombstone and dead letter."""
    scene = Scene()
    scene.pages(5)
    scene.put(b"not JSON", headers=(("h", b"1"),))  # 5
    scene.put(None, key=b"gone", headers=(("content-type", b"application/json"),))  # 6
    scene.put(Document("u/unsupported", "", "text", "tlh").to_json())  # 7
    scene.put(Document("u/empty", "", "", "en").to_json(), headers=(("trace", None), ("trace", b"\xff")))  # 8
    scene.pages(5)  # 9 to 13
    scene.work()
    return scene
