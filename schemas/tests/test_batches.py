"""A few documents in one message, and their classifications: limits, and which one an error is about."""

import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import classifier_pb2
from schemas.classification import (
    Classification,
    ClassificationError,
    ModelStamp,
    Source,
    Status,
    decode_classifications,
    encode_classifications,
)
from schemas.decoding import DecodeReason
from schemas.document import (
    MAX_URL_CHARS,
    Document,
    DocumentError,
    decode_document,
    decode_documents,
    encode_documents,
)
from schemas.headers import PROTOBUF

# Wall time per example says nothing on a shared machine.
unhurried = settings(deadline=None)

MARK = "hunter2"
RAIN = Document("https://news.example/1", "Rain", "It rained\u2028all \U0001f327 day.", "eng")
BARE = Document("u")
STAMP = ModelStamp("en", "v1", "0123456789abcdef")
CLASSIFIED = Classification("u", "en", Status.CLASSIFIED, ("b", "a"), (("b", 0.75), ("a", 0.5)), STAMP, None)
UNSUPPORTED = Classification("v", "tlh", Status.UNSUPPORTED_LANGUAGE, (), (), None, Source("t", 1, 2))
EMPTY = Classification("w", "en", Status.EMPTY, (), (), STAMP, None)

TEXTS = st.text()
URLS = st.text(min_size=1).filter(lambda url: not url.isspace())
DOCUMENTS = st.lists(st.builds(Document, URLS, TEXTS, TEXTS, TEXTS), max_size=4)
RESULTS = st.lists(st.sampled_from([CLASSIFIED, UNSUPPORTED, EMPTY]), max_size=4)
# Messages of the right shape with wrong content, cut and damaged ones, and anything at all.
MESSAGES = st.one_of(
    st.binary(),
    DOCUMENTS.map(encode_documents),
    RESULTS.map(encode_classifications),
    st.lists(st.builds(Document, TEXTS, TEXTS, TEXTS, TEXTS), max_size=4).map(encode_documents),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw bytes that are nearly right: a byte replaced, or the end cut off."""
    value = bytearray(draw(MESSAGES))
    if value and draw(st.booleans()):
        value[draw(st.integers(0, len(value) - 1))] = draw(st.integers(0, 255))
    return bytes(value[: draw(st.integers(0, len(value)))] if draw(st.booleans()) else value)


def refusal(value: bytes, max_bytes: int = 1000, max_documents: int = 10) -> DocumentError:
    """The error that these bytes give."""
    with pytest.raises(DocumentError) as caught:
        decode_documents(value, max_bytes, max_documents)
    return caught.value


# --- documents -----------------------------------------------------------------------------------------------


def test_no_documents_are_a_batch() -> None:
    """An empty message is an empty batch: asking for nothing is no mistake."""
    assert encode_documents([]) == b""
    assert decode_documents(b"") == []


@unhurried
@given(DOCUMENTS)
def test_documents_round_trip(documents: list[Document]) -> None:
    """Any texts survive, in their order."""
    assert decode_documents(encode_documents(documents)) == documents


def test_a_document_of_a_batch_is_one_on_its_own() -> None:
    """The bytes of a document are the same alone and inside a batch: field 1, length-delimited."""
    alone = RAIN.to_protobuf()
    assert encode_documents([RAIN]) == b"\x0a" + bytes([len(alone)]) + alone


def test_generated_code_understands_it() -> None:
    """Callers that use nothing of ours send the same."""
    batch = classifier_pb2.ClassifyBatchRequest(documents=[RAIN.to_message(), BARE.to_message()])
    assert decode_documents(batch.SerializeToString()) == [RAIN, BARE]


def test_unknown_fields_are_ignored() -> None:
    """A newer batch still decodes: here with a field 15."""
    assert decode_documents(encode_documents([BARE]) + b"\x7a\x01x") == [BARE]


def test_as_many_bytes_as_allowed() -> None:
    """A value of just the limit passes; one byte more is refused before it is parsed, with both numbers."""
    value = encode_documents([RAIN, BARE])
    assert len(decode_documents(value, max_bytes=len(value))) == 2
    error = refusal(b"\xff" * (len(value) + 1), max_bytes=len(value))
    assert error.reason is DecodeReason.TOO_LARGE
    assert error.detail == f"the value has {len(value) + 1} bytes, the limit is {len(value)}"


def test_as_many_documents_as_allowed() -> None:
    """A list of just the limit passes; a longer one is refused before its documents are read, with both numbers."""
    assert len(decode_documents(encode_documents([BARE] * 3), max_documents=3)) == 3
    error = refusal(encode_documents([Document(""), BARE, BARE, BARE]), max_documents=3)
    assert error.reason is DecodeReason.TOO_LARGE
    assert error.detail == "the batch has 4 documents, the limit is 3"


@pytest.mark.parametrize("index", [0, 1, 4])
@pytest.mark.parametrize(
    ("bad", "reason", "detail"),
    [
        (Document(""), DecodeReason.URL_MISSING, 'the field "url" is empty'),
        (Document(" \t"), DecodeReason.URL_MISSING, 'the field "url" is empty'),
        (Document("u" * (MAX_URL_CHARS + 1)), DecodeReason.TOO_LARGE, 'the field "url" has 8193 characters'),
    ],
)
def test_the_bad_document_is_named(index: int, bad: Document, reason: DecodeReason, detail: str) -> None:
    """One bad document spoils the batch, and the error says which one it is, counted from 0, and what it lacks."""
    documents = [RAIN] * 5
    documents[index] = bad
    error = refusal(encode_documents(documents), max_bytes=100_000)
    assert error.reason is reason
    assert error.detail.startswith(f"document {index}: {detail}")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"\x0a\x05\x0a\x03u\xff\xfe", "a string is not UTF-8"),
        (b"\x0a\x04\x0a\x02\xc3", "it is truncated, or of another format"),
        (b"\x0a\x7f", "it is truncated, or of another format"),
        (b"{}", "it is truncated, or of another format"),
    ],
)
def test_what_is_no_message(value: bytes, why: str) -> None:
    """The sentence tells a text in a wrong encoding from bytes that are no such message at all."""
    error = refusal(value)
    assert error.reason is DecodeReason.NOT_PROTOBUF
    assert error.detail == f"the value is no clf.v1.ClassifyBatchRequest: {why}"


def test_one_document_with_a_text_in_a_wrong_encoding() -> None:
    """The sentence is the same for a document on its own, with its own name."""
    with pytest.raises(DocumentError, match=r"^the value is no clf\.v1\.Document: a string is not UTF-8$"):
        decode_document(b"\x0a\x01u\x1a\x02\xff\xfe", PROTOBUF)


def test_half_a_character_cannot_be_sent() -> None:
    """A lone surrogate is refused with the name of its field, never with the text around it."""
    with pytest.raises(DocumentError) as caught:
        encode_documents([RAIN, Document("u", text=f"{MARK} \ud800")])
    assert caught.value.reason is DecodeReason.NOT_UTF8
    assert caught.value.detail.startswith('the field "text" has a lone surrogate at character 8')
    assert MARK not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "value",
    [
        b"\x0a\x0b\x0a\x09hunter2\xff\xfe",
        b"\x0a\x20\x0a\x09hunter2",
        encode_documents([Document("u"), Document("", "hunter2", "hunter2", "hunter2")]),
        encode_documents([Document(MARK * 2000)]),
        MARK.encode(),
    ],
)
def test_errors_never_quote_content(value: bytes) -> None:
    """Neither the sentence nor the traceback nor a chained error carries a word of a document."""
    error = refusal(value, max_bytes=100_000)
    assert MARK not in error.detail
    assert MARK not in "".join(traceback.format_exception(error))
    assert (error.__context__, error.__cause__) == (None, None)


@unhurried
@given(damaged(), st.integers(0, 200), st.integers(0, 4))
def test_documents_raise_only_their_error(value: bytes, max_bytes: int, max_documents: int) -> None:
    """Any bytes: at most so many documents, each with a url, or a DocumentError."""
    try:
        documents = decode_documents(value, max_bytes, max_documents)
    except DocumentError as error:
        assert error.detail  # noqa: PT017 - both outcomes are right; raises() would demand one
    else:
        assert len(documents) <= max_documents
        assert all(document.url.strip() for document in documents)


# --- classifications -----------------------------------------------------------------------------------------


@unhurried
@given(RESULTS)
def test_classifications_round_trip(results: list[Classification]) -> None:
    """Results of every status survive, in their order."""
    assert decode_classifications(encode_classifications(results)) == results


def test_a_result_of_a_batch_is_one_on_its_own() -> None:
    """The bytes of a result are the same alone and inside a batch."""
    alone = CLASSIFIED.to_protobuf()
    assert encode_classifications([CLASSIFIED]) == b"\x0a" + bytes([len(alone)]) + alone


@pytest.mark.parametrize(
    "broken",
    [
        CLASSIFIED._replace(classes=(("a", float("nan")),)),
        CLASSIFIED._replace(model=None),
        EMPTY._replace(labels=("a",)),
        UNSUPPORTED._replace(model=STAMP),
        CLASSIFIED._replace(url=""),
    ],
)
def test_a_result_that_breaks_the_contract_is_not_sent(broken: Classification) -> None:
    """It fails the whole batch here, where the bug is, and not at its reader."""
    with pytest.raises(ClassificationError):
        encode_classifications([CLASSIFIED, broken])


@pytest.mark.parametrize(
    "message",
    [
        classifier_pb2.Classification(url="u"),
        classifier_pb2.Classification(url="u", status=99),  # type: ignore[arg-type]  # a number of a later version
        classifier_pb2.Classification(url="u", status=classifier_pb2.STATUS_CLASSIFIED),
        classifier_pb2.Classification(status=classifier_pb2.STATUS_UNSUPPORTED_LANGUAGE),
    ],
)
def test_an_answer_that_breaks_the_contract_is_not_read(message: classifier_pb2.Classification) -> None:
    """A reader need not check again what a decoded batch promises."""
    with pytest.raises(ClassificationError):
        decode_classifications(classifier_pb2.ClassifyBatchResponse(classifications=[message]).SerializeToString())


@unhurried
@given(damaged())
def test_classifications_raise_only_their_error(value: bytes) -> None:
    """Any bytes: results that can be sent again, or a ClassificationError."""
    try:
        results = decode_classifications(value)
    except ClassificationError as error:
        assert error.detail  # noqa: PT017 - as above
    else:
        assert decode_classifications(encode_classifications(results)) == results
