"""What an audit can find, and the record of what it found: every finding is counted, the first ones are told."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from worker.stream.records import TopicPartition

EXAMPLES = 10  # told of each kind; all are counted


class Finding(StrEnum):
    """Each breaks the promise, or keeps it from being checked."""

    MISSING = "missing"
    DOUBLED = "doubled"
    REORDERED = "reordered"
    UNEXPECTED = "unexpected"
    OTHER_MODEL = "other_model"
    DIFFERENT = "different"
    UNKNOWN_MODEL = "unknown_model"
    UNMATCHED = "unmatched"
    OFFSETS = "offsets"
    OPEN_TRANSACTION = "open_transaction"
    LAG = "lag"


MEANINGS = {
    Finding.MISSING: "documents that the group has committed, without a result or a dead letter",
    Finding.DOUBLED: "results or dead letters of a document that has one already",
    Finding.REORDERED: "results or dead letters that come after those of a later document",
    Finding.UNEXPECTED: "results or dead letters that belong to no document, or are not of its key, headers or value",
    Finding.OTHER_MODEL: "results made by another model than the one they are stamped with",
    Finding.DIFFERENT: "results or dead letters that the stamped model does not give for the document",
    Finding.UNKNOWN_MODEL: "results whose model is not in the store, so that they could not be recomputed",
    Finding.UNMATCHED: "partitions of documents without one for their results, so that their documents have to wait",
    Finding.OFFSETS: "results beyond the group's committed offset, or an offset beyond the last document",
    Finding.OPEN_TRANSACTION: "transactions that stayed open for --patience seconds, and hide what follows them",
    Finding.LAG: "documents not settled yet, above --max-lag",
}


class Example(NamedTuple):
    """One finding, for a person: `place` is topic/partition/offset. It never holds content of a document."""

    finding: Finding
    place: str
    detail: str


@dataclass(slots=True)
class PartitionReport:
    """What was seen of one partition of the documents topic, in records.

    Attributes:
        documents: passed by the audit; each must have one outcome.
        unchecked: results and dead letters of documents before the audit's first one.
        recomputed: outcomes that were computed anew and compared.
        committed: the group's offset; None when it has none.
        lag: documents from there on.
    """

    documents: int = 0
    results: int = 0
    tombstones: int = 0
    dead_letters: int = 0
    unchecked: int = 0
    recomputed: int = 0
    committed: int | None = None
    lag: int = 0
    findings: Counter[Finding] = field(default_factory=Counter)


class Report:
    """What was seen, by partition of the documents topic."""

    def __init__(self) -> None:
        self.partitions: dict[int, PartitionReport] = {}
        self.examples: list[Example] = []
        self.models: Counter[tuple[str, str, str]] = Counter()  # results by lang, version and digest
        self._told: Counter[Finding] = Counter()

    def of(self, partition: int) -> PartitionReport:
        """The report of one partition, made at the first call."""
        return self.partitions.setdefault(partition, PartitionReport())

    def found(self, partition: int, finding: Finding, where: TopicPartition, offset: int, detail: str) -> None:
        """Count one finding in, and remember it among the first ones of its kind."""
        self.of(partition).findings[finding] += 1
        self._tell(finding, f"{where.topic}/{where.partition}/{offset}", detail)

    def stands(self, partition: int, finding: Finding, count: int, where: TopicPartition, detail: str) -> None:
        """Set a finding that describes the present state, and may be gone at the next look: 0 takes it back."""
        findings = self.of(partition).findings
        if count and not findings[finding]:
            self._tell(finding, f"{where.topic}/{where.partition}", detail)
        findings[finding] = count

    def _tell(self, finding: Finding, place: str, detail: str) -> None:
        self._told[finding] += 1
        if self._told[finding] <= EXAMPLES:
            self.examples.append(Example(finding, place, detail))

    @property
    def findings(self) -> Counter[Finding]:
        """Those of all partitions; kinds that were not found are absent."""
        total: Counter[Finding] = Counter()
        for report in self.partitions.values():
            total.update(report.findings)
        return +total

    @property
    def holds(self) -> bool:
        """Whether there is no finding at all."""
        return not self.findings

    def total(self, name: str) -> int:
        """The sum of one of the counts of `PartitionReport` over all partitions."""
        return sum(getattr(report, name) for report in self.partitions.values())
