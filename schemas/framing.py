"""The frame that producers with a schema registry put around a value: which schema it is of, by id or by GUID.

As confluent-kafka has it (``schema_registry/common/serde.py``, SchemaId): a magic byte 0 and an id of four bytes, or a
magic byte 1 and a GUID of sixteen, before the value or in the header ``__value_schema_id``; behind it, for protobuf,
which message of the schema it is, as a list of zigzag varints.
"""

from typing import Final, NamedTuple
from uuid import UUID

from schemas.decoding import DecodeError, DecodeReason
from schemas.headers import Headers

VALUE_SCHEMA_ID: Final = "__value_schema_id"
SCHEMA_IDS: Final = frozenset({VALUE_SCHEMA_ID, "__key_schema_id"})

SchemaKey = int | UUID
"""What a registry knows a schema by."""

MAGIC: Final = (b"\0", b"\1")
"""The first byte of a framed value: no JSON begins so, and no protobuf, whose field numbers begin at 1."""

_ID_END: Final = 5
_GUID_END: Final = 17
_MOST_INDEXES: Final = 64
_VARINT_BYTES: Final = 5


class Framed(NamedTuple):
    """A value without its frame.

    Attributes:
        schema: What it is of.
        value: What was framed; of a protobuf whose frame stood before it, with its list of indexes still.
        in_header: Whether the frame stood in a header.
    """

    schema: SchemaKey
    value: bytes
    in_header: bool


class ResultFrame(NamedTuple):
    """What is put around a result: before its value, and behind its headers."""

    prefix: bytes = b""
    headers: Headers = ()


NO_FRAME: Final = ResultFrame()


def is_framed(value: bytes, headers: Headers) -> bool:
    """Whether a value has a frame."""
    return value[:1] in MAGIC or any(name == VALUE_SCHEMA_ID for name, _ in headers)


def unframe(value: bytes, headers: Headers) -> Framed:
    """Take the frame off a value that has one; a header comes first.

    Raises:
        DecodeError: bad_frame, the frame is cut short or of an unknown kind.
    """
    for name, frame in headers:
        if name == VALUE_SCHEMA_ID:
            schema, _ = _split(frame or b"")
            return Framed(schema, value, in_header=True)
    schema, rest = _split(value)
    return Framed(schema, rest, in_header=False)


def without_indexes(value: bytes) -> bytes:
    """Take the list off that says which message of its schema a protobuf is.

    Raises:
        DecodeError: bad_frame.
    """
    count, place = _varint(value, 0)
    if not 0 <= count <= _MOST_INDEXES:
        raise _bad("the list of message indexes has an impossible length")
    for _ in range(count):
        _, place = _varint(value, place)
    return value[place:]


def strip_frame(value: bytes) -> bytes:
    """A JSON value without the frame before it, if it has one that is whole."""
    if value[:1] not in MAGIC:
        return value
    return value[_ID_END if value[:1] == MAGIC[0] else _GUID_END :]


def without_schema_ids(headers: Headers) -> Headers:
    """The headers but for those that frame key and value."""
    return tuple(pair for pair in headers if pair[0] not in SCHEMA_IDS)


def frame_before(schema_id: int) -> ResultFrame:
    """A frame before the value, by id."""
    return ResultFrame(prefix=MAGIC[0] + schema_id.to_bytes(4, "big"))


def frame_in_header(guid: UUID) -> ResultFrame:
    """A frame in a header, by GUID."""
    return ResultFrame(headers=((VALUE_SCHEMA_ID, MAGIC[1] + guid.bytes),))


def _split(frame: bytes) -> tuple[SchemaKey, bytes]:
    magic = frame[:1]
    if magic == MAGIC[0] and len(frame) >= _ID_END:
        return int.from_bytes(frame[1:_ID_END], "big"), frame[_ID_END:]
    if magic == MAGIC[1] and len(frame) >= _GUID_END:
        return UUID(bytes=frame[1:_GUID_END]), frame[_GUID_END:]
    raise _bad("it is cut short" if magic in MAGIC else "it begins with no magic byte that is known")


def _varint(value: bytes, place: int) -> tuple[int, int]:
    number = 0
    for shift, byte in enumerate(value[place : place + _VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
            return (number >> 1) ^ -(number & 1), place + shift + 1
    raise _bad("the list of message indexes is cut short")


def _bad(why: str) -> DecodeError:
    return DecodeError(DecodeReason.BAD_FRAME, f"the frame of the schema registry cannot be read: {why}")
