"""The result for one document: what the output topic carries."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import orjson

from schemas import classifier_pb2
from schemas.decoding import (
    DecodeError,
    DecodeReason,
    as_object,
    parse_message,
    parse_object,
    read_array,
    read_object,
    read_string,
    wrong_type,
)
from schemas.document import checked_url
from schemas.framing import strip_frame
from schemas.headers import JSON, media_type
from schemas.source import Source, read_source

__all__ = [
    "ClassProbability",
    "Classification",
    "ClassificationError",
    "ModelStamp",
    "Source",
    "Status",
    "decode_classification",
    "decode_classifications",
    "encode_classifications",
]


class ClassificationError(DecodeError):
    """The bytes are no classification, or the value breaks the contract and is not encoded."""


class Status(StrEnum):
    """What became of a document."""

    CLASSIFIED = "classified"
    UNSUPPORTED_LANGUAGE = "unsupported_language"
    """No model is loaded for its language."""
    EMPTY = "empty"
    """The model knows no term of it."""


class ClassProbability(NamedTuple):
    """A class and its calibrated probability in [0, 1]: what is read back has names, what is written need not."""

    name: str
    prob: float


class ModelStamp(NamedTuple):
    """Which model decided."""

    lang: str
    version: str
    digest: str


class Classification(NamedTuple):
    """The result for one document.

    Attributes:
        url: The document's.
        lang: The normalised language code.
        status: What became of the document.
        labels: Names above their threshold, most probable first; empty unless classified.
        classes: Every class with its calibrated probability, most probable first; empty unless classified.
        model: None exactly when the language is unsupported.
        source: None outside Kafka.
    """

    url: str
    lang: str
    status: Status
    labels: tuple[str, ...]
    classes: tuple[tuple[str, float], ...]
    model: ModelStamp | None
    source: Source | None

    def to_json(self) -> bytes:
        """Encode as UTF-8 JSON, fields in the order of this class.

        Raises:
            ClassificationError: A value JSON or the contract does not allow, for example a NaN.
        """
        try:
            _check(self)
            return orjson.dumps(_json_fields(self))
        except (TypeError, ValueError) as error:
            failure = _unencodable(error)
        raise failure

    def to_protobuf(self) -> bytes:
        """Encode as ``clf.v1.Classification``.

        Raises:
            ClassificationError: A value protobuf or the contract does not allow, for example a NaN.
        """
        return self.to_message().SerializeToString()

    def to_message(self) -> classifier_pb2.Classification:
        """The same as a message, to be put into another.

        Raises:
            ClassificationError: A value protobuf or the contract does not allow, for example a NaN.
        """
        try:
            _check(self)
            return _to_message(self)
        except (TypeError, ValueError) as error:
            failure = _unencodable(error)
        raise failure


def decode_classification(value: bytes, content_type: str | None = None) -> Classification:
    """Decode one result. Unknown fields are ignored.

    Args:
        value: JSON, framed for a schema registry or not, or protobuf.
        content_type: The record's header of that name, None when it has none (JSON).

    Raises:
        ClassificationError: for whatever is wrong with the bytes.
    """
    try:
        if media_type(content_type) == JSON:
            result = _from_json(parse_object(strip_frame(value)))
        else:
            result = _from_message(parse_message(classifier_pb2.Classification, value))
        _check(result)
    except DecodeError as error:
        failure = ClassificationError(error.reason, error.detail)
    else:
        return result
    raise failure


def encode_classifications(results: Iterable[Classification]) -> bytes:
    """Encode a ``clf.v1.ClassifyBatchResponse``.

    Raises:
        ClassificationError: as ``Classification.to_protobuf``.
    """
    batch = classifier_pb2.ClassifyBatchResponse()
    for result in results:
        batch.classifications.append(result.to_message())
    return batch.SerializeToString()


def decode_classifications(value: bytes) -> list[Classification]:
    """Decode a ``clf.v1.ClassifyBatchResponse``.

    Raises:
        ClassificationError: for whatever is wrong with the bytes.
    """
    try:
        batch = parse_message(classifier_pb2.ClassifyBatchResponse, value)
        results = [_from_message(message) for message in batch.classifications]
        for result in results:
            _check(result)
    except DecodeError as error:
        failure = ClassificationError(error.reason, error.detail)
    else:
        return results
    raise failure


def _check(result: Classification) -> None:
    url, _, status, labels, classes, model, source = result
    checked_url(url)
    if status is not Status.CLASSIFIED and (labels or classes):
        raise _broken('labels and classes must be empty unless the status is "classified"')
    if (model is None) is not (status is Status.UNSUPPORTED_LANGUAGE):
        raise _broken('model must be null when the status is "unsupported_language", and only then')
    for _, prob in classes:
        if not 0.0 <= prob <= 1.0:
            raise _broken("a probability is not between 0 and 1")
    if source is not None and not source.is_valid():
        raise _broken("the partition or the offset of the source is out of range")


def _json_fields(result: Classification) -> dict[str, object]:
    url, lang, status, labels, classes, model, source = result
    return {
        "url": url,
        "lang": lang,
        "status": status,
        "labels": labels,
        "classes": [{"name": name, "prob": prob} for name, prob in classes],
        "model": None if model is None else _model_fields(*model),
        "source": None if source is None else _source_fields(*source),
    }


def _model_fields(lang: str, version: str, digest: str) -> dict[str, str]:
    return {"lang": lang, "version": version, "digest": digest}


def _source_fields(topic: str, partition: int, offset: int) -> dict[str, str | int]:
    return {"topic": topic, "partition": partition, "offset": offset}


def _broken(detail: str) -> ClassificationError:
    return ClassificationError(DecodeReason.WRONG_TYPE, detail)


def _unencodable(error: Exception) -> ClassificationError:
    if isinstance(error, DecodeError):
        return ClassificationError(error.reason, error.detail)
    return _broken(f"a field has a type or a value that cannot be encoded ({type(error).__name__})")


def _from_json(fields: dict[str, object]) -> Classification:
    return Classification(
        url=read_string(fields, "url"),
        lang=read_string(fields, "lang"),
        status=_read_status(fields),
        labels=tuple(_string(label, "labels[]") for label in read_array(fields, "labels")),
        classes=tuple(_read_class(entry) for entry in read_array(fields, "classes")),
        model=_read_model(read_object(fields, "model")),
        source=read_source(read_object(fields, "source")),
    )


def _read_status(fields: dict[str, object]) -> Status:
    name = read_string(fields, "status")
    if name in _STATUS_NAMES:
        return Status(name)
    raise _broken(f'the field "status" is none of {", ".join(sorted(_STATUS_NAMES))}')


def _string(value: object, where: str) -> str:
    if isinstance(value, str):
        return value
    raise wrong_type(where, value, "a string")


def _read_class(entry: object) -> ClassProbability:
    fields = as_object(entry, "classes[]")
    name = read_string(fields, "name", "classes[].")
    prob = fields.get("prob")
    if isinstance(prob, bool) or not isinstance(prob, (int, float)):
        raise wrong_type("classes[].prob", prob, "a number")
    return ClassProbability(name, float(prob))


def _read_model(fields: dict[str, object] | None) -> ModelStamp | None:
    if fields is None:
        return None
    return ModelStamp(*(read_string(fields, name, "model.") for name in ModelStamp._fields))


def _to_message(result: Classification) -> classifier_pb2.Classification:
    url, lang, status, labels, classes, model, source = result
    message = classifier_pb2.Classification(url=url, lang=lang, status=_STATUS_NUMBERS[status], labels=labels)
    add = message.classes.add  # half the time that it takes to hand over a list of messages
    for name, prob in classes:
        add(name=name, prob=prob)
    if model is not None:
        message.model.SetInParent()
        message.model.lang, message.model.version, message.model.digest = model
    if source is not None:
        message.source.SetInParent()
        message.source.topic, message.source.partition, message.source.offset = source
    return message


def _from_message(message: classifier_pb2.Classification) -> Classification:
    model, source = message.model, message.source
    return Classification(
        url=message.url,
        lang=message.lang,
        status=_status_of(message.status),
        labels=tuple(message.labels),
        classes=tuple(ClassProbability(entry.name, entry.prob) for entry in message.classes),
        model=ModelStamp(model.lang, model.version, model.digest) if message.HasField("model") else None,
        source=Source(source.topic, source.partition, source.offset) if message.HasField("source") else None,
    )


def _status_of(number: int) -> Status:
    for status, known in _STATUS_NUMBERS.items():
        if known == number:
            return status
    raise _broken('the field "status" has a number this version does not know')


_STATUS_NAMES = frozenset(status.value for status in Status)
_STATUS_NUMBERS = {
    Status.CLASSIFIED: classifier_pb2.STATUS_CLASSIFIED,
    Status.UNSUPPORTED_LANGUAGE: classifier_pb2.STATUS_UNSUPPORTED_LANGUAGE,
    Status.EMPTY: classifier_pb2.STATUS_EMPTY,
}
