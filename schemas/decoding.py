"""What every decoder here shares: the closed set of reasons, the error, and strict readers of JSON fields."""

from enum import StrEnum
from typing import TypeVar

import orjson
from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.message import Message

MAX_INT32 = 2**31 - 1
MAX_INT64 = 2**63 - 1

Parsed = TypeVar("Parsed", bound=Message)

_JSON_NAMES = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


class DecodeReason(StrEnum):
    """Why bytes were refused. A closed set: it labels metrics and dead letters."""

    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_PROTOBUF = "not_protobuf"
    NOT_AN_OBJECT = "not_an_object"
    URL_MISSING = "url_missing"
    WRONG_TYPE = "wrong_type"
    TOO_LARGE = "too_large"
    UNKNOWN_CONTENT_TYPE = "unknown_content_type"
    BAD_FRAME = "bad_frame"
    """The frame of a schema registry is cut short."""
    UNKNOWN_SCHEMA = "unknown_schema"
    """The registry has no schema of that id."""
    WRONG_SCHEMA = "wrong_schema"
    """The schema is neither JSON Schema nor Protobuf."""


class DecodeError(ValueError):
    """Bytes, or a value on its way to bytes, broke a contract of this package.

    Attributes:
        reason: One of the closed set.
        detail: A sentence for whoever produces the bytes. Field names, sizes, positions; never content.
    """

    def __init__(self, reason: DecodeReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


def parse_object(value: bytes) -> dict[str, object]:
    """Parse one JSON object (RFC 8259, UTF-8). Of a repeated name the last one counts.

    Raises:
        DecodeError: not_utf8, not_json or not_an_object.
    """
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        message, position = error.msg, error.pos
    else:
        if isinstance(parsed, dict):
            return parsed
        raise DecodeError(DecodeReason.NOT_AN_OBJECT, f"the value is {json_name(parsed)}, not an object")
    # Raised out here because orjson's error holds the whole document, which must not become a context.
    raise _not_json(value, message, position)


def parse_message(kind: type[Parsed], value: bytes) -> Parsed:
    """Parse one protobuf message of a generated class.

    Raises:
        DecodeError: not_protobuf.
    """
    try:
        return kind.FromString(value)
    except ProtobufError as error:
        # The library has one class of error for everything, and its text is all that tells.
        why = "a string is not UTF-8" if "UTF-8" in str(error) else "it is truncated, or of another format"
    raise DecodeError(DecodeReason.NOT_PROTOBUF, f"the value is no {kind.DESCRIPTOR.full_name}: {why}")


def _not_json(value: bytes, message: str, position: int) -> DecodeError:
    invalid = _first_invalid_utf8(value)
    if invalid is not None:
        return DecodeError(DecodeReason.NOT_UTF8, f"the value is not UTF-8: invalid at byte offset {invalid}")
    return DecodeError(DecodeReason.NOT_JSON, f"the value is not JSON: {message} (at character offset {position})")


def _first_invalid_utf8(value: bytes) -> int | None:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return None


def json_name(value: object) -> str:
    """Name the JSON type of a parsed value, with its article."""
    return _JSON_NAMES.get(type(value), "of an unknown type")


def wrong_type(field: str, value: object, wanted: str) -> DecodeError:
    """Return the error for a field of the wrong JSON type."""
    return DecodeError(DecodeReason.WRONG_TYPE, f'the field "{field}" is {json_name(value)}, not {wanted}')


def read_string(fields: dict[str, object], name: str, path: str = "") -> str:
    """Return a required string; ``path`` (such as ``"model."``) tells the message where it stands."""
    value = _required(fields, name, path)
    if isinstance(value, str):
        return value
    raise wrong_type(path + name, value, "a string")


def read_integer(fields: dict[str, object], name: str, maximum: int, path: str = "", minimum: int = 0) -> int:
    """Return a required integer within the bounds; 3.0 is the integer 3, as in JSON Schema."""
    value = _required(fields, name, path)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(path + name, value, "an integer")
    if not minimum <= value <= maximum:
        detail = f'the field "{path}{name}" is not between {minimum} and {maximum}'
        raise DecodeError(DecodeReason.WRONG_TYPE, detail)
    return value


def read_array(fields: dict[str, object], name: str) -> list[object]:
    """Return a required array."""
    value = _required(fields, name, "")
    if isinstance(value, list):
        return value
    raise wrong_type(name, value, "an array")


def read_object(fields: dict[str, object], name: str) -> dict[str, object] | None:
    """Return a required field that is an object or null."""
    value = _required(fields, name, "")
    if value is None or isinstance(value, dict):
        return value
    raise wrong_type(name, value, "an object or null")


def as_object(value: object, where: str) -> dict[str, object]:
    """Return an element of an array that has to be an object."""
    if isinstance(value, dict):
        return value
    raise wrong_type(where, value, "an object")


def _required(fields: dict[str, object], name: str, path: str) -> object:
    try:
        return fields[name]
    except KeyError:
        detail = f'the field "{path}{name}" is missing'
    raise DecodeError(DecodeReason.WRONG_TYPE, detail)
