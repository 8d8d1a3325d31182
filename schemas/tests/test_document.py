"""Documents: what decodes, what does not, and what the error says."""

import orjson
import pytest

from schemas import classifier_pb2
from schemas.document import (
    DEFAULT_MAX_BYTES,
    MAX_URL_CHARS,
    DecodeReason,
    Document,
    DocumentError,
    decode_document,
)
from schemas.headers import PROTOBUF

FULL = Document("https://news.example/1", "Rain", "It rained\u2028all \U0001f327 day.", "eng")


def _refusal(value: bytes, content_type: str | None = None, max_bytes: int = DEFAULT_MAX_BYTES) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        decode_document(value, content_type, max_bytes)
    return caught.value


def test_json_round_trip() -> None:
    """A document survives JSON, fields in their order."""
    assert list(orjson.loads(FULL.to_json())) == ["url", "title", "text", "lang"]
    assert decode_document(FULL.to_json()) == FULL


def test_protobuf_round_trip() -> None:
    """A document survives protobuf when the content type says so."""
    assert decode_document(FULL.to_protobuf(), PROTOBUF) == FULL


@pytest.mark.parametrize("fields", [{}, {"title": None, "text": None, "lang": None}])
def test_missing_and_null_mean_empty(fields: dict[str, None]) -> None:
    """Only the url is required."""
    assert decode_document(orjson.dumps({"url": "u", **fields})) == Document("u")


def test_unknown_fields_are_ignored() -> None:
    """Crawlers may send more than we read."""
    assert decode_document(b'{"fetched": [1, {"a": null}], "url": "u", "Text": 3}') == Document("u")


def test_unknown_protobuf_fields_are_ignored() -> None:
    """A newer message still decodes: here with a field 15."""
    assert decode_document(Document("u").to_protobuf() + b"\x7a\x01x", PROTOBUF) == Document("u")


def test_last_of_a_repeated_name_counts() -> None:
    """RFC 8259 leaves it open; we fix it."""
    assert decode_document(b'{"url": 1, "url": "b"}') == Document("b")


@pytest.mark.parametrize(
    ("title", "text", "expected"),
    [("a", "b", "a\nb"), ("a", "", "a"), ("", "b", "b"), ("", "", "")],
)
def test_content_joins_title_and_text(title: str, text: str, expected: str) -> None:
    """No stray line feed when one of them is empty."""
    assert Document("u", title, text).content == expected


@pytest.mark.parametrize(("lang", "expected"), [("eng", "en"), ("", "und"), ("de-AT", "de")])
def test_language_is_normalised_and_lang_kept(lang: str, expected: str) -> None:
    """The code as sent stays readable beside the normalised one."""
    document = Document("u", lang=lang)
    assert (document.lang, document.language) == (lang, expected)


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (b"", DecodeReason.NOT_JSON, "not JSON"),
        (b"{", DecodeReason.NOT_JSON, "character offset 1"),
        (b'{"url": "u"} {}', DecodeReason.NOT_JSON, "character offset 13"),
        (b'\xef\xbb\xbf{"url": "u"}', DecodeReason.NOT_JSON, "BOM"),
        (b'{"url": "u", "x": NaN}', DecodeReason.NOT_JSON, "character offset 18"),
        (b'{"url": "u", "x": 1e999}', DecodeReason.NOT_JSON, "character offset 18"),
        (b'{"url": "\\ud800"}', DecodeReason.NOT_JSON, "surrogate"),
        (b'{"url": "\xff"}', DecodeReason.NOT_UTF8, "byte offset 9"),
        (b'{"url": "\xed\xa0\x80"}', DecodeReason.NOT_UTF8, "byte offset 9"),
        ('{"url": "u"}'.encode("utf-16"), DecodeReason.NOT_UTF8, "byte offset 0"),
        (b"[]", DecodeReason.NOT_AN_OBJECT, "an array"),
        (b'"u"', DecodeReason.NOT_AN_OBJECT, "a string"),
        (b"null", DecodeReason.NOT_AN_OBJECT, "null"),
        (b"1", DecodeReason.NOT_AN_OBJECT, "a number"),
        (b"{}", DecodeReason.URL_MISSING, '"url" is missing'),
        (b'{"url": null}', DecodeReason.URL_MISSING, '"url" is missing or null'),
        (b'{"url": ""}', DecodeReason.URL_MISSING, '"url" is empty'),
        (b'{"url": " \\u2003\\n"}', DecodeReason.URL_MISSING, '"url" is empty'),
        (b'{"url": 7}', DecodeReason.WRONG_TYPE, 'the field "url" is a number, not a string'),
        (b'{"url": "u", "text": 7.5}', DecodeReason.WRONG_TYPE, 'the field "text" is a number, not a string'),
        (b'{"url": "u", "title": []}', DecodeReason.WRONG_TYPE, 'the field "title" is an array, not a string'),
        (b'{"url": "u", "lang": {}}', DecodeReason.WRONG_TYPE, 'the field "lang" is an object, not a string'),
        (b'{"url": "u", "text": true}', DecodeReason.WRONG_TYPE, 'the field "text" is a boolean, not a string'),
    ],
)
def test_bad_json_is_refused_with_its_reason(value: bytes, reason: DecodeReason, detail: str) -> None:
    """The reason is from the closed set and the detail says what to change."""
    error = _refusal(value)
    assert error.reason is reason
    assert detail in error.detail
    assert str(error) == error.detail


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", DecodeReason.URL_MISSING),
        (Document(" ").to_protobuf(), DecodeReason.URL_MISSING),
        (FULL.to_protobuf()[:-1], DecodeReason.NOT_PROTOBUF),
        (b"\x0a\x01\xff", DecodeReason.NOT_PROTOBUF),
        (b"\x0b" * 10_000, DecodeReason.NOT_PROTOBUF),
        (FULL.to_json(), DecodeReason.NOT_PROTOBUF),
        (classifier_pb2.Document(url="u" * (MAX_URL_CHARS + 1)).SerializeToString(), DecodeReason.TOO_LARGE),
    ],
)
def test_bad_protobuf_is_refused_with_its_reason(value: bytes, reason: DecodeReason) -> None:
    """Truncated, not UTF-8, endless groups, and JSON under the wrong header."""
    assert _refusal(value, PROTOBUF).reason is reason


def test_unknown_content_type_is_refused() -> None:
    """The value is not guessed at."""
    assert _refusal(FULL.to_json(), "text/html").reason is DecodeReason.UNKNOWN_CONTENT_TYPE


def test_size_limit_is_inclusive() -> None:
    """A value of exactly the limit passes, one byte more does not, and the detail has both sizes."""
    value = FULL.to_json()
    assert decode_document(value, max_bytes=len(value)) == FULL
    error = _refusal(value, max_bytes=len(value) - 1)
    assert error.reason is DecodeReason.TOO_LARGE
    assert str(len(value)) in error.detail
    assert str(len(value) - 1) in error.detail


def test_url_limit_is_inclusive() -> None:
    """The limit counts characters, not bytes."""
    url = "ü" * MAX_URL_CHARS
    assert decode_document(Document(url).to_json()).url == url
    assert _refusal(Document(url + "x").to_json()).reason is DecodeReason.TOO_LARGE


@pytest.mark.parametrize("field", ["url", "title", "text", "lang"])
def test_lone_surrogates_cannot_be_encoded(field: str) -> None:
    """Text read with surrogateescape is refused with the field's name, in both encodings."""
    document = Document(**{"url": "u", field: "ab\udcff"})
    for encode in (document.to_json, document.to_protobuf):
        with pytest.raises(DocumentError, match=f'the field "{field}".*character 2') as caught:
            encode()
        assert caught.value.reason is DecodeReason.NOT_UTF8
