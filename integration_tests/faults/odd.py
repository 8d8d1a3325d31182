"""Records that no crawler should send: what each is, and how it must end."""

from typing import NamedTuple

import orjson

from schemas.dead_letter import Reason
from schemas.document import DEFAULT_MAX_BYTES, MAX_URL_CHARS

MAX_RECORD_BYTES = DEFAULT_MAX_BYTES + 2**20  # what the topic must take for all of them
_ABSURD = (
    "\0\x01\x7f\x85\u00ad"  # what no page should hold
    "\ufdd0\ufffe\uffff\U0010ffff\ue000"  # noncharacters, private use
    "\u202e\u2066mirrored\u2069\u202c\ufeff\u200b\u2028\u2029"  # directions, marks, separators
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f3f4\U000e0067\U000e007f"  # families, tags
    "\u0130\u0131\ufb03\u1e9e\u03c2\u1f88\ufdfa"  # letters that grow or change in other cases
    "\u1100\u1161\u11a8\u0e33" + "e" + "\u0301" * 2000  # one letter, two thousand accents
)


class Odd(NamedTuple):
    """One of them. `reason` is that of its dead letter; None for what is a document, however odd."""

    value: bytes
    reason: Reason | None


def _nested(depth: int) -> bytes:
    return b'{"url": "u", "links": ' + b"[" * depth + b"]" * depth + b"}"


# No documents: bad UTF-8, no JSON, wrong types, no url, nested too deep.
POISON = (
    Odd(b'{"url": "\xff"}', Reason.NOT_UTF8),
    Odd(b'{"url": "u", "text": "\xed\xa0\x80"}', Reason.NOT_UTF8),  # a surrogate, encoded
    Odd(b'{"url": "u", "text": "\xc0\xaf"}', Reason.NOT_UTF8),  # an overlong form
    Odd(b"{half", Reason.NOT_JSON),
    Odd(b"", Reason.NOT_JSON),
    Odd(b'{"url": "u", "text": "\\ud800"}', Reason.NOT_JSON),  # half a pair
    Odd(b"[" * 5000, Reason.NOT_JSON),
    Odd(_nested(5000), Reason.NOT_JSON),
    Odd(b"[1]", Reason.NOT_AN_OBJECT),
    Odd(b"null", Reason.NOT_AN_OBJECT),
    Odd(b'{"url": 7}', Reason.WRONG_TYPE),
    Odd(b'{"url": "u", "text": 7}', Reason.WRONG_TYPE),
    Odd(b'{"url": "u", "title": {}}', Reason.WRONG_TYPE),
    Odd(b'{"url": "u", "lang": ["en"]}', Reason.WRONG_TYPE),
    Odd(b'{"text": "no url"}', Reason.URL_MISSING),
    Odd(b'{"url": " ", "text": "a blank one"}', Reason.URL_MISSING),
    Odd(orjson.dumps({"url": "u" * (MAX_URL_CHARS + 1)}), Reason.TOO_LARGE),
)


def odd(url: str, number: int) -> Odd:
    """The `number`-th odd record, in the place of a document of that url: each kind in turn, and then a giant."""
    small = [*POISON, *_odd_documents(url)]
    turn, place = divmod(number, len(small) + 1)
    return small[place] if place < len(small) else _giant(url, too_large=turn % 2 == 1)


def _odd_documents(url: str) -> list[Odd]:
    """Documents all the same, which must be classified."""
    pair = orjson.dumps({"url": url, "lang": "en"})[:-1] + b', "text": "\\ud83d\\ude00 \\u0000 goal"}'
    return [
        Odd(orjson.dumps({"url": url, "title": _ABSURD, "text": f"{_ABSURD} match", "lang": "en"}), None),
        Odd(orjson.dumps({"url": url, "text": _ABSURD, "lang": _ABSURD}), None),
        Odd(pair, None),
        Odd(_nested(500).replace(b'"u"', orjson.dumps(url)), None),
        Odd(orjson.dumps({"url": url, "title": None, "text": None, "lang": None}), None),
    ]


def _giant(url: str, *, too_large: bool) -> Odd:
    """One of 10 MB, a document still, or one above the limit."""
    sentence, size = "A late goal won the match. ", DEFAULT_MAX_BYTES if too_large else 10_000_000
    text = (sentence * (size // len(sentence) + 1))[:size]
    return Odd(orjson.dumps({"url": url, "text": text, "lang": "en"}), Reason.TOO_LARGE if too_large else None)
