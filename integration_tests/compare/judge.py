"""What a system published, judged by the rules of `clf verify`: its own merge of documents and results."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from integration_tests.broker import Record as Read
from models.store import Store
from schemas.classification import Classification, Status
from schemas.document import decode_document
from schemas.source import Source
from worker.audit.contents import Contents
from worker.audit.cursor import Cursor
from worker.audit.findings import Finding, Report
from worker.audit.partition import PartitionAudit, Streams
from worker.stream.records import Record, TopicPartition

_DOCUMENTS, _RESULTS = "documents", "results"

# Where the broker put each document, by its key.
Places = Mapping[bytes, tuple[int, int]]


def judge(places: Places, starts: Mapping[int, int], results: Iterable[Read]) -> Counter[Finding]:
    """Count what is wrong.

    Args:
        places: partition and offset of every document.
        starts: offsets of the first document of each partition that counts.
        results: as readers of committed records get them; the key says of which document.
    """
    report = Report()
    documents: dict[int, list[Record]] = defaultdict(list)
    for key, (partition, offset) in sorted(places.items(), key=lambda item: item[1]):
        if offset >= starts[partition]:
            documents[partition].append(Record(TopicPartition(_DOCUMENTS, partition), offset, 0, key, b"", ()))
    outcomes: dict[int, list[Record]] = defaultdict(list)
    for result in results:
        outcomes[result.partition].append(_outcome(result, places))
    for partition, start in starts.items():
        audit = _audit(partition, start, report)
        streams = Streams(Cursor([documents[partition]], start), Cursor([outcomes[partition]]), Cursor([]))
        audit.run(streams)
        audit.close(streams.documents, documents[partition][-1].offset + 1, hidden=False)
    return report.findings


def _audit(partition: int, start: int, report: Report) -> PartitionAudit:
    # Contents are not compared: each system has a form of its own.
    contents = Contents(Store(Path()), 0.0, report, lambda value, _: decode_document(value))
    return PartitionAudit(TopicPartition(_DOCUMENTS, partition), start, 1, report, contents)


def _outcome(result: Read, places: Places) -> Record:
    """A result as `clf` writes it, of the same document."""
    key = result.key or b""
    source = Source(_DOCUMENTS, *places[key]) if key in places else None
    value = Classification(key.decode(), "und", Status.UNSUPPORTED_LANGUAGE, (), (), None, source).to_json()
    return Record(TopicPartition(_RESULTS, result.partition), result.offset, 0, key, value, ())
