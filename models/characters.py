"""What Python says of every character, as one array: the native scorer asks it instead of Unicode data of its own.

A bundle carries the answers of the Python that trained it, so a scorer reads texts as training did, whatever Unicode
version it was built with. The array is uint32, little-endian on disk:

| Numbers | Hold |
|---|---|
| 3 | layout version (1), number of pages P, number of special records M |
| 4,352 | the page of every 256 code points |
| P * 256 | pages of entries, see the constants below; equal pages are stored once |
| M * 5 | code point, how many characters its `str.lower()` has (0 to 3), and these |
"""

import re
import unicodedata
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

LAYOUT_VERSION: Final = 1
UNICODE_VERSION: Final = unicodedata.unidata_version

CODE_POINTS: Final = 0x110000
PAGE_SIZE: Final = 256
PAGE_NUMBERS: Final = CODE_POINTS // PAGE_SIZE
HEADER_SIZE: Final = 3
RECORD_SIZE: Final = 5
MAX_LOWERED: Final = 3

# The bits of an entry. The lowest 21 are what to add to the code point, modulo 2**21, to get its `str.lower()`.
DELTA_MASK: Final = (1 << 21) - 1
WORD_BIT: Final = 1 << 21  # `\w` of `re` matches it
SPACE_BIT: Final = 1 << 22  # `\s` of `re` matches it
CASED_BIT: Final = 1 << 23  # cased and not case-ignorable: a final sigma may follow
IGNORABLE_BIT: Final = 1 << 24  # case-ignorable: the search for a cased neighbour of a sigma skips it
SPECIAL_BIT: Final = 1 << 25  # `str.lower()` is not one character: the delta is 0, a record has the answer

_CAPITAL_SIGMA: Final = "\N{GREEK CAPITAL LETTER SIGMA}"
_FINAL_SIGMA: Final = "\N{GREEK SMALL LETTER FINAL SIGMA}"


@cache
def character_table() -> NDArray[np.uint32]:
    """The table of this Python, read-only; the first call takes about a second."""
    characters = list(map(chr, range(CODE_POINTS)))
    lowered = list(map(str.lower, characters))
    lengths = np.fromiter(map(len, lowered), dtype=np.int64, count=CODE_POINTS)
    special = lengths != 1
    cased = _makes_final("\n", characters, lengths)
    ignorable = _makes_final("A", characters, lengths) & ~cased

    codes = np.arange(CODE_POINTS, dtype=np.int64)
    ends = np.cumsum(lengths)
    deltas = _codes("".join(lowered))[ends - 1] - codes
    entries = np.where(special, 0, deltas & DELTA_MASK).astype(np.uint32)
    for bit, holds in (
        (WORD_BIT, _matches(r"\w", characters)),
        (SPACE_BIT, _matches(r"\s", characters)),
        (CASED_BIT, cased),
        (IGNORABLE_BIT, ignorable),
        (SPECIAL_BIT, special),
    ):
        entries |= np.where(holds, np.uint32(bit), np.uint32(0))
    table = _pack(entries, [_record(code, lowered[code]) for code in np.flatnonzero(special).tolist()])
    table.flags.writeable = False
    return table


def table_problem(table: NDArray[np.uint32]) -> str | None:
    """Why an array cannot be a character table, as the end of a sentence; None when its structure is sound.

    Sound means that no look-up leads out of the array: whether the answers are Python's is not asked.
    """
    if len(table) < HEADER_SIZE + PAGE_NUMBERS:
        return f"holds {len(table)} numbers, too few for a character table"
    version, pages, records = map(int, table[:HEADER_SIZE])
    if version != LAYOUT_VERSION:
        return f"has layout version {version}, but this program reads version {LAYOUT_VERSION}"
    expected = HEADER_SIZE + PAGE_NUMBERS + pages * PAGE_SIZE + records * RECORD_SIZE
    if len(table) != expected:
        return f"holds {len(table)} numbers where {expected} are declared"
    if int(table[HEADER_SIZE : HEADER_SIZE + PAGE_NUMBERS].max()) >= pages:
        return "names a page that it does not hold"
    rows = table[expected - records * RECORD_SIZE :].reshape(records, RECORD_SIZE)
    return _answers_problem(table, pages, rows)


def _answers_problem(table: NDArray[np.uint32], pages: int, rows: NDArray[np.uint32]) -> str | None:
    special, reachable = _read_pages(table, pages)
    if not reachable or (rows[:, 1] > MAX_LOWERED).any() or (rows[:, 2:] >= CODE_POINTS).any():
        return "lowers a character to one that does not exist"
    if not np.array_equal(rows[:, 0], special):
        return "does not hold exactly the records that its entries announce, in their order"
    return None


def _read_pages(table: NDArray[np.uint32], pages: int) -> tuple[NDArray[np.int64], bool]:
    """The code points whose entry announces a record, and whether all others are lowered to a code point."""
    start = HEADER_SIZE + PAGE_NUMBERS
    entries = table[start : start + pages * PAGE_SIZE].reshape(pages, PAGE_SIZE)
    # Few pages lower anything: those of Greek, but not the hundreds of Chinese.
    interesting = np.bitwise_or.reduce(entries & (DELTA_MASK | SPECIAL_BIT), axis=1) > 0
    order = table[HEADER_SIZE:start]
    numbers = np.flatnonzero(interesting[order])
    found = entries[order[numbers]]
    codes = numbers[:, np.newaxis] * PAGE_SIZE + np.arange(PAGE_SIZE)
    lowered = (codes + (found & DELTA_MASK)) & DELTA_MASK
    special: NDArray[np.int64] = codes[np.not_equal(found & SPECIAL_BIT, 0)]
    return special, bool((lowered < CODE_POINTS).all())


def _matches(pattern: str, characters: list[str]) -> NDArray[np.bool_]:
    """Which characters an expression for one character matches."""
    holds = np.zeros(CODE_POINTS, dtype=np.bool_)
    holds[_codes("".join(re.findall(pattern, "".join(characters))))] = True
    return holds


def _makes_final(before: str, characters: list[str], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Before which characters, themselves after `before`, a capital sigma becomes a final one.

    CPython has no function that tells cased and case-ignorable characters, but lowers by them: a capital sigma is
    final when the nearest character before it that is not case-ignorable is cased, and the nearest after it is not.
    The line feed is neither. All characters are probed in one text, in which `lengths` tells where the sigmas are.
    """
    text = "".join([f"{before}{character}{_CAPITAL_SIGMA}\n" for character in characters])
    sigmas = np.cumsum(lengths + 3) - 2
    holds: NDArray[np.bool_] = _codes(text.lower())[sigmas] == ord(_FINAL_SIGMA)
    return holds


def _codes(text: str) -> NDArray[np.int64]:
    """The code points of a text; surrogates are code points like any other."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)


def _record(code: int, lowered: str) -> list[int]:
    return [code, len(lowered), *map(ord, lowered), *[0] * (MAX_LOWERED - len(lowered))]


def _pack(entries: NDArray[np.uint32], records: list[list[int]]) -> NDArray[np.uint32]:
    """The table of the entries of all code points: each different page once, in order of its first code point."""
    numbers: dict[bytes, int] = {}
    rows = entries.reshape(PAGE_NUMBERS, PAGE_SIZE)
    order = [numbers.setdefault(row.tobytes(), len(numbers)) for row in rows]
    pages = np.frombuffer(b"".join(numbers), dtype=np.uint32)
    header = np.array([LAYOUT_VERSION, len(numbers), len(records)], dtype=np.uint32)
    specials = np.array(records, dtype=np.uint32).reshape(-1)
    return np.concatenate([header, np.array(order, dtype=np.uint32), pages, specials])
