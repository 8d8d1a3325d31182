"""Dead letters: the record untouched, our five headers behind it, and the way back."""

from dataclasses import replace

import orjson
import pytest

from schemas.classification import Source
from schemas.dead_letter import HEADER_NAMES, MAX_DETAIL_CHARS, DeadLetter, DeadLetterError, Reason, Stage
from schemas.document import DecodeReason

LETTER = DeadLetter(
    key=b"https://news.example/1",
    value=b"\xff{",
    headers=(("trace", b"1"), ("trace", b"2"), ("empty", b""), ("null", None), ("raw", b"\x80")),
    stage=Stage.DECODE,
    reason=Reason.NOT_UTF8,
    detail="the value is not UTF-8: byte 0 is invalid",
    source=Source("documents", 3, 17),
    attempts=2,
)


def _with(name: str, value: bytes | None) -> tuple[tuple[str, bytes | None], ...]:
    return tuple((key, value if key == name else text) for key, text in LETTER.record_headers())


def test_our_headers_follow_the_original_ones() -> None:
    """The originals come first and unchanged, ours in a fixed order."""
    assert LETTER.record_headers() == (
        *LETTER.headers,
        ("clf-stage", b"decode"),
        ("clf-reason", b"not_utf8"),
        ("clf-detail", b"the value is not UTF-8: byte 0 is invalid"),
        ("clf-source", b"documents/3/17"),
        ("clf-attempts", b"2"),
    )


@pytest.mark.parametrize("letter", [LETTER, replace(LETTER, key=None, value=None, headers=(), detail="")])
def test_round_trips(letter: DeadLetter) -> None:
    """A record of the topic and the JSON form both give the value back."""
    assert DeadLetter.from_record(letter.key, letter.value, letter.record_headers()) == letter
    assert DeadLetter.from_json(letter.to_json()) == letter


def test_look_alikes_of_the_document_stay_with_it() -> None:
    """A document that carries our header names (a dead letter of a dead letter, or an attack) changes nothing."""
    forged = replace(LETTER, headers=(("clf-reason", b"\xff"), *LETTER.record_headers(), ("clf-stage", None)))
    assert DeadLetter.from_record(forged.key, forged.value, forged.record_headers()) == forged


def test_headers_added_behind_ours_count_as_original() -> None:
    """A mirror may append its own."""
    letter = DeadLetter.from_record(None, None, (*LETTER.record_headers(), ("mirror", b"m")))
    assert letter.headers == (*LETTER.headers, ("mirror", b"m"))


@pytest.mark.parametrize("name", HEADER_NAMES)
def test_each_header_is_required(name: str) -> None:
    """The error names the header that is missing."""
    headers = tuple(pair for pair in LETTER.record_headers() if pair[0] != name)
    with pytest.raises(DeadLetterError, match=f"no header {name}"):
        DeadLetter.from_record(None, None, headers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clf-stage", None),
        ("clf-stage", b"produce"),
        ("clf-reason", b"because"),
        ("clf-detail", b"\xff"),
        ("clf-source", b"documents/3"),
        ("clf-source", b"documents/3/-1"),
        ("clf-source", b"documents/3/9223372036854775808"),
        ("clf-source", b"documents/2147483648/1"),
        ("clf-source", "documents/3/\u0663".encode()),
        ("clf-attempts", b"0"),
        ("clf-attempts", b"many"),
        ("clf-attempts", b"9" * 5_000),
    ],
)
def test_malformed_headers_are_refused(name: str, value: bytes | None) -> None:
    """Whatever stands there, the error is ours."""
    with pytest.raises(DeadLetterError):
        DeadLetter.from_record(None, None, _with(name, value))


def test_reason_contains_every_decode_reason() -> None:
    """A decode error converts to the reason of its dead letter."""
    assert {Reason(reason) for reason in DecodeReason} == set(Reason) - {Reason.SCORE_FAILED, Reason.KILLED_WORKER}


def test_a_long_or_odd_detail_cannot_block_the_dead_letter() -> None:
    """Text of a foreign error is cut and cleaned, so the record can always be produced and shown."""
    letter = replace(LETTER, detail="\ud800" + "x" * 100_000)
    headers = dict(letter.record_headers())
    assert headers["clf-detail"] == b"?" + b"x" * (MAX_DETAIL_CHARS - 1)
    assert DeadLetter.from_json(letter.to_json()).detail.startswith("?x")


def test_json_shows_text_as_text_and_bytes_as_base64() -> None:
    """A person can read what is readable."""
    fields = orjson.loads(LETTER.to_json())
    assert list(fields) == ["key", "value", "headers", "stage", "reason", "detail", "source", "attempts"]
    assert fields["key"] == "https://news.example/1"
    assert fields["value"] == {"base64": "/3s="}
    assert [header["value"] for header in fields["headers"]] == ["1", "2", "", None, {"base64": "gA=="}]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", 1),
        ("key", {}),
        ("value", {"base64": 1}),
        ("value", {"base64": "abc"}),
        ("value", {"base64": "ab==\n"}),
        ("value", {"base64": "ab\u00e9="}),
        ("headers", {}),
        ("headers", ["a"]),
        ("headers", [{"name": "a"}]),
        ("headers", [{"name": 1, "value": None}]),
        ("stage", "produce"),
        ("reason", None),
        ("detail", 1),
        ("source", None),
        ("source", {"topic": "t"}),
        ("attempts", 0),
        ("attempts", True),
        ("attempts", "1"),
    ],
)
def test_bad_json_is_refused(field: str, value: object) -> None:
    """Every field is checked on the way in."""
    fields = orjson.loads(LETTER.to_json()) | {field: value}
    with pytest.raises(DeadLetterError):
        DeadLetter.from_json(orjson.dumps(fields))
    del fields[field]
    with pytest.raises(DeadLetterError, match=r"missing|an object"):
        DeadLetter.from_json(orjson.dumps(fields))
