"""From the value and the headers of a record to its document, as whoever reads the topic is configured."""

from dataclasses import dataclass

from schemas.document import DEFAULT_MAX_BYTES, Document, decode_document
from schemas.field_paths import FieldPaths
from schemas.headers import Headers, content_type_of


@dataclass(frozen=True, slots=True)
class DocumentReader:
    """Reads the records of the documents topic.

    Attributes:
        max_bytes: Longer values are refused.
        fields: Where JSON keeps the fields, when it is not ours.
    """

    max_bytes: int = DEFAULT_MAX_BYTES
    fields: FieldPaths | None = None

    def __call__(self, value: bytes, headers: Headers) -> Document:
        """The document of one record.

        Raises:
            DocumentError: there is none.
        """
        content_type = content_type_of(headers)
        if self.fields is None:
            return decode_document(value, content_type, self.max_bytes)
        return decode_document(value, content_type, self.max_bytes, self.fields.read)
