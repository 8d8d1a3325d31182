"""Language codes."""

import itertools
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import language
from schemas.language import MAX_CODE_CHARS, UNDETERMINED, normalise_language


@pytest.mark.parametrize("code", ["en", "eng", "EN", "Eng", "en-GB", "en_US", "en-Latn-US", " en ", "en_US.UTF-8"])
def test_all_spellings_of_english_are_en(code: str) -> None:
    """Every way crawlers write English gives one code."""
    assert normalise_language(code) == "en"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ger", "de"),
        ("deu", "de"),
        ("fre", "fr"),
        ("fra", "fr"),
        ("arm", "hy"),
        ("hye", "hy"),
        ("amh", "am"),
        ("spa", "es"),
        ("iw", "he"),
        ("zh-Hans-CN", "zh"),
        ("ckb", "ckb"),
        ("cmn", "cmn"),
    ],
)
def test_iso_codes_shorten_where_a_short_one_exists(code: str, expected: str) -> None:
    """639-2 (both kinds) and 639-3 become 639-1; what has no two-letter code stays."""
    assert normalise_language(code) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("eng,deu", "en"),
        ("de, en", "de"),
        (",,fr", "fr"),
        ("??,spa", "es"),
        ("und,eng", "en"),
        ("mul,hye", "hy"),
        ("xx,en", "en"),
        ("de-AT;q=0.9,en", "de"),
    ],
)
def test_first_usable_entry_of_a_list_counts(code: str, expected: str) -> None:
    """Comma lists, as CLD and Accept-Language write them, give their first real language."""
    assert normalise_language(code) == expected


@pytest.mark.parametrize(
    "code",
    [
        None,
        "",
        " ",
        ",",
        "und",
        "mul",
        "zxx",
        "mis",
        "xx",
        "english",
        "e",
        "en1",
        "123",
        "\x00",
        "\ud800",
        "\uff45\uff4e",
        "x-a",
    ],
)
def test_what_is_no_language_is_undetermined(code: str | None) -> None:
    """Missing, special and invented codes are "und"."""
    assert normalise_language(code) == UNDETERMINED


def test_other_types_are_undetermined() -> None:
    """A caller that ignores the types still gets an answer."""
    assert normalise_language(["en"]) == UNDETERMINED  # type: ignore[arg-type]  # the misuse is the test


def test_every_two_and_three_letter_code_is_stable() -> None:
    """No code raises, and normalising twice changes nothing."""
    letters = string.ascii_lowercase
    codes = ["".join(code) for size in (2, 3) for code in itertools.product(letters, repeat=size)]
    results = {normalise_language(code) for code in codes}
    assert {normalise_language(result) for result in results} == results
    assert {"en", "de", "hy", UNDETERMINED} < results


def test_only_whole_entries_of_a_very_long_list_count() -> None:
    """The list is cut at a comma, so that no cut-off word is mistaken for a code."""
    assert normalise_language("en," * 1_000_000) == "en"
    filler = "?" * (MAX_CODE_CHARS - 3)
    assert normalise_language(f"{filler},english") == UNDETERMINED
    assert normalise_language("e" * 10_000_000) == UNDETERMINED


def test_cache_is_bounded() -> None:
    """Hostile codes cannot fill the memory."""
    for number in range(10_000):
        normalise_language(f"?{number}")
    info = language._first_usable.cache_info()
    assert info.maxsize is not None
    assert info.currsize <= info.maxsize


@settings(deadline=None)
@given(st.text(st.characters()))
def test_any_text_gives_a_code(code: str) -> None:
    """Whatever the text, the result is 2 or 3 lower-case letters."""
    result = normalise_language(code)
    assert result.isascii()
    assert result.islower()
    assert len(result) in {2, 3}
