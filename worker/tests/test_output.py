"""What the tools write to a terminal is safe there, whatever it came from."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.commands.output import counted, printable, printable_bytes, terminal_json

ANYTHING = st.text(st.characters(codec=None))


@given(ANYTHING, st.none() | st.integers(1, 50))
def test_printable_text_is_printable_and_within_its_limit(text: str, limit: int | None) -> None:
    """Nothing that a terminal obeys remains, and the limit holds also where escapes make the text longer."""
    shown = printable(text, limit)
    assert shown.isprintable()
    assert limit is None or len(shown) <= limit


@given(st.binary(), st.none() | st.integers(1, 50))
def test_printable_bytes_are_printable(data: bytes, limit: int | None) -> None:
    """The same for bytes that may be no UTF-8."""
    shown = printable_bytes(data, limit)
    assert shown.isprintable()
    assert limit is None or len(shown) <= limit


@given(st.text(), st.integers(1, 50))
def test_what_fits_is_not_cut(text: str, limit: int) -> None:
    """The ellipsis says that something is missing, so it stands only there."""
    if len(printable(text)) <= limit:
        assert printable(text, limit) == printable(text)
        assert printable_bytes(text.encode(), limit) == printable(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Grüße 漢字 😀", "Grüße 漢字 😀"),
        ("a\x1b[31m\r\n", r"a\x1b[31m\r\n"),
        ("\u202egpj.exe\u200b", r"\u202egpj.exe\u200b"),
        ("\x9b\ud800", r"\x9b\ud800"),
    ],
)
def test_escapes(text: str, expected: str) -> None:
    """Letters of any script stay; controls, direction marks and lone surrogates become escapes."""
    assert printable(text) == expected


@given(st.text())
def test_terminal_json_means_the_same(text: str) -> None:
    """JSON for a terminal is printable and decodes to the same value."""
    line = json.dumps({"url": text}, ensure_ascii=False).encode()
    shown = terminal_json(line)
    assert shown.decode().isprintable()
    assert json.loads(shown) == {"url": text}


def test_counted() -> None:
    """One is one, everything else is several."""
    assert [counted(number, "line") for number in (0, 1, 2000)] == ["0 lines", "1 line", "2,000 lines"]
