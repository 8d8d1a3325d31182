"""Documents out of what crawlers write, as their own sources have it. Each function takes one JSON object."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from schemas.decoding import DecodeError, DecodeReason, as_object, parse_object
from schemas.document import Document
from schemas.field_paths import FieldPaths, value_at
from schemas.html import read_html

_SCRAPY_CLUSTER: Final = FieldPaths({"text": "body"})
# Which of these there are is a matter of a topology's settings.
_STORMCRAWLER: Final = {
    "url": ("url",),
    "title": ("title", "parse.title", "metadata.parse.title"),
    "text": ("text", "content"),
    "lang": ("lang", "parse.lang", "metadata.parse.lang", "metadata.lang"),
}
_NUTCH_INDEX: Final = {"url": ("url", "id"), "title": ("title",), "text": ("content",), "lang": ("lang",)}
_NUTCH_DUMP: Final = FieldPaths({"text": "response.body"})
_NUTCH_HEAD: Final = "Version: "
_NUTCH_CONTENT: Final = "\nContent:\n"
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def scrapy_cluster(value: bytes) -> Document:
    """A record of the topic ``demo.crawled_firehose``.

    As ``crawler/crawling/items.py`` (RawResponseItem) and ``crawler/crawling/pipelines.py`` (KafkaPipeline) of
    istresearch/scrapy-cluster write it: ``body`` is the page, in base64 with KAFKA_BASE_64_ENCODE. ``url`` is the one
    that was asked for; where redirects led is ``response_url``, which is not used.

    Raises:
        DecodeError: it is none, or its body is neither HTML nor text.
    """
    found = parse_object(value)
    document = _SCRAPY_CLUSTER.document(found)
    encoding = found.get("encoding")
    body = _plain(document.text, encoding if isinstance(encoding, str) else "utf-8")
    return _page(document._replace(text=body), _header(found.get("response_headers"), "content-type"))


def stormcrawler(value: bytes) -> Document:
    """What an indexer of StormCrawler writes, or its tuple of url, text and metadata.

    ``core/.../indexing/AbstractIndexerBolt.java`` of apache/stormcrawler names the fields (indexer.url.fieldname,
    indexer.text.fieldname, indexer.md.mapping), ``external/opensearch/.../bolt/IndexerBolt.java`` writes them, a
    field of several values as an array; the language is that of ``external/langid/.../LanguageID.java``.

    Raises:
        DecodeError: it is no document.
    """
    found = parse_object(value)
    return _first(found, _STORMCRAWLER)


def nutch(value: bytes) -> Document:
    """What Nutch writes to Kafka, or one page of its dump.

    ``src/plugin/indexer-kafka/.../KafkaIndexWriter.java`` of apache/nutch writes every field as an array of strings:
    url, title and content of ``index-basic``, lang of ``language-identifier``. ``nutch commoncrawldump``, that is
    ``src/java/org/apache/nutch/tools/AbstractCommonCrawlFormat.java``, writes request and response, with the page in
    ``response.body`` behind the lines that ``protocol/Content.java`` puts before it.

    Raises:
        DecodeError: it is none, or its body is neither HTML nor text.
    """
    found = parse_object(value)
    if "response" not in found:
        return _first(found, _NUTCH_INDEX)
    document = _NUTCH_DUMP.document(found)
    body = document.text
    if body.startswith(_NUTCH_HEAD):
        body = body.partition(_NUTCH_CONTENT)[2]
    return _page(
        document._replace(text=body), _header(as_object(found["response"], "response").get("headers"), "content-type")
    )


CRAWLERS: Final[Mapping[str, Callable[[bytes], Document]]] = {
    "scrapy-cluster": scrapy_cluster,
    "stormcrawler": stormcrawler,
    "nutch": nutch,
}
"""By the name of the crawler; all of them raise DecodeError."""

NEED_HTML: Final = frozenset({"scrapy-cluster", "nutch"})
"""Those whose pages may be HTML."""


def _first(found: Mapping[str, object], candidates: Mapping[str, Sequence[str]]) -> Document:
    """The document whose every field is at the first of its paths that has something."""
    paths = {
        name: next((path for path in these if value_at(found, path)), these[0]) for name, these in candidates.items()
    }
    return FieldPaths(paths).document(found)


def _page(document: Document, content_type: str) -> Document:
    """The document whose text is the body of a response of that type; without a type it is told by its look."""
    kind = content_type.partition(";")[0].strip().lower()
    body = document.text
    if kind in {"text/html", "application/xhtml+xml"} or (not kind and body.lstrip()[:1] == "<"):
        page = read_html(body)
        return document._replace(title=document.title or page.title, text=page.text, lang=document.lang or page.lang)
    if not kind or kind.startswith("text/"):
        return document
    raise DecodeError(DecodeReason.WRONG_TYPE, "the body is neither HTML nor text, by its content-type")


def _header(headers: object, name: str) -> str:
    """A header of a response: an object of strings or arrays of them, or an array of pairs; empty when it has none."""
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    for pair in pairs if isinstance(pairs, list) else ():
        match pair:
            case [str(key), str(value)] | [str(key), [str(value), *_]] if key.lower() == name:
                return value
    return ""


def _plain(body: str, encoding: str) -> str:
    """The body itself, where it is written in base64."""
    if not body or len(body) % 4 or _BASE64.fullmatch(body) is None:
        return body
    data = base64.b64decode(body)
    try:
        return data.decode(encoding, "replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace")
