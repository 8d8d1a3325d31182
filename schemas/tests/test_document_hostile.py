"""Documents written to hurt: nothing but DocumentError comes out, and no content with it."""

import copy
import traceback

import pytest

from schemas.document import DEFAULT_MAX_BYTES, DecodeReason, Document, DocumentError, decode_document
from schemas.headers import PROTOBUF

MARK = "hunter2"


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 1_000_000,
        b'{"a":' * 1_000_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"url": "u", "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"url": "u", "x": ' + b"9" * 1_000_000 + b"}",
    ],
    ids=["open arrays", "open objects", "closed arrays", "nested in a field", "a huge number"],
)
def test_deep_and_huge_values_are_not_json_to_us(value: bytes) -> None:
    """Nesting beyond the parser's limit and numbers beyond a double are refused, not followed."""
    with pytest.raises(DocumentError) as caught:
        decode_document(value)
    assert caught.value.reason is DecodeReason.NOT_JSON


@pytest.mark.parametrize("number", [b"18446744073709551615", b"99999999999999999999999", b"-1e308", b"0.1e-400"])
def test_big_numbers_in_unknown_fields_do_no_harm(number: bytes) -> None:
    """Numbers that fit a double are somebody else's business."""
    assert decode_document(b'{"url": "u", "x": ' + number + b"}") == Document("u")


@pytest.mark.parametrize("url", ["a\x00b", "\x00", "\u2028x", "\ufeff", "\ufffe", "\U0010ffff", "../../etc", "\u202eu"])
@pytest.mark.parametrize("content_type", [None, PROTOBUF])
def test_odd_urls_pass_unchanged(url: str, content_type: str | None) -> None:
    """NUL, separators, noncharacters: a url is an opaque text."""
    document = Document(url)
    value = document.to_json() if content_type is None else document.to_protobuf()
    assert decode_document(value, content_type) == document


@pytest.mark.parametrize("content_type", [None, PROTOBUF])
def test_ten_megabytes_of_text_pass(content_type: str | None) -> None:
    """A long page within the default limit arrives whole, with its line separators."""
    document = Document("u", text="line\u2028\x85 \n" * 850_000)
    value = document.to_json() if content_type is None else document.to_protobuf()
    assert 9_000_000 < len(value) <= DEFAULT_MAX_BYTES
    assert decode_document(value, content_type) == document


@pytest.mark.parametrize("content_type", [None, PROTOBUF, "text/html"])
def test_the_size_is_checked_before_anything_else(content_type: str | None) -> None:
    """What is too large is not even looked at."""
    with pytest.raises(DocumentError) as caught:
        decode_document(b"\xff" * (DEFAULT_MAX_BYTES + 1), content_type)
    assert caught.value.reason is DecodeReason.TOO_LARGE


@pytest.mark.parametrize(
    ("value", "content_type"),
    [
        (b'{"url": "u", "text": "hunter2', None),
        (b'{"url": "hunter2\xff"}', None),
        (b'{"hunter2": "hunter2", "url": ["hunter2"]}', None),
        (b'{"url": "u", "text": {"hunter2": 1}}', None),
        (b'{"url": "' + MARK.encode() * 2_000 + b'"}', None),
        (b'"hunter2"', None),
        (b"hunter2", None),
        (b"\x0a\x08hunter2\xff", PROTOBUF),
        (b"hunter2", MARK),
    ],
)
def test_errors_never_quote_content(value: bytes, content_type: str | None) -> None:
    """Neither the sentence nor the printed traceback nor any chained error carries a word of the document."""
    with pytest.raises(DocumentError) as caught:
        decode_document(value, content_type)
    error = caught.value
    assert MARK not in error.detail
    assert MARK not in "".join(traceback.format_exception(error))
    assert error.__context__ is None
    assert error.__cause__ is None


def test_errors_cross_processes() -> None:
    """A pool of processes can hand the error back: it can be built again from its arguments."""
    error = DocumentError(DecodeReason.NOT_JSON, "why")
    twin = copy.copy(error)
    assert (type(twin), twin.reason, twin.detail) == (DocumentError, DecodeReason.NOT_JSON, "why")
