"""What was published for one document, as it is read back: a result, a tombstone or a dead letter."""

from typing import NamedTuple

from schemas.classification import Classification, ClassificationError, decode_classification
from schemas.dead_letter import DeadLetter, DeadLetterError
from schemas.headers import content_type_of
from schemas.source import SOURCE_HEADER, Source, parse_source
from worker.stream.records import Record


class Outcome(NamedTuple):
    """One record of the results or the dead-letter topic, and the document it says it stands for.

    `content` is None for a tombstone.
    """

    record: Record
    source: Source
    content: Classification | DeadLetter | None


class UnreadableError(Exception):
    """The record is no outcome of a document. The text says why, without content."""


def read_result(record: Record) -> Outcome:
    """Read a record of the results topic.

    Raises:
        UnreadableError: it is no result, or does not say of which document.
    """
    if record.value is None:
        return Outcome(record, _tombstone_source(record), None)
    try:
        result = decode_classification(record.value, content_type_of(record.headers))
    except ClassificationError as error:
        failure = UnreadableError(f"it is no result: {error.detail}")
    else:
        if result.source is not None:
            return Outcome(record, result.source, result)
        failure = UnreadableError("the result does not say which document it is of")
    raise failure


def read_dead_letter(record: Record) -> Outcome:
    """Read a record of the dead-letter topic.

    Raises:
        UnreadableError: it is no dead letter of ours.
    """
    try:
        letter = DeadLetter.from_record(record.key, record.value, record.headers)
    except DeadLetterError as error:
        failure = UnreadableError(error.detail)
    else:
        return Outcome(record, letter.source, letter)
    raise failure


def _tombstone_source(record: Record) -> Source:
    named = [value for name, value in record.headers if name == SOURCE_HEADER]
    source = parse_source((named[-1] or b"").decode("utf-8", "replace")) if named else None
    if source is None:
        raise UnreadableError(f"the tombstone has no header {SOURCE_HEADER} that names its document")
    return source
