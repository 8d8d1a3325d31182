"""Bytes that were once published decode to the same values for ever.

`golden/v1` holds one file per message. Files are added, never edited or removed: write the new file, add its value
below and its line to SHA256SUMS (`sha256sum`, sorted by path). A test that fails here has found a breaking change.
"""

import base64
import hashlib
from pathlib import Path

import orjson
import pytest

from schemas.classification import (
    Classification,
    ClassProbability,
    ModelStamp,
    Source,
    Status,
    decode_classification,
)
from schemas.dead_letter import DeadLetter, Headers, Reason, Stage
from schemas.document import Document, decode_document
from schemas.headers import PROTOBUF

GOLDEN = Path(__file__).parent / "golden" / "v1"
PLAIN = Document("https://news.example/2026/rain?page=1", "Rain", "It rained all day.\nThen it stopped.", "eng")
UNICODE = Document(
    url="https://nachrichten.example/\u00fcber/\u0437\u0430\u043f\u0438\u0441\u044c/\x00",
    title='\u201eGr\u00f6\u00dfe\u201c "quoted" \\ \t\x7f',
    text="line\u2028separator \u1230\u120b\u121d \u0532\u0561\u0580\u0587 \u65e5\u672c\u8a9e \U0001f327\ufe0f e\u0301",
    lang="de-AT,en",
)
DOCUMENTS = {
    "plain": PLAIN,
    "unicode": UNICODE,
    "only_url": Document("u"),
    "unknown_fields": Document("https://news.example/1", "", "Caf\u00e9 \U0001f327", ""),
}
CLASSIFIED = Classification(
    url=PLAIN.url,
    lang="en",
    status=Status.CLASSIFIED,
    labels=("health", "sport"),
    classes=(
        ClassProbability("health", 0.912345),
        ClassProbability("sport", 0.5),
        ClassProbability("culture", 1e-06),
        ClassProbability("business", 0.0),
    ),
    model=ModelStamp("en", "20261122T045600Z", "0123456789abcdef"),
    source=Source("documents", 2147483647, 9223372036854775807),
)
CLASSIFICATIONS = {
    "classified": CLASSIFIED,
    "no_label": Classification(
        url=UNICODE.url,
        lang="de",
        status=Status.CLASSIFIED,
        labels=(),
        classes=(ClassProbability("Kultur & Größe", 0.25),),
        model=ModelStamp("de", "v1", "fedcba9876543210"),
        source=None,
    ),
    "unsupported_language": Classification(
        PLAIN.url, "ckb", Status.UNSUPPORTED_LANGUAGE, (), (), None, Source("documents", 0, 0)
    ),
    "empty": Classification(PLAIN.url, "en", Status.EMPTY, (), (), CLASSIFIED.model, CLASSIFIED.source),
    "unknown_fields": Classification("u", "und", Status.UNSUPPORTED_LANGUAGE, (), (), None, Source("t", 1, 2)),
}
DEAD_LETTERS = {
    "text": DeadLetter(
        key=b"https://news.example/1",
        value=b'{"title": "Rain"}',
        headers=(("content-type", b"application/json"),),
        stage=Stage.DECODE,
        reason=Reason.URL_MISSING,
        detail='the field "url" is missing or null',
        source=Source("documents", 0, 17),
    ),
    "binary": DeadLetter(
        key=None,
        value=b"\xff\x00\x80",
        headers=(("trace", b"1"), ("trace", b"\xfe"), ("null", None), ("clf-reason", b"look-alike")),
        stage=Stage.SCORE,
        reason=Reason.SCORE_FAILED,
        detail="",
        source=Source("a.b_c-d", 2147483647, 9223372036854775807),
        attempts=3,
    ),
}
# Written by hand, as a producer of another version might: no encoder of ours gives these bytes back.
HAND_WRITTEN = {"unknown_fields"}


def _read(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def _headers(name: str) -> Headers:
    pairs = orjson.loads(_read(name))
    return tuple((header, None if text is None else base64.b64decode(text)) for header, text in pairs)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_decode(name: str) -> None:
    """Both encodings give the value."""
    assert decode_document(_read(f"documents/{name}.json")) == DOCUMENTS[name]
    assert decode_document(_read(f"documents/{name}.pb"), PROTOBUF) == DOCUMENTS[name]


@pytest.mark.parametrize("name", CLASSIFICATIONS)
def test_classifications_decode(name: str) -> None:
    """Both encodings give the value."""
    assert decode_classification(_read(f"classifications/{name}.json")) == CLASSIFICATIONS[name]
    assert decode_classification(_read(f"classifications/{name}.pb"), PROTOBUF) == CLASSIFICATIONS[name]


@pytest.mark.parametrize("name", DEAD_LETTERS)
def test_dead_letters_decode(name: str) -> None:
    """The record of the topic and the JSON form give the value."""
    letter = DEAD_LETTERS[name]
    assert DeadLetter.from_json(_read(f"dead_letters/{name}.json")) == letter
    assert DeadLetter.from_record(letter.key, letter.value, _headers(f"dead_letters/{name}.headers.json")) == letter


def test_json_is_still_written_the_same() -> None:
    """Consumers that compare or hash the bytes see no change either."""
    values: dict[str, Document | Classification | DeadLetter] = {
        **{f"documents/{name}": value for name, value in DOCUMENTS.items()},
        **{f"classifications/{name}": value for name, value in CLASSIFICATIONS.items()},
        **{f"dead_letters/{name}": value for name, value in DEAD_LETTERS.items()},
    }
    for name, value in values.items():
        if Path(name).name not in HAND_WRITTEN:
            assert value.to_json() == _read(f"{name}.json"), name


@pytest.mark.parametrize("name", DEAD_LETTERS)
def test_dead_letter_headers_are_still_written_the_same(name: str) -> None:
    """Tools outside this project read these headers."""
    assert DEAD_LETTERS[name].record_headers() == _headers(f"dead_letters/{name}.headers.json")


def test_no_golden_file_was_edited_added_unlisted_or_lost() -> None:
    """SHA256SUMS lists exactly the files there are, each with its bytes."""
    lines = _read("SHA256SUMS").decode().splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    files = sorted(path for path in GOLDEN.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    digests = {path.relative_to(GOLDEN).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert digests == listed


def test_every_golden_file_is_read() -> None:
    """A file that no test decodes proves nothing."""
    expected = {
        *(f"documents/{name}.{kind}" for name in DOCUMENTS for kind in ("json", "pb")),
        *(f"classifications/{name}.{kind}" for name in CLASSIFICATIONS for kind in ("json", "pb")),
        *(f"dead_letters/{name}.{kind}" for name in DEAD_LETTERS for kind in ("json", "headers.json")),
        "SHA256SUMS",
    }
    assert {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*") if path.is_file()} == expected
