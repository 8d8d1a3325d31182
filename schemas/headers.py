"""The headers of a Kafka record, and the one of them that names the encoding of its value."""

from schemas.decoding import DecodeError, DecodeReason

Headers = tuple[tuple[str, bytes | None], ...]
"""In order; names may repeat and a value may be null."""

CONTENT_TYPE = "content-type"
JSON = "application/json"
PROTOBUF = "application/x-protobuf"


def content_type_of(headers: Headers | None) -> str | None:
    """Return the value of the last header ``content-type`` (any letter case), None when there is none."""
    for name, value in reversed(headers or ()):
        if value is not None and name.lower() == CONTENT_TYPE:
            return value.decode("latin-1")
    return None


def media_type(content_type: str | None) -> str:
    """Return ``JSON`` or ``PROTOBUF``; parameters and letter case do not matter, and None means JSON.

    Raises:
        DecodeError: unknown_content_type.
    """
    if content_type is None:
        return JSON
    if content_type == PROTOBUF:  # as the gRPC path has it, call by call
        return PROTOBUF
    name = content_type.partition(";")[0].strip().lower()
    if name in {JSON, PROTOBUF}:
        return name
    detail = f"the header {CONTENT_TYPE} names neither {JSON} (the default without it) nor {PROTOBUF}"
    raise DecodeError(DecodeReason.UNKNOWN_CONTENT_TYPE, detail)
