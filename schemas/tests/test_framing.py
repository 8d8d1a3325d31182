"""Frames of a schema registry: taken off, put on, refused when they are cut short."""

from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.classification import Classification, Status, decode_classification
from schemas.decoding import DecodeError, DecodeReason
from schemas.document import Document, DocumentError
from schemas.document_reader import DocumentReader
from schemas.framing import (
    VALUE_SCHEMA_ID,
    SchemaKey,
    frame_before,
    frame_in_header,
    is_framed,
    unframe,
    without_indexes,
    without_schema_ids,
)
from schemas.headers import Headers

GUID = UUID("89791762-2336-4186-9674-299b90a802e2")
DOCUMENT = Document("https://a.example/1", "title", "text", "en")
ID = b"\0\0\0\1\2"  # 258
BY_GUID = b"\1" + GUID.bytes
JSON_VALUE, PROTOBUF_VALUE = DOCUMENT.to_json(), DOCUMENT.to_protobuf()
PROTOBUF: Headers = (("content-type", b"application/x-protobuf"),)
IN_HEADER: Headers = ((VALUE_SCHEMA_ID, BY_GUID),)


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (ID + JSON_VALUE, ()),
        (BY_GUID + JSON_VALUE, ()),
        (JSON_VALUE, IN_HEADER),
        (JSON_VALUE, ((VALUE_SCHEMA_ID, ID),)),
        (ID + b"\0" + PROTOBUF_VALUE, ()),
        (ID + b"\0" + PROTOBUF_VALUE, PROTOBUF),
        (ID + b"\x02\x02" + PROTOBUF_VALUE, PROTOBUF),  # one index: 1
        (ID + b"\x04\x00\x80\x02" + PROTOBUF_VALUE, ()),  # two indexes: 0 and 128
        (BY_GUID + b"\0" + PROTOBUF_VALUE, ()),
        (PROTOBUF_VALUE, ((VALUE_SCHEMA_ID, BY_GUID + b"\0"),)),
        (PROTOBUF_VALUE, (*IN_HEADER, *PROTOBUF)),
    ],
)
def test_every_form_is_read(value: bytes, headers: Headers) -> None:
    """By id or by GUID, before the value or in a header, with or without a content type, and without a registry."""
    assert DocumentReader()(value, headers) == DOCUMENT


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"\0", ()),
        (ID[:4], ()),
        (BY_GUID[:16], ()),
        (JSON_VALUE, ((VALUE_SCHEMA_ID, b""),)),
        (JSON_VALUE, ((VALUE_SCHEMA_ID, None),)),
        (JSON_VALUE, ((VALUE_SCHEMA_ID, b"\2" + GUID.bytes),)),
        (ID, PROTOBUF),
        (ID + b"\x04\x00", PROTOBUF),
        (ID + b"\x01", PROTOBUF),  # -1 indexes
        (ID + b"\xfe\xff\xff\xff\x0f", PROTOBUF),  # two thousand million of them
        (ID + b"\xff" * 9, PROTOBUF),
    ],
)
def test_what_is_no_frame_is_told(value: bytes, headers: Headers) -> None:
    """Frames that are cut short or impossible have a reason of their own."""
    with pytest.raises(DocumentError) as caught:
        DocumentReader()(value, headers)
    assert caught.value.reason is DecodeReason.BAD_FRAME


def test_a_registry_decides() -> None:
    """Its word counts before that of the header, and what is no type of ours is refused."""
    kinds: dict[SchemaKey, str | None] = {258: "PROTOBUF", GUID: "JSON", 7: "AVRO", 8: None}
    read = DocumentReader(schema_type=kinds.__getitem__)
    assert read(ID + b"\0" + PROTOBUF_VALUE, (("content-type", b"application/json"),)) == DOCUMENT
    assert read(JSON_VALUE, (*IN_HEADER, *PROTOBUF)) == DOCUMENT
    assert read(b"\0\0\0\0\x08" + JSON_VALUE, ()) == DOCUMENT, "it cannot tell: the look of the value does"
    assert read(JSON_VALUE, ()) == DOCUMENT, "it is not asked without a frame"
    with pytest.raises(DocumentError, match="neither JSON Schema nor Protobuf") as caught:
        read(b"\0\0\0\0\x07" + b"\x02a", ())
    assert caught.value.reason is DecodeReason.WRONG_SCHEMA


def test_frames_that_are_put_on_come_off() -> None:
    """What stands before a result or in its header is what is read there."""
    prefix, headers = frame_before(258)
    assert (prefix, headers) == (ID, ())
    assert unframe(prefix + b"{}", ()) == (258, b"{}", False)
    prefix, headers = frame_in_header(GUID)
    assert unframe(b"{}", headers) == (GUID, b"{}", True)
    assert without_schema_ids((("a", b"1"), *headers, ("__key_schema_id", b"k"))) == (("a", b"1"),)


def test_results_are_read_framed_or_not() -> None:
    """Whoever reads our results need not know how they are framed."""
    result = Classification("u", "und", Status.UNSUPPORTED_LANGUAGE, (), (), None, None)
    for frame in (b"", ID, BY_GUID):
        assert decode_classification(frame + result.to_json()) == result


@given(st.binary(max_size=40), st.booleans(), st.booleans())
def test_only_document_errors_come_out(value: bytes, in_header: bool, protobuf: bool) -> None:  # noqa: FBT001 - given
    """Whatever the bytes."""
    headers: Headers = ((VALUE_SCHEMA_ID, value),) if in_header else ()
    with suppress(DocumentError):
        DocumentReader()(b"\0" + value, headers + (PROTOBUF if protobuf else ()))
    with suppress(DecodeError):
        assert len(without_indexes(value)) <= len(value)
    assert is_framed(JSON_VALUE, ()) is False
