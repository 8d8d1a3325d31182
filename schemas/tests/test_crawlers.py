"""What crawlers write becomes a document. The samples are ours, in the form that their sources give them."""

import base64
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.crawlers import CRAWLERS, nutch, scrapy_cluster, stormcrawler
from schemas.decoding import DecodeError, DecodeReason
from schemas.document import Document

URL = "https://paper.example/1"
PAGE = "<!doctype html><html lang='de'><head><title>Spiel</title></head><body><p>Ein <b>spätes</b> Tor."
READ = Document(URL, "Spiel", "Ein spätes Tor.", "de")
FIREHOSE: Mapping[str, object] = {
    "appid": "app", "crawlid": "c1", "url": URL, "response_url": URL + "/", "status_code": 200, "status_msg": "OK",
    "response_headers": {"Content-Type": ["text/html; charset=utf-8"]}, "request_headers": {"Accept-Language": ["en"]},
    "body": PAGE, "links": [{"url": URL, "text": "more"}], "attrs": {"step": 0}, "encoding": "utf-8",
    "timestamp": "2026-01-23T22:01:33.379721", "success": True,
}  # fmt: skip


def of(read: Callable[[bytes], Document], value: object) -> Document:
    """Read a record."""
    return read(orjson.dumps(value))


def test_scrapy_cluster() -> None:
    """The body of a firehose record is a page, whose url is the one asked for."""
    assert of(scrapy_cluster, FIREHOSE) == READ


def test_scrapy_cluster_in_base64() -> None:
    """KAFKA_BASE_64_ENCODE gives bytes, in the encoding that the record names."""
    body = base64.b64encode(PAGE.encode("latin-1")).decode()
    assert of(scrapy_cluster, {**FIREHOSE, "body": body, "encoding": "iso-8859-1"}) == READ
    assert of(scrapy_cluster, {**FIREHOSE, "body": body, "encoding": "no such"}).title == "Spiel"


def test_scrapy_cluster_texts_and_other_bodies() -> None:
    """A text is its own text; what is neither that nor HTML is refused."""
    plain = {**FIREHOSE, "body": "Tore: 1 < 2", "response_headers": {"content-type": ["text/plain"]}}
    assert of(scrapy_cluster, plain) == Document(URL, "", "Tore: 1 < 2")
    with pytest.raises(DecodeError, match="neither HTML nor text") as caught:
        of(scrapy_cluster, {**FIREHOSE, "response_headers": {"Content-Type": ["application/pdf"]}})
    assert caught.value.reason is DecodeReason.WRONG_TYPE
    with pytest.raises(DecodeError) as caught:
        scrapy_cluster(b"json failed to parse")
    assert caught.value.reason is DecodeReason.NOT_JSON


@pytest.mark.parametrize(
    "value",
    [
        {"url": URL, "content": "Ein spätes Tor.", "title": "Spiel", "lang": "de", "domain": "paper.example"},
        {"url": URL, "content": "Ein spätes Tor.", "title": "Spiel", "parse.lang": ["de"], "keywords": ["a", "b"]},
        {"url": URL, "text": "Ein spätes Tor.", "metadata": {"parse.title": ["Spiel"], "parse.lang": ["de"]}},
    ],
)
def test_stormcrawler(value: object) -> None:
    """What an indexer writes, and the tuple of url, text and metadata."""
    assert of(stormcrawler, value) == READ


def test_nutch_index_writer() -> None:
    """Every field is an array of strings; the id is the url where there is no other."""
    value = {"id": [URL], "title": ["Spiel"], "content": ["Ein spätes Tor."], "lang": ["de"], "tstamp": ["2026"]}
    assert of(nutch, value) == READ
    assert of(nutch, {**value, "url": ["https://other.example/"]}).url == "https://other.example/"


@pytest.mark.parametrize("headers", [{"Content-Type": "text/html"}, [["Content-Type", "text/html"]], {}])
def test_nutch_dump(headers: object) -> None:
    """The page stands behind the lines about it; headers are an object, or pairs with -jsonArray."""
    body = f"Version: -1\nurl: {URL}\nbase: {URL}\ncontentType: text/html\nmetadata: a=b\nContent:\n{PAGE}"
    value = {"url": URL, "request": {"body": None}, "response": {"status": "200", "headers": headers, "body": body}}
    assert of(nutch, value) == READ


@pytest.mark.parametrize("read", CRAWLERS.values())
@settings(max_examples=50)
@given(
    st.dictionaries(
        st.sampled_from(["url", "id", "body", "content", "response", "response_headers", "encoding", "metadata"]),
        st.recursive(
            st.none() | st.booleans() | st.text(max_size=8),
            lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(["headers", "body", "a"]), v),
            max_leaves=6,
        ),
    )
)
def test_only_decode_errors_come_out(read: Callable[[bytes], Document], value: dict[str, Any]) -> None:
    """Whatever the fields hold."""
    with suppress(DecodeError):
        assert all(isinstance(field, str) for field in of(read, {"url": URL, **value}))
