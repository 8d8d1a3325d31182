"""The character table against Python itself."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import characters
from models.characters import CODE_POINTS, HEADER_SIZE, PAGE_NUMBERS, PAGE_SIZE, character_table, table_problem

SIGMA, FINAL_SIGMA = "\u03a3", "\u03c2"
# Letters, marks that a sigma looks through, what is both or neither, and more sigmas.
CONTEXT = st.text(
    st.sampled_from(["a", "Z", "\u0345", "\u00ad", "'", ".", " ", "\u0130", "1", SIGMA]) | st.characters()
)

Array = np.ndarray[Any, np.dtype[np.int64]]


def _entries() -> Array:
    """The entry of every code point, looked up as the layout says."""
    table = character_table().astype(np.int64)
    pages = table[HEADER_SIZE : HEADER_SIZE + PAGE_NUMBERS]
    start = HEADER_SIZE + PAGE_NUMBERS
    return table[start : start + int(table[1]) * PAGE_SIZE].reshape(-1, PAGE_SIZE)[pages].reshape(-1)


def _records() -> dict[str, str]:
    table = character_table().tolist()
    rows = [table[end - 5 : end] for end in range(len(table), len(table) - 5 * table[2], -5)]
    return {chr(code): "".join(map(chr, lowered[:length])) for code, length, *lowered in rows}


def _having(bit: int) -> set[str]:
    return {chr(code) for code in np.flatnonzero(_entries() & bit).tolist()}


EVERY = [chr(code) for code in range(CODE_POINTS)]


def test_words_and_spaces() -> None:
    """Exactly the characters that `re` takes for word characters and for spaces are marked so."""
    assert _having(characters.WORD_BIT) == {character for character in EVERY if re.match(r"\w", character)}
    assert _having(characters.SPACE_BIT) == {character for character in EVERY if character.isspace()}
    assert _having(characters.SPACE_BIT) == {character for character in EVERY if re.match(r"\s", character)}


def test_lower_case() -> None:
    """Every character is lowered as Python lowers it: by its delta, or by a record where that is not one character."""
    special = _having(characters.SPECIAL_BIT)
    records = _records()
    assert special == set(records) == {character for character in EVERY if len(character.lower()) != 1}
    lowered = (np.arange(CODE_POINTS) + (_entries() & characters.DELTA_MASK)) & characters.DELTA_MASK
    found = [records.get(c, chr(code)) for c, code in zip(EVERY, lowered.tolist(), strict=True)]
    assert found == [character.lower() for character in EVERY]
    assert all(_entries()[ord(character)] & characters.DELTA_MASK == 0 for character in special)


def test_final_sigma_after_every_character() -> None:
    """A sigma after a letter and any character, or after that character alone, becomes final as the classes say."""
    cased, ignorable = _having(characters.CASED_BIT), _having(characters.IGNORABLE_BIT)
    assert not cased & ignorable
    for character in EVERY:
        assert (character + SIGMA).lower().endswith(FINAL_SIGMA) == (character in cased)
        final = character in cased or character in ignorable
        assert ("a" + character + SIGMA).lower().endswith(FINAL_SIGMA) == final


@pytest.fixture(scope="module")
def classes() -> tuple[set[str], set[str]]:
    """The cased characters that are not ignorable, and the ignorable ones."""
    return _having(characters.CASED_BIT), _having(characters.IGNORABLE_BIT)


def _becomes_final(before: str, after: str, cased: set[str], ignorable: set[str]) -> bool:
    last = next((character for character in reversed(before) if character not in ignorable), "")
    following = next((character for character in after if character not in ignorable), "")
    return last in cased and following not in cased


@given(before=CONTEXT, after=CONTEXT)
def test_final_sigma_anywhere(classes: tuple[set[str], set[str]], before: str, after: str) -> None:
    """Python's rule, followed with the table's classes, gives Python's answer between any two texts."""
    text = before + SIGMA + after
    position = len("".join(character.lower() for character in before))
    assert (text.lower()[position] == FINAL_SIGMA) == _becomes_final(before, after, *classes)


def test_form() -> None:
    """The table is one read-only row of uint32, made once, small, sound, and of the declared length."""
    table = character_table()
    assert table is character_table()
    assert (table.dtype, table.ndim, table.flags.writeable) == (np.dtype(np.uint32), 1, False)
    assert table_problem(table) is None
    assert table[0] == 1
    assert len(table) == 3 + 4352 + 256 * int(table[1]) + 5 * int(table[2])
    assert table.nbytes < 256 * 1024


def test_equal_pages_are_stored_once() -> None:
    """No two pages of the table are equal."""
    table = character_table()
    pages = table[HEADER_SIZE + PAGE_NUMBERS :][: int(table[1]) * PAGE_SIZE].reshape(-1, PAGE_SIZE)
    assert len(np.unique(pages, axis=0)) == len(pages)
