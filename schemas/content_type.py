"""The two encodings a record may have, named by its header ``content-type``."""

from schemas.decoding import DecodeError, DecodeReason

CONTENT_TYPE_HEADER = "content-type"
JSON = "application/json"
PROTOBUF = "application/x-protobuf"


def media_type(content_type: str | None) -> str:
    """Return ``JSON`` or ``PROTOBUF``; parameters and letter case do not matter, and no header at all means JSON.

    Raises:
        DecodeError: unknown_content_type.
    """
    if content_type is None:
        return JSON
    name = content_type.partition(";")[0].strip().lower()
    if name in {JSON, PROTOBUF}:
        return name
    detail = f"the header {CONTENT_TYPE_HEADER} names neither {JSON} (the default without it) nor {PROTOBUF}"
    raise DecodeError(DecodeReason.UNKNOWN_CONTENT_TYPE, detail)
