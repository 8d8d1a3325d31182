"""Documents out of objects with other names."""

from contextlib import suppress
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.decoding import DecodeError, DecodeReason
from schemas.document import Document, DocumentError
from schemas.document_reader import DocumentReader
from schemas.field_paths import FieldPaths, FieldPathsError


def read(mapping: str, value: object) -> Document:
    """What a worker with that mapping makes of a record."""
    return DocumentReader(fields=FieldPaths.parse(mapping))(orjson.dumps(value), ())


def test_paths_lead_through_objects() -> None:
    """Named fields come from their paths, the others are called as they are."""
    found = {"link": "https://a.example/1", "body": {"content": "text"}, "title": "title", "meta": {"l": "en"}}
    document = Document("https://a.example/1", "title", "text", "en")
    assert read("url=link,text=body.content,lang=meta.l", found) == document


def test_names_with_dots_are_found() -> None:
    """The whole of what is left of a path is tried before its first part."""
    assert read("text=a.b.c", {"url": "u", "a.b.c": "1"}).text == "1"
    assert read("text=a.b.c", {"url": "u", "a": {"b.c": "2"}}).text == "2"
    assert read("text=a.b.c", {"url": "u", "a": {"b": {"c": "3"}}}).text == "3"


def test_arrays_of_strings() -> None:
    """Title and text are all of them, url and language the first."""
    found = {"url": ["u", "v"], "title": ["a"], "text": ["b", "c"], "lang": ["en", "de"]}
    assert read("url=url", found) == Document("u", "a", "b\nc", "en")
    assert read("url=url", {"url": ["u"], "lang": [], "text": None}) == Document("u")


def test_html_gives_text_title_and_language() -> None:
    """Title and language of the object come first."""
    page = "<html lang=de><title>T</title><p>Hallo"
    assert read("html=body", {"url": "u", "body": page}) == Document("u", "T", "Hallo", "de")
    assert read("html=body", {"url": "u", "body": page, "title": "own", "lang": "en"})[1:] == ("own", "Hallo", "en")


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        ({"url": "u"}, DecodeReason.URL_MISSING, '"link"'),
        ({"link": None}, DecodeReason.URL_MISSING, '"link"'),
        ({"link": []}, DecodeReason.URL_MISSING, '"link"'),
        ({"link": "u", "body": {"content": 7}}, DecodeReason.WRONG_TYPE, '"body.content" is a number'),
        ({"link": "u", "body": {"content": ["a", 1]}}, DecodeReason.WRONG_TYPE, '"body.content" is an array'),
        ([], DecodeReason.NOT_AN_OBJECT, "an array"),
    ],
)
def test_what_is_no_document_names_the_path(value: object, reason: DecodeReason, detail: str) -> None:
    """The detail says where it looked, and never quotes what it found."""
    with pytest.raises(DocumentError, match=detail) as caught:
        read("url=link,text=body.content", value)
    assert caught.value.reason is reason


def test_protobuf_is_not_mapped() -> None:
    """Its fields have their names."""
    value = Document("u", "t").to_protobuf()
    headers = (("content-type", b"application/x-protobuf"),)
    assert DocumentReader(fields=FieldPaths.parse("url=link"))(value, headers) == Document("u", "t")


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ("", "is not FIELD=PATH"),
        ("url", "is not FIELD=PATH"),
        ("url=", "is not FIELD=PATH"),
        ("url=a..b", "is not FIELD=PATH"),
        ("url=a,", "is not FIELD=PATH"),
        ("uri=a", "no field 'uri'"),
        ("url=a,url=b", "twice"),
        ("text=a,html=b", "not from both"),
    ],
)
def test_mappings_are_checked_before_anything_is_read(mapping: str, told: str) -> None:
    """What is written wrongly is told in a sentence."""
    with pytest.raises(FieldPathsError, match=told):
        FieldPaths.parse(mapping)


def test_a_missing_library_is_told_at_once() -> None:
    """A worker does not find out with its first document."""
    with (
        patch("importlib.util.find_spec", return_value=None),
        pytest.raises(FieldPathsError, match=r"clf-worker\[html"),
    ):
        FieldPaths.parse("html=body")


def test_a_mapping_is_written_as_it_is_read() -> None:
    """Its text makes it again."""
    mapping = FieldPaths.parse(" url = link , text=body.content")
    assert str(mapping) == "url=link,text=body.content"
    assert FieldPaths.parse(str(mapping)) == mapping


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from("ab"), v),
        max_leaves=5,
    )
)
def test_only_decode_errors_come_out(value: object) -> None:
    """Whatever lies at the paths."""
    with suppress(DecodeError):
        FieldPaths.parse("url=a,text=a.b,lang=b").document({"a": value, "b": value})
