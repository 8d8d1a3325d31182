"""From the value and the headers of a record to its document, as whoever reads the topic is configured."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from schemas.decoding import DecodeError, DecodeReason
from schemas.document import DEFAULT_MAX_BYTES, Document, DocumentError, decode_document
from schemas.field_paths import FieldPaths
from schemas.framing import SchemaKey, is_framed, unframe, without_indexes
from schemas.headers import JSON, PROTOBUF, Headers, content_type_of, media_type

SchemaType = Callable[[SchemaKey], str | None]
"""What a registry says a schema is, such as JSON; None when it cannot tell. Raises DecodeError, unknown_schema."""

_TYPES: Final = {"JSON": JSON, "PROTOBUF": PROTOBUF}
_LOOKS_LIKE_JSON: Final = (b"{", b" ", b"\t", b"[")


@dataclass(frozen=True, slots=True)
class DocumentReader:
    """Reads the records of the documents topic, framed for a schema registry or not.

    Attributes:
        max_bytes: Longer values are refused.
        fields: Where JSON keeps the fields, when it is not ours.
        schema_type: Asks a registry; without one the type of a framed value is that of its header, or of its look.
    """

    max_bytes: int = DEFAULT_MAX_BYTES
    fields: FieldPaths | None = None
    schema_type: SchemaType | None = None

    def __call__(self, value: bytes, headers: Headers) -> Document:
        """The document of one record.

        Raises:
            DocumentError: there is none.
        """
        content_type = content_type_of(headers) if headers else None
        if is_framed(value, headers):
            try:
                value, content_type = self._unframed(value, headers, content_type)
            except DecodeError as error:
                raise DocumentError(error.reason, error.detail) from None
        if self.fields is None:
            return decode_document(value, content_type, self.max_bytes)
        return decode_document(value, content_type, self.max_bytes, self.fields.read)

    def _unframed(self, value: bytes, headers: Headers, content_type: str | None) -> tuple[bytes, str]:
        framed = unframe(value, headers)
        known = self.schema_type(framed.schema) if self.schema_type is not None else None
        if known is not None:
            kind = _TYPES.get(known, "")
        elif content_type is not None:
            kind = media_type(content_type)
        else:
            kind = JSON if framed.value[:1] in _LOOKS_LIKE_JSON else PROTOBUF
        if not kind:
            raise DecodeError(DecodeReason.WRONG_SCHEMA, "its schema is neither JSON Schema nor Protobuf")
        if kind == PROTOBUF and not framed.in_header:
            return without_indexes(framed.value), kind
        return framed.value, kind
