"""Properties over arbitrary values: round trips are exact, and decoders raise their own error only."""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.classification import (
    Classification,
    ClassificationError,
    ClassProbability,
    ModelStamp,
    Source,
    Status,
    decode_classification,
)
from schemas.dead_letter import HEADER_NAMES, DeadLetter, DeadLetterError, Headers, Reason, Stage
from schemas.document import Document, DocumentError, decode_document
from schemas.headers import PROTOBUF

# Wall time per example says nothing on a shared machine.
unhurried = settings(deadline=None)

TEXTS = st.text()
URLS = st.text(min_size=1).filter(lambda url: not url.isspace())
CONTENT_TYPES = st.sampled_from([None, PROTOBUF])
DOCUMENTS = st.builds(Document, url=URLS, title=TEXTS, text=TEXTS, lang=TEXTS)
SOURCES = st.builds(Source, TEXTS, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))
MODELS = st.builds(ModelStamp, TEXTS, TEXTS, TEXTS)
CLASSES = st.lists(st.builds(ClassProbability, TEXTS, st.floats(0, 1))).map(tuple)
CLASSIFIED = st.builds(
    Classification,
    url=URLS,
    lang=TEXTS,
    status=st.just(Status.CLASSIFIED),
    labels=st.lists(TEXTS).map(tuple),
    classes=CLASSES,
    model=MODELS,
    source=st.none() | SOURCES,
)
HEADERS = st.lists(st.tuples(TEXTS | st.sampled_from(HEADER_NAMES), st.none() | st.binary())).map(tuple)
DEAD_LETTERS = st.builds(
    DeadLetter,
    key=st.none() | st.binary(),
    value=st.none() | st.binary() | TEXTS.map(str.encode),
    headers=HEADERS,
    stage=st.sampled_from(Stage),
    reason=st.sampled_from(Reason),
    detail=TEXTS,
    source=SOURCES,
    attempts=st.integers(1, 2**31 - 1),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
# Enough structure to get past the first check, arbitrary below it.
JSON_OBJECTS = st.dictionaries(
    st.sampled_from(["url", "title", "text", "lang", "status", "labels", "classes", "model", "source"]),
    JSON_VALUES | st.sampled_from(list(Status)),
)
ANY_BYTES = st.one_of(
    st.binary(),
    JSON_VALUES.map(orjson.dumps),
    JSON_OBJECTS.map(orjson.dumps),
    DOCUMENTS.map(Document.to_protobuf),
    CLASSIFIED.map(Classification.to_protobuf),
)


@st.composite
def damaged_bytes(draw: st.DrawFn) -> bytes:
    """Draw bytes that are nearly right: valid ones, cut or with a byte replaced."""
    value = bytearray(draw(ANY_BYTES))
    if value and draw(st.booleans()):
        value[draw(st.integers(0, len(value) - 1))] = draw(st.integers(0, 255))
    return bytes(value[: draw(st.integers(0, len(value)))] if draw(st.booleans()) else value)


@unhurried
@given(DOCUMENTS)
def test_documents_round_trip(document: Document) -> None:
    """Any text survives both encodings."""
    assert decode_document(document.to_json()) == document
    assert decode_document(document.to_protobuf(), PROTOBUF) == document


@unhurried
@given(CLASSIFIED)
def test_classifications_round_trip(result: Classification) -> None:
    """Any names and any probabilities survive both encodings, to the last bit."""
    assert decode_classification(result.to_json()) == result
    assert decode_classification(result.to_protobuf(), PROTOBUF) == result


@unhurried
@given(DEAD_LETTERS)
def test_dead_letters_round_trip(letter: DeadLetter) -> None:
    """Any record, with any headers of its own, comes back from the topic and from JSON."""
    assert DeadLetter.from_record(letter.key, letter.value, letter.record_headers()) == letter
    assert DeadLetter.from_json(letter.to_json()) == letter


@unhurried
@given(damaged_bytes(), CONTENT_TYPES | TEXTS, st.integers(0, 100))
def test_decode_document_raises_only_its_error(value: bytes, content_type: str | None, max_bytes: int) -> None:
    """Any bytes under any content type: a document with a url, or a DocumentError."""
    try:
        document = decode_document(value, content_type, max_bytes)
    except DocumentError as error:
        assert error.detail  # noqa: PT017  # both outcomes are right; raises() would demand one
    else:
        assert document.url.strip()
        assert isinstance(document.content, str)
        assert document.language


@unhurried
@given(damaged_bytes(), CONTENT_TYPES | TEXTS)
def test_decode_classification_raises_only_its_error(value: bytes, content_type: str | None) -> None:
    """Whatever decodes can be encoded again."""
    try:
        result = decode_classification(value, content_type)
    except ClassificationError as error:
        assert error.detail  # noqa: PT017  # as above
    else:
        assert decode_classification(result.to_json()) == result


@unhurried
@given(damaged_bytes())
def test_dead_letter_from_json_raises_only_its_error(value: bytes) -> None:
    """Any bytes: a dead letter or a DeadLetterError."""
    try:
        letter = DeadLetter.from_json(value)
    except DeadLetterError as error:
        assert error.detail  # noqa: PT017  # as above
    else:
        assert DeadLetter.from_json(letter.to_json()) == letter


@unhurried
@given(HEADERS)
def test_dead_letter_from_record_raises_only_its_error(headers: Headers) -> None:
    """Any headers: a dead letter that can be written again, or a DeadLetterError."""
    try:
        letter = DeadLetter.from_record(None, None, headers)
    except DeadLetterError as error:
        assert "header" in error.detail or "none of" in error.detail  # noqa: PT017  # as above
    else:
        assert DeadLetter.from_record(None, None, letter.record_headers()) == letter
