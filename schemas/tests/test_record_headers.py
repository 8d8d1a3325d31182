"""The content type of a record."""

import pytest

from schemas.decoding import DecodeError, DecodeReason
from schemas.headers import JSON, PROTOBUF, Headers, content_type_of, media_type


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (None, None),
        ((), None),
        ((("x", b"y"),), None),
        ((("content-type", None),), None),
        ((("content-type", b"a"), ("content-type", b"b")), "b"),
        ((("Content-Type", b"a"), ("x", None)), "a"),
        ((("content-type", b"\xff"),), "\xff"),
    ],
)
def test_last_content_type_header_counts(headers: Headers | None, expected: str | None) -> None:
    """As in Kafka's own lastHeader; the value may be any bytes."""
    assert content_type_of(headers) == expected


@pytest.mark.parametrize("text", [None, JSON, "APPLICATION/JSON", " application/json ; charset=utf-8", f"{JSON};"])
def test_json_is_recognised(text: str | None) -> None:
    """Parameters and letter case do not matter, and JSON is the default."""
    assert media_type(text) == JSON


@pytest.mark.parametrize("text", [PROTOBUF, "Application/X-Protobuf", f"{PROTOBUF}; message=clf.v1.Document"])
def test_protobuf_is_recognised(text: str) -> None:
    """Parameters and letter case do not matter."""
    assert media_type(text) == PROTOBUF


@pytest.mark.parametrize("text", ["", ";", "json", "text/html", "application/jsonx", "\xff", "a" * 1_000_000])
def test_other_content_types_are_refused(text: str) -> None:
    """The error names the supported ones and does not repeat what was sent."""
    with pytest.raises(DecodeError) as caught:
        media_type(text)
    assert caught.value.reason is DecodeReason.UNKNOWN_CONTENT_TYPE
    assert JSON in caught.value.detail
    assert PROTOBUF in caught.value.detail
    assert len(caught.value.detail) < 200
