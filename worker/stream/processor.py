"""Records to an outcome: decode, score, encode. Pure; each failure goes where its stage's policy says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from schemas.classification import Classification, ClassificationError, Source
from schemas.dead_letter import HEADER_NAMES, DeadLetter, Reason, Stage
from schemas.document import Document, DocumentError
from schemas.framing import NO_FRAME, SCHEMA_IDS, ResultFrame
from schemas.headers import CONTENT_TYPE, JSON, Headers
from schemas.source import source_header
from worker.classify import DocumentClassifier
from worker.clock import Clock
from worker.stream.errors import FatalError
from worker.stream.policy import OnFailure, Policy
from worker.stream.ports import Observer
from worker.stream.records import Outcome, Outgoing, Part, Record, TopicPartition

log = structlog.get_logger(__name__)

RESULT_CONTENT_TYPE = JSON.encode()
ATTEMPTS = HEADER_NAMES[-1]
TOMBSTONE = "tombstone"
DEAD_LETTERED = "dead_letter"

_MOST_DIGITS = 9  # of a count of attempts: whatever a header claims, one more still fits into 32 bits


Read = Callable[[bytes, Headers], Document]
"""From the value and the headers of a record to its document; raises DocumentError where there is none."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where results go.

    `dead_letter_partitions` is asked for each dead letter: partitions may be added.
    """

    classifications: str
    dead_letters: str
    dead_letter_partitions: Callable[[], int]


class _Failed(Exception):  # noqa: N818 - a verdict on one record, not an error of the program
    """One record cannot be handled."""

    def __init__(self, stage: Stage, reason: Reason, detail: str, attempts: int = 1) -> None:
        super().__init__(detail)
        self.stage, self.reason, self.detail, self.attempts = stage, reason, detail, attempts


class Processor:
    """Turns one batch of records into its outcome. Called by one thread at a time."""

    def __init__(
        self,
        classifier: Callable[[], DocumentClassifier],
        destination: Destination,
        policy: Policy,
        observer: Observer,
        clock: Clock,
        read: Read,
        frame: ResultFrame = NO_FRAME,
    ) -> None:
        """`classifier` is asked once per batch, when its processing begins, and what it gives scores all of it."""
        self._classifier = classifier
        self._destination = destination
        self._policy = policy
        self._observer = observer
        self._clock = clock
        self._read = read
        self._frame = frame

    def __call__(self, records: Sequence[Record]) -> Outcome:
        """Settle every record: a result, a tombstone or a dead letter each.

        Raises:
            FatalError: a record failed in a stage whose policy is to fail.
        """
        classifier = self._classifier()
        started = self._clock.monotonic()
        decoded = [self._decode(record) for record in records]
        started = self._lap("decode", started)
        scored = self._score(classifier, records, decoded)
        started = self._lap("score", started)
        parts: dict[TopicPartition, Part] = {}
        for record, result in zip(records, scored, strict=True):
            part = parts.get(record.source)
            if part is None:
                part = parts[record.source] = Part()
            self._settle(part, record, result)
        self._lap("encode", started)
        return Outcome(parts)

    def condemned(self, record: Record, deaths: int) -> Outcome:
        """A dead letter for a record that took workers down; nothing looks at what is in it.

        Raises:
            FatalError: the policy of scoring is to fail.
        """
        detail = f"{deaths} workers died with this document alone in hand: they crashed, hung or were killed."
        part = Part()
        part.read(record)
        self._put_aside(part, record, _Failed(Stage.SCORE, Reason.KILLED_WORKER, detail, deaths))
        return Outcome({record.source: part})

    def _lap(self, stage: str, started: float) -> float:
        now = self._clock.monotonic()
        self._observer.stage(stage, now - started)
        return now

    # --- decode -----------------------------------------------------------------------------------------------

    def _decode(self, record: Record) -> Document | _Failed | None:
        """The document; None for a tombstone."""
        if record.value is None:
            if record.key:
                return None
            return _Failed(
                Stage.DECODE,
                Reason.URL_MISSING,
                "The record has neither a value nor a key, so it names no document.",
            )
        try:
            return self._read(record.value, record.headers)
        except DocumentError as error:
            return _Failed(Stage.DECODE, Reason(error.reason), error.detail)

    # --- score ------------------------------------------------------------------------------------------------

    def _score(
        self,
        classifier: DocumentClassifier,
        records: Sequence[Record],
        decoded: Sequence[Document | _Failed | None],
    ) -> list[Classification | _Failed | None]:
        scored: list[Classification | _Failed | None] = []
        documents: list[Document] = []
        sources: list[Source] = []
        for record, item in zip(records, decoded, strict=True):
            if isinstance(item, Document):
                documents.append(item)
                sources.append(_source_of(record))
        results = iter(_classify(classifier, documents, sources))
        for item in decoded:
            scored.append(next(results) if isinstance(item, Document) else item)  # noqa: PERF401 - mypy narrows here
        return scored

    # --- encode -----------------------------------------------------------------------------------------------

    def _settle(self, part: Part, record: Record, result: Classification | _Failed | None) -> None:
        part.read(record)
        if isinstance(result, Classification):
            self._publish(part, record, result)
        elif result is None:
            part.outgoing.append(self._tombstone(record))
            part.outcomes[TOMBSTONE] += 1
        else:
            self._put_aside(part, record, result)

    def _publish(self, part: Part, record: Record, result: Classification) -> None:
        try:
            value = result.to_json()
        except ClassificationError as error:
            self._put_aside(part, record, _Failed(Stage.ENCODE, Reason.SCORE_FAILED, error.detail))
            return
        part.outgoing.append(self._framed(self._to_results(record, result.url.encode(), value)))
        part.outcomes[result.status] += 1
        if result.model is not None:
            for name in result.labels:
                part.predictions[result.model.lang, name] += 1

    def _put_aside(self, part: Part, record: Record, failed: _Failed) -> None:
        part.outgoing.append(self._dead_letter(record, failed))
        part.outcomes[DEAD_LETTERED] += 1
        part.dead_letters[failed.reason] += 1

    def _to_results(self, record: Record, key: bytes | None, value: bytes | None) -> Outgoing:
        headers = result_headers(record.headers) if record.headers else ()
        return Outgoing(self._destination.classifications, record.source.partition, key, value, headers)

    def _framed(self, result: Outgoing) -> Outgoing:
        prefix, headers = self._frame
        if prefix:
            return result._replace(value=prefix + (result.value or b""))
        return result._replace(headers=(*result.headers, *headers)) if headers else result

    def _tombstone(self, record: Record) -> Outgoing:
        """It has no value that could say which record it stands for, so a header does."""
        outgoing = self._to_results(record, record.key, None)
        return outgoing._replace(headers=(*outgoing.headers, source_header(_source_of(record))))

    def _dead_letter(self, record: Record, failed: _Failed) -> Outgoing:
        # The document was fine, so a result that cannot be encoded is the scorer's doing.
        stage = Stage.SCORE if failed.stage is Stage.ENCODE else failed.stage
        if self._policy[stage] is OnFailure.FAIL:
            topic, partition = record.source
            raise FatalError(
                f"The record at {topic}/{partition}/{record.offset} failed in stage {failed.stage} "
                f"({failed.reason}: {failed.detail}) and the policy of that stage is to fail."
            )
        letter = DeadLetter(
            key=record.key,
            value=record.value,
            headers=record.headers,
            stage=failed.stage,
            reason=failed.reason,
            detail=failed.detail,
            source=_source_of(record),
            attempts=failed.attempts + _earlier_attempts(record.headers),
        )
        partition = record.source.partition % self._destination.dead_letter_partitions()
        return Outgoing(self._destination.dead_letters, partition, letter.key, letter.value, letter.record_headers())


def _classify(
    classifier: DocumentClassifier, documents: Sequence[Document], sources: Sequence[Source]
) -> Sequence[Classification | _Failed]:
    try:
        return classifier.classify(documents, sources)
    except Exception as error:  # noqa: BLE001 - a scorer's bug on one page must not take its neighbours along
        log.warning("batch_scoring_failed", error=type(error).__name__, records=len(documents))
        return [_classify_alone(classifier, d, s) for d, s in zip(documents, sources, strict=True)]


def _classify_alone(classifier: DocumentClassifier, document: Document, source: Source) -> Classification | _Failed:
    try:
        return classifier.classify([document], [source])[0]
    except Exception as error:  # noqa: BLE001 - as above; what is wrong goes out with the dead letter
        detail = f"The scorer raised {type(error).__name__}."
        return _Failed(Stage.SCORE, Reason.SCORE_FAILED, detail)


def result_headers(headers: Headers) -> Headers:
    """The input's headers, but for its schemas and the type of its value: a result is JSON, whatever that was."""
    return tuple(
        (name, RESULT_CONTENT_TYPE if name.lower() == CONTENT_TYPE else value)
        for name, value in headers
        if name not in SCHEMA_IDS
    )


def _source_of(record: Record) -> Source:
    return Source(record.source.topic, record.source.partition, record.offset)


def _earlier_attempts(headers: Headers) -> int:
    """How often a replayed dead letter was tried before."""
    for name, value in reversed(headers):
        if name == ATTEMPTS and value is not None and value.isdigit():
            return int(value) if len(value) <= _MOST_DIGITS else 10**_MOST_DIGITS - 1
    return 0
