"""A crawled document: what the input topic carries."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import orjson

from schemas import classifier_pb2
from schemas.decoding import DecodeError, DecodeReason, parse_message, parse_object, wrong_type
from schemas.headers import JSON, media_type
from schemas.language import normalise_language

__all__ = [
    "DEFAULT_MAX_BYTES",
    "MAX_URL_CHARS",
    "DecodeReason",
    "Document",
    "DocumentError",
    "decode_document",
    "decode_documents",
    "encode_documents",
]

DEFAULT_MAX_BYTES = 10 * 2**20
MAX_URL_CHARS = 8192


class DocumentError(DecodeError):
    """The bytes are no document. ``reason`` and ``detail`` say why, without a word of the content."""


class Document(NamedTuple):
    """One crawled page.

    Attributes:
        url: What identifies the page; as sent, neither parsed nor stripped.
        title: Empty when unknown.
        text: The page without markup; empty when there is none.
        lang: The language code as the crawler wrote it; ``language`` is the one to compare.
    """

    url: str
    title: str = ""
    text: str = ""
    lang: str = ""

    @property
    def language(self) -> str:
        """The normalised code, ``"und"`` when there is none."""
        return normalise_language(self.lang)

    @property
    def content(self) -> str:
        """The one text that is trained on and scored: title, line feed, text; or the one not empty."""
        if self.title and self.text:
            return f"{self.title}\n{self.text}"
        return self.title or self.text

    def to_json(self) -> bytes:
        """Encode as UTF-8 JSON.

        Raises:
            DocumentError: not_utf8, a field holds a lone surrogate.
        """
        fields = {"url": self.url, "title": self.title, "text": self.text, "lang": self.lang}
        try:
            return orjson.dumps(fields)
        except orjson.JSONEncodeError:
            failure = _unencodable(fields)
        raise failure

    def to_protobuf(self) -> bytes:
        """Encode as ``clf.v1.Document``.

        Raises:
            DocumentError: not_utf8, a field holds a lone surrogate.
        """
        return self.to_message().SerializeToString()

    def to_message(self) -> classifier_pb2.Document:
        """The same as a message, to be put into another.

        Raises:
            DocumentError: not_utf8, a field holds a lone surrogate.
        """
        fields = {"url": self.url, "title": self.title, "text": self.text, "lang": self.lang}
        try:
            return classifier_pb2.Document(**fields)
        except UnicodeEncodeError:
            failure = _unencodable(fields)
        raise failure


def _from_json(value: bytes) -> Document:
    get = parse_object(value).get
    title, text, lang = get("title"), get("text"), get("lang")
    if title is None:
        title = ""
    if text is None:
        text = ""
    if lang is None:
        lang = ""
    if isinstance(title, str) and isinstance(text, str) and isinstance(lang, str):
        return Document(checked_url(get("url")), title, text, lang)
    wrong = {"title": title, "text": text, "lang": lang}
    name = next(name for name, field in wrong.items() if not isinstance(field, str))
    raise wrong_type(name, wrong[name], "a string")


def decode_document(
    value: bytes,
    content_type: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    read_json: Callable[[bytes], Document] = _from_json,
) -> Document:
    """Decode the value of one record of the input topic.

    Args:
        value: JSON or protobuf. Unknown fields are ignored; null title, text and lang mean empty.
        content_type: The record's header of that name, None when it has none (JSON).
        max_bytes: Longer values are refused before they are parsed.
        read_json: Reads JSON that is not ours, such as ``FieldPaths.read``.

    Raises:
        DocumentError: for whatever is wrong with the bytes, and nothing else is ever raised for bytes.
    """
    _check_size(value, max_bytes)
    try:
        if content_type is None or media_type(content_type) == JSON:
            return read_json(value)
        return _from_protobuf(value)
    except DecodeError as error:
        failure = DocumentError(error.reason, error.detail)
    raise failure


def decode_documents(value: bytes, max_bytes: int = DEFAULT_MAX_BYTES, max_documents: int = 1000) -> list[Document]:
    """Decode a ``clf.v1.ClassifyBatchRequest``.

    Args:
        value: The message.
        max_bytes: Longer values are refused before they are parsed ...
        max_documents: ... and longer lists before their documents are read.

    Raises:
        DocumentError: for whatever is wrong with the bytes; the detail names the document by its index.
    """
    _check_size(value, max_bytes)
    try:
        return _from_batch(parse_message(classifier_pb2.ClassifyBatchRequest, value), max_documents)
    except DecodeError as error:
        failure = DocumentError(error.reason, error.detail)
    raise failure


def encode_documents(documents: Iterable[Document]) -> bytes:
    """Encode a ``clf.v1.ClassifyBatchRequest``.

    Raises:
        DocumentError: not_utf8, a field holds a lone surrogate.
    """
    batch = classifier_pb2.ClassifyBatchRequest()
    for document in documents:
        batch.documents.append(document.to_message())
    return batch.SerializeToString()


def _check_size(value: bytes, max_bytes: int) -> None:
    if len(value) > max_bytes:
        detail = f"the value has {len(value)} bytes, the limit is {max_bytes}"
        raise DocumentError(DecodeReason.TOO_LARGE, detail)


def _from_protobuf(value: bytes) -> Document:
    return _from_message(parse_message(classifier_pb2.Document, value))


def _from_message(message: classifier_pb2.Document) -> Document:
    return Document(checked_url(message.url), message.title, message.text, message.lang)


def _from_batch(message: classifier_pb2.ClassifyBatchRequest, max_documents: int) -> list[Document]:
    if len(message.documents) > max_documents:
        detail = f"the batch has {len(message.documents)} documents, the limit is {max_documents}"
        raise DecodeError(DecodeReason.TOO_LARGE, detail)
    documents: list[Document] = []
    try:
        documents.extend(map(_from_message, message.documents))
    except DecodeError as error:
        raise DecodeError(error.reason, f"document {len(documents)}: {error.detail}") from None
    return documents


def checked_url(url: object) -> str:
    """Return a url that is a string, not blank, and of at most ``MAX_URL_CHARS`` characters.

    Raises:
        DecodeError: url_missing, wrong_type or too_large.
    """
    if not isinstance(url, str):
        if url is None:
            raise DecodeError(DecodeReason.URL_MISSING, 'the field "url" is missing or null')
        raise wrong_type("url", url, "a string")
    if len(url) > MAX_URL_CHARS:
        detail = f'the field "url" has {len(url)} characters, the limit is {MAX_URL_CHARS}'
        raise DecodeError(DecodeReason.TOO_LARGE, detail)
    if not url or url.isspace():
        raise DecodeError(DecodeReason.URL_MISSING, 'the field "url" is empty')
    return url


def _unencodable(fields: dict[str, str]) -> DocumentError:
    for name, text in fields.items():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            detail = f'the field "{name}" has a lone surrogate at character {error.start}, which UTF-8 cannot hold'
            return DocumentError(DecodeReason.NOT_UTF8, detail)
    return DocumentError(DecodeReason.WRONG_TYPE, "a field is not a string")
