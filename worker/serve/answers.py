"""Requests to answers, bytes to bytes: what the gRPC front end calls. Knows nothing of gRPC's machinery."""

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

    def __init__(
        self, classifier: DocumentClassifier, languages: Sequence[str], max_message_bytes: int, max_batch: int
    ) -> None:
        """`languages` are those that have a model; they are only told of."""
        self._classifier = classifier
        self._languages = ", ".join(sorted(languages))
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
            [result] = results = self._classified((document,))
            return Answered(result.to_protobuf(), self._remark(result), (document,), results)
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
            results = self._classified(documents)
            return Answered(encode_classifications(results), "", documents, results)
        raise failure

    def _classified(self, documents: Sequence[Document]) -> list[Classification]:
        try:
            return self._classifier.classify(documents, [None] * len(documents))
        except Exception as error:
            log.exception("scoring_failed", documents=len(documents))
            raise CannotAnswerError(
                Fault.SCORING, f"the scorer raised {type(error).__name__}; the server's log has more"
            ) from None

    def _remark(self, result: Classification) -> str:
        if result.status is Status.CLASSIFIED:
            return ""
        if result.status is Status.EMPTY:
            return f"the model for {result.lang} knows no term of the document"
        return f"no model for the language {result.lang}; there are models for {self._languages or 'none'}"


def _refusal(error: DecodeError) -> CannotAnswerError:
    return CannotAnswerError(Fault.REQUEST, f"{error.reason}: {error.detail}")
