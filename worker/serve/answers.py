"""Requests to answers, bytes to bytes: what the gRPC front end calls. Knows nothing of gRPC's machinery."""

import traceback
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

import structlog

from schemas.classification import Classification, Status, encode_classifications
from schemas.decoding import DecodeError
from schemas.document import Document, decode_document, decode_documents
from schemas.headers import PROTOBUF
from worker.classify import DocumentClassifier

log = structlog.get_logger(__name__)


class Fault(StrEnum):
    """Whose fault it is that a request gets no answer."""

    REQUEST = "request"
    """The caller's: the same request will fail again."""
    SCORING = "scoring"
    """Ours: a bug."""


class CannotAnswerError(Exception):
    """There is no answer. The text tells the caller why, without a word of the document."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault


class Answered(NamedTuple):
    """One request with its answer.

    Attributes:
        reply: the message to send back.
        remark: a sentence for a person about what the answer lacks; empty when it lacks nothing.
        documents: what was asked about.
        results: what was answered.
    """

    reply: bytes
    remark: str
    documents: Sequence[Document]
    results: Sequence[Classification]


Answer = Callable[[bytes], Answered]


class Answers:
    """Answers `Classify` and `ClassifyBatch`. Threads may share it."""

    def __init__(self, classifier: Callable[[], DocumentClassifier], max_message_bytes: int, max_batch: int) -> None:
        """`classifier` is asked once per request, and what it gives answers all of it."""
        self._classifier = classifier
        self._max_message_bytes = max_message_bytes
        self._max_batch = max_batch

    def classify(self, request: bytes) -> Answered:
        """Answer a `Document` with its `Classification`.

        Raises:
            CannotAnswerError: the request is no document, or the scorer failed.
        """
        try:
            document = decode_document(request, PROTOBUF, self._max_message_bytes)
        except DecodeError as error:
            failure = _refusal(error)
        else:
            classifier = self._classifier()
            reply, results = _scored(classifier, (document,), _encode_only)
            return Answered(reply, _remark(results[0], classifier), (document,), results)
        raise failure

    def classify_batch(self, request: bytes) -> Answered:
        """Answer a `ClassifyBatchRequest`.

        Raises:
            CannotAnswerError: as `classify`; the text names the document by its place.
        """
        try:
            documents = decode_documents(request, self._max_message_bytes, self._max_batch)
        except DecodeError as error:
            failure = _refusal(error)
        else:
            reply, results = _scored(self._classifier(), documents, encode_classifications)
            return Answered(reply, "", documents, results)
        raise failure


def _scored(
    classifier: DocumentClassifier, documents: Sequence[Document], encode: Callable[[Sequence[Classification]], bytes]
) -> tuple[bytes, Sequence[Classification]]:
    try:
        results = classifier.classify(documents, [None] * len(documents))
        return encode(results), results
    except Exception as error:  # noqa: BLE001 - a bug, which is logged, and must not quote the document to the caller
        failure = _bug(error, len(documents))
    raise failure


def _remark(result: Classification, classifier: DocumentClassifier) -> str:
    if result.status is Status.CLASSIFIED:
        return ""
    if result.status is Status.EMPTY:
        return f"the model for {result.lang} knows no term of the document"
    languages = ", ".join(classifier.languages) or "none"
    return f"no model for the language {result.lang}; there are models for {languages}"


def _encode_only(results: Sequence[Classification]) -> bytes:
    return results[0].to_protobuf()


def _bug(error: Exception, documents: int) -> CannotAnswerError:
    """Its own text may quote the document: neither the caller nor the log gets that."""
    name = type(error).__name__
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error("scoring_failed", error=name, where=where, documents=documents)
    return CannotAnswerError(Fault.SCORING, f"the scorer raised {name}; the server's log has more")


def _refusal(error: DecodeError) -> CannotAnswerError:
    return CannotAnswerError(Fault.REQUEST, f"{error.reason}: {error.detail}")
