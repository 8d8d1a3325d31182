"""A record that could not be classified: the record itself, untouched, and why."""

import base64
import binascii
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import orjson

from schemas.decoding import (
    MAX_INT32,
    DecodeError,
    DecodeReason,
    as_object,
    parse_object,
    read_array,
    read_integer,
    read_object,
    read_string,
    wrong_type,
)
from schemas.headers import Headers
from schemas.source import SOURCE_HEADER, Source, parse_source, read_source, source_name

__all__ = ["HEADER_NAMES", "MAX_DETAIL_CHARS", "DeadLetter", "DeadLetterError", "Headers", "Reason", "Stage"]

# A record whose headers outgrow the broker's limit could not be put aside at all.
MAX_DETAIL_CHARS = 1000
HEADER_NAMES = ("clf-stage", "clf-reason", "clf-detail", SOURCE_HEADER, "clf-attempts")
# Written out so that the JSON Schema can say the same.
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_ATTEMPTS = re.compile(r"[0-9]{1,10}")


class DeadLetterError(DecodeError):
    """The record, or the JSON, is no dead letter of ours."""


class Stage(StrEnum):
    """Where in the worker the record failed."""

    DECODE = "decode"
    SCORE = "score"
    ENCODE = "encode"


class Reason(StrEnum):
    """Why the record failed: every ``DecodeReason`` (``Reason(error.reason)`` converts) and what follows."""

    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_PROTOBUF = "not_protobuf"
    NOT_AN_OBJECT = "not_an_object"
    URL_MISSING = "url_missing"
    WRONG_TYPE = "wrong_type"
    TOO_LARGE = "too_large"
    UNKNOWN_CONTENT_TYPE = "unknown_content_type"
    BAD_FRAME = "bad_frame"
    UNKNOWN_SCHEMA = "unknown_schema"
    WRONG_SCHEMA = "wrong_schema"
    SCORE_FAILED = "score_failed"
    KILLED_WORKER = "killed_worker"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that could not be classified.

    Attributes:
        key: As consumed.
        value: As consumed.
        headers: As consumed, without ours.
        stage: Where it failed.
        reason: Why, from the closed set.
        detail: A sentence for a person, without document content.
        source: Where it was consumed.
        attempts: How often it was tried, at least 1; a replay that fails again counts on.
    """

    key: bytes | None
    value: bytes | None
    headers: Headers
    stage: Stage
    reason: Reason
    detail: str
    source: Source
    attempts: int = 1

    def record_headers(self) -> Headers:
        """Return the original headers followed by our five; the detail is cut at ``MAX_DETAIL_CHARS``."""
        texts = (self.stage, self.reason, self.detail[:MAX_DETAIL_CHARS], source_name(self.source), str(self.attempts))
        ours = zip(HEADER_NAMES, (text.encode("utf-8", "replace") for text in texts), strict=True)
        return (*self.headers, *ours)

    @classmethod
    def from_record(cls, key: bytes | None, value: bytes | None, headers: Headers) -> Self:
        """Read a record of the dead-letter topic back.

        Of each of our header names the last one counts: look-alikes a document carries stay with it.

        Raises:
            DeadLetterError: One of our headers is missing or malformed.
        """
        last = {name: index for index, (name, _) in enumerate(headers) if name in HEADER_NAMES}
        texts = {name: _header_text(name, headers[index][1]) for name, index in last.items()}
        missing = [name for name in HEADER_NAMES if name not in texts]
        if missing:
            raise _refused(f"the record is no dead letter: it has no header {missing[0]}")
        return cls(
            key=key,
            value=value,
            headers=tuple(pair for index, pair in enumerate(headers) if last.get(pair[0]) != index),
            stage=_stage(texts["clf-stage"]),
            reason=_reason(texts["clf-reason"]),
            detail=texts["clf-detail"],
            source=_source(texts[SOURCE_HEADER]),
            attempts=_attempts(texts["clf-attempts"]),
        )

    def to_json(self) -> bytes:
        """Encode for people and scripts; bytes that are no UTF-8 become ``{"base64": ...}``."""
        return orjson.dumps(
            {
                "key": _bytes_to_json(self.key),
                "value": _bytes_to_json(self.value),
                "headers": [{"name": _encodable(name), "value": _bytes_to_json(value)} for name, value in self.headers],
                "stage": self.stage.value,
                "reason": self.reason.value,
                "detail": _encodable(self.detail),
                "source": self.source._asdict(),
                "attempts": self.attempts,
            }
        )

    @classmethod
    def from_json(cls, value: bytes) -> Self:
        """Decode what ``to_json`` wrote. Unknown fields are ignored.

        Raises:
            DeadLetterError: for whatever is wrong with the bytes.
        """
        try:
            return cls._from_fields(parse_object(value))
        except DecodeError as error:
            failure = DeadLetterError(error.reason, error.detail)
        raise failure

    @classmethod
    def _from_fields(cls, fields: dict[str, object]) -> Self:
        source = read_source(read_object(fields, "source"))
        if source is None:
            raise wrong_type("source", None, "an object")
        return cls(
            key=_bytes_from_json(fields, "key"),
            value=_bytes_from_json(fields, "value"),
            headers=tuple(_header_from_json(entry) for entry in read_array(fields, "headers")),
            stage=_stage(read_string(fields, "stage")),
            reason=_reason(read_string(fields, "reason")),
            detail=read_string(fields, "detail"),
            source=source,
            attempts=read_integer(fields, "attempts", MAX_INT32, minimum=1),
        )


def _refused(detail: str) -> DeadLetterError:
    return DeadLetterError(DecodeReason.WRONG_TYPE, detail)


def _encodable(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot hold, so that a dead letter can always be shown."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _header_text(name: str, value: bytes | None) -> str:
    try:
        return (value or b"").decode("utf-8")
    except UnicodeDecodeError:
        detail = f"the header {name} is not UTF-8"
    raise _refused(detail)


def _stage(text: str) -> Stage:
    if text in frozenset(Stage):
        return Stage(text)
    raise _refused(f"the stage is none of {', '.join(Stage)}")


def _reason(text: str) -> Reason:
    if text in frozenset(Reason):
        return Reason(text)
    raise _refused(f"the reason is none of {', '.join(Reason)}")


def _source(text: str) -> Source:
    source = parse_source(text)
    if source is None:
        raise _refused(f"the header {SOURCE_HEADER} is not topic/partition/offset")
    return source


def _attempts(text: str) -> int:
    if _ATTEMPTS.fullmatch(text) is None or not 1 <= int(text) <= MAX_INT32:
        raise _refused("the header clf-attempts is not a count from 1")
    return int(text)


def _bytes_to_json(value: bytes | None) -> object:
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}


def _bytes_from_json(fields: dict[str, object], name: str, path: str = "") -> bytes | None:
    if name not in fields:
        raise _refused(f'the field "{path}{name}" is missing')
    value = fields[name]
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode("utf-8")
    return _base64_bytes(as_object(value, path + name), f"{path}{name}.")


def _base64_bytes(fields: dict[str, object], path: str) -> bytes:
    text = read_string(fields, "base64", path)
    if _BASE64.fullmatch(text):
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error:
            pass
    raise _refused(f'the field "{path}base64" is not base64')


def _header_from_json(entry: object) -> tuple[str, bytes | None]:
    fields = as_object(entry, "headers[]")
    return read_string(fields, "name", "headers[]."), _bytes_from_json(fields, "value", "headers[].")
