"""The native scorer against scikit-learn on any text at all: every term counted, every decision, on both paths.

CLF_HYPOTHESIS_EXAMPLES=2000 looks longer for a difference than a run of all tests does.
"""

# ruff: noqa: RUF001 - letters that are taken for others are what is tested here

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from models.bundle import Bundle, BundleError, BundleProblem, VectorizerConfig
from models.characters import (
    DELTA_MASK,
    HEADER_SIZE,
    PAGE_NUMBERS,
    PAGE_SIZE,
    SPACE_BIT,
    WORD_BIT,
    character_table,
    table_problem,
)
from models.kernel_settings import reference_only
from models.reader import CHARACTERS_NAME
from models.scorer import Scorer, Scores
from models.tests.sources import Source

if TYPE_CHECKING:
    from models.tests.conftest import Tamper

Native = Callable[..., Scorer]

EXAMPLES: Final = int(os.environ.get("CLF_HYPOTHESIS_EXAMPLES", "20"))
MANY: Final = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
FEW: Final = settings(MANY, max_examples=max(2, EXAMPLES // 10))
pytestmark = [
    pytest.mark.timeout(120 + 2 * EXAMPLES),
    pytest.mark.filterwarnings("ignore:Upper case characters found in vocabulary"),  # those without a lower case
]

TOLERANCE: Final = 1e-5
MOST_TERMS: Final = 256
CLASSES: Final = 5
# What models/kernel/src/kernel.rs reads at a time.
PIECE: Final = 1 << 15
STOP_WORDS: Final = ("the", "ας", "museum", "x", "字")
PREFIXES: Final = r"(?u)\b(\w{2,6})\w*\b"
WORDS: Final = r"(?u)\b\w+\b"
RUNS: Final = r"\w+"
FIRST: Final = r"\b(\w{1,1})\w*\b"
LONG: Final = r"\b(\w{3,17})\w*\b"

# --- texts -------------------------------------------------------------------------------------------------------

SPACES: Final = " \t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\u200b\u2060\ufeff"
# Words whose codes are just as long as a key, or a block, or one byte more or less.
LONG_WORDS: Final = tuple(
    word
    for length in (15, 16, 17, 63, 64, 65)
    for word in ("q" * length, "é" * (length // 2) + "q" * (length % 2), "字" * (length // 3) + "q" * (length % 3))
)
FRAGMENTS: Final = (
    "the", "museum", "team", "Museum TEAM", "won the match", "don't", "doctors’", "a", "b", "a b c", "I", "x", "xyzzy",
    "café", "cafe\u0301", "CAFÉ", "straße", "STRASSE", "ẞ", "ﬁnal", "İstanbul", "DİYARBAKIR", "ı", "\u212a", "\u212b",
    "ΑΣ", "ΑΣ.", "Σ", "ΑΣ\u0301", "ΑΣ\u00adΑ", "ΑΣ'Α", "'Σ", "Α.Σ", "ας", "ασ", "ὈΔΥΣΣΕΎΣ", "ΌΣΟΣ_ΣΑΣ",
    "²", "½", "Ⅷ", "ⅷ", "٣", "٣٤", "1", "12", "a1", "_", "__", "a_b", "\x00", "a\x00b", "\x00\x00", "\x7f", "\x80",
    "字", "字字", "日本語", "ภาษาไทย", "हिन्दी", "العربية", "Հայերեն", "አማርኛ", "𝒜𝒷", "𐐀𐐨",
    "👩\u200d👩\u200d👧", "🇬🇷", "🙂",
    "\ud800", "\udfff", "\ud83d\ude42", "a\ud800b", "\U0010ffff", "\u0345", "\u0307", *LONG_WORDS,
)  # fmt: skip
TEXT: Final = st.lists(
    st.sampled_from(FRAGMENTS)
    | st.sampled_from(["", " ", " ", "  ", ".", "-"])
    | st.text(SPACES, max_size=3)
    | st.text("ΑαΣςσ.'\u0301\u00ad1A_ ", max_size=8)
    | st.text("İIiıßẞ\u212aﬁ\u0307Σ ", max_size=6)
    | st.text("²½Ⅷ٣1_a -", max_size=6)
    | st.text(st.characters(), max_size=6),
    max_size=40,
).map("".join)
TEXTS: Final = st.lists(TEXT, min_size=1, max_size=4)

SETTINGS: Final = {
    "words": VectorizerConfig(),
    "one-letter words": VectorizerConfig(token_pattern=WORDS),
    "one-letter pairs": VectorizerConfig(token_pattern=WORDS, ngram_range=(1, 2)),
    "pairs": VectorizerConfig(ngram_range=(1, 2)),
    "only pairs": VectorizerConfig(ngram_range=(2, 2)),
    "two and three": VectorizerConfig(ngram_range=(2, 3)),
    "up to four": VectorizerConfig(ngram_range=(1, 4), token_pattern=RUNS),
    "stop words": VectorizerConfig(ngram_range=(1, 3), stop_words=STOP_WORDS, token_pattern=WORDS),
    "prefixes": VectorizerConfig(token_pattern=PREFIXES),
    "prefix pairs": VectorizerConfig(token_pattern=PREFIXES, ngram_range=(1, 2), stop_words=STOP_WORDS),
    "first letters": VectorizerConfig(token_pattern=FIRST, ngram_range=(1, 3)),
    "long prefixes": VectorizerConfig(token_pattern=LONG, ngram_range=(1, 2)),
    "case kept": VectorizerConfig(lowercase=False, ngram_range=(1, 2)),
    "char": VectorizerConfig(analyzer="char", ngram_range=(1, 3)),
    "char, long": VectorizerConfig(analyzer="char", ngram_range=(4, 16)),
    "char, case kept": VectorizerConfig(analyzer="char", ngram_range=(2, 4), lowercase=False),
    "char_wb": VectorizerConfig(analyzer="char_wb", ngram_range=(1, 4)),
    "char_wb, one length": VectorizerConfig(analyzer="char_wb", ngram_range=(3, 3)),
    "char_wb, short words": VectorizerConfig(analyzer="char_wb", ngram_range=(5, 6)),
}


@pytest.fixture(scope="module", params=sorted(SETTINGS))
def config(request: pytest.FixtureRequest) -> VectorizerConfig:
    """Each way to find terms."""
    return SETTINGS[str(request.param)]


# --- models made of texts ------------------------------------------------------------------------------------------


def _settings(config: VectorizerConfig) -> dict[str, Any]:
    """What both vectorizers of scikit-learn take."""
    return {
        "analyzer": config.analyzer,
        "ngram_range": config.ngram_range,
        "token_pattern": config.token_pattern,
        "lowercase": config.lowercase,
        "stop_words": None if config.stop_words is None else list(config.stop_words),
        "binary": config.binary,
    }


def _learn(config: VectorizerConfig, texts: Sequence[str], every: int) -> list[str]:
    """Every so manieth term of `texts` that a bundle can store; the others stay unknown words."""
    analyze = CountVectorizer(**_settings(config)).build_analyzer()
    terms = sorted(
        {term for text in texts for term in analyze(text) if not any("\ud800" <= c <= "\udfff" for c in term)}
    )
    return terms[::every][:: len(terms) // every // MOST_TERMS + 1] or ["museum"]


def _counter(config: VectorizerConfig, terms: Sequence[str]) -> Source:
    """A model with one class per term, whose decision is how often the text has the term."""
    plain = replace(config, norm=None, use_idf=False, sublinear_tf=False, binary=False)
    count = len(terms)
    return Source(plain, terms, None, np.eye(count, dtype=np.float32), np.zeros(count, np.float32))


def _score(native: Native, source: Source | Bundle, texts: list[str]) -> Scores:
    """The scores with vector instructions; those without are the same bits."""
    scores = native(source).score(texts)
    portable = native(source, portable=True).score(texts)
    for name in ("decisions", "probabilities", "known"):
        assert getattr(scores, name).tobytes() == getattr(portable, name).tobytes(), name
    return scores


def _assert_counts(native: Native, config: VectorizerConfig, terms: Sequence[str], texts: list[str]) -> None:
    expected = CountVectorizer(vocabulary=list(terms), **_settings(config)).transform(texts).toarray()
    scores = _score(native, _counter(config, terms), texts)
    wrong = np.argwhere(scores.decisions != expected)
    assert [(terms[j], scores.decisions[i, j], expected[i, j], texts[i]) for i, j in wrong[:3]] == []
    assert scores.known.tolist() == expected.any(axis=1).tolist()


# --- every term is counted -----------------------------------------------------------------------------------------


@MANY
@given(learnt=TEXTS, unseen=TEXTS, every=st.integers(1, 3))
def test_counts_on_any_text(
    native: Native, config: VectorizerConfig, learnt: list[str], unseen: list[str], every: int
) -> None:
    """Each text has each term exactly as often as scikit-learn counts it, be it known or not."""
    terms = _learn(config, learnt, every)
    _assert_counts(native, config, terms, [*learnt, *unseen, "".join(learnt + unseen), ""])


@FEW
@given(
    learnt=TEXT,
    filler=st.sampled_from(["z", "z ", "é", "Σ", "ΣΑ ", "字", "a 字 ", "𝒜", " ", "\u2028", "\x00", "'", "zz museum "]),
    back=st.integers(0, 70),
    pieces=st.integers(1, 2),
)
def test_counts_at_the_border_of_a_piece(
    native: Native, config: VectorizerConfig, learnt: str, filler: str, back: int, pieces: int
) -> None:
    """A text longer than the kernel reads at once is counted as a short one, whatever stands at the border."""
    length = pieces * PIECE - back
    before = (filler * (length // len(filler) + 1))[:length]
    whole = before + learnt
    _assert_counts(native, config, _learn(config, [learnt, whole[-len(learnt) - 70 :]], 1), [whole, whole + before])


@pytest.mark.parametrize(
    "fragment", ["museum é team", "'ΑΣ\u0301Α ΑΣ\u0301'", "a  \u2028 b\x00字字", f"x {'q' * 15}é x", "ab 𝒜 İa"]
)
def test_counts_wherever_a_piece_ends(native: Native, config: VectorizerConfig, fragment: str) -> None:
    """Whichever character is the last of a piece, the words and runs around it are the same."""
    ends = range(len(fragment) + 2)
    texts = [f"{' ' * (PIECE - end)}{fragment}{rest}" for end in ends for rest in ("", " museum team won")]
    _assert_counts(native, config, _learn(config, [f"{fragment} museum team", "museum team won"], 1), texts)


def test_counts_at_the_border_of_a_block(native: Native, config: VectorizerConfig) -> None:
    """Wherever a fragment stands in a block of 64 codes, it is counted alike."""
    fragments = ["museum of art", "a b", "ΑΣ ΑΣ", "é字", "q" * 16, "q" * 17]
    fillers = [" ", "q", "é", "\u2028"]
    terms = _learn(config, fragments, 1)
    texts = [filler * at + fragment for filler in fillers for fragment in fragments for at in range(130)]
    if config.analyzer != "word":
        texts = texts[::7]
    _assert_counts(native, config, terms, texts)
    _assert_counts(native, config, terms, [f"{text} the end" for text in texts])


@pytest.mark.parametrize("config", [VectorizerConfig(token_pattern=WORDS), VectorizerConfig(lowercase=False)])
def test_counts_of_each_character(native: Native, config: VectorizerConfig) -> None:
    """Each character there is splits words, joins them and lower-cases as in Python, also behind and before a sigma."""
    codes = range(0x110000)
    texts = ["".join([f"a{chr(code)} Σ{chr(code)}ab " for code in codes[at : at + 4096]]) for at in codes[::4096]]
    counter = CountVectorizer(**_settings(config))
    counts = counter.fit_transform(texts)
    weights = np.random.default_rng(7).integers(-512, 512, (counts.shape[1], CLASSES)).astype(np.float32)
    plain = replace(config, norm=None, use_idf=False)
    terms = counter.get_feature_names_out().tolist()
    source = Source(plain, terms, None, weights, np.zeros(CLASSES, np.float32))
    # Whole numbers below 2**24 are exact in single precision: one wrong count in a million would show.
    assert np.array_equal(_score(native, source, texts).decisions, counts @ weights.astype(np.int64))


# --- decisions -----------------------------------------------------------------------------------------------------


@MANY
@given(
    learnt=TEXTS,
    unseen=TEXTS,
    every=st.integers(1, 3),
    norm=st.sampled_from(["l1", "l2", None]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_decisions_on_any_text(  # noqa: PLR0913 - one per thing that hypothesis draws
    native: Native,
    config: VectorizerConfig,
    learnt: list[str],
    unseen: list[str],
    *,
    every: int,
    norm: Any,  # noqa: ANN401 - a literal that hypothesis cannot name
    flags: tuple[bool, bool, bool],
    dtype: type[np.floating[Any]],
    seed: int,
) -> None:
    """Whatever weighs the terms, decisions are those of scikit-learn's fitted vectorizer times the weights."""
    use_idf, sublinear_tf, binary = flags
    config = replace(config, norm=norm, use_idf=use_idf, sublinear_tf=sublinear_tf, binary=binary)
    terms = _learn(config, learnt, every)
    vectorizer = TfidfVectorizer(
        **_settings(config), vocabulary=terms, norm=norm, use_idf=use_idf, sublinear_tf=sublinear_tf, dtype=dtype
    ).fit(learnt)
    texts = [*learnt, *unseen, ""]
    random = np.random.default_rng(seed)
    weights = random.normal(size=(len(terms), CLASSES)).astype(np.float32)
    intercept = random.normal(size=CLASSES).astype(np.float32)
    idf = vectorizer.idf_.astype(np.float32) if use_idf else None
    scores = _score(native, Source(config, terms, idf, weights, intercept), texts)
    matrix = vectorizer.transform(texts)
    expected = matrix @ weights.astype(np.float64) + intercept
    # Without a norm, large terms may cancel out to a small sum: what they were is what rounding goes by.
    size = np.maximum(1.0, matrix @ np.abs(weights))
    assert (np.abs(scores.decisions - expected) / size).max() < TOLERANCE
    assert scores.known.tolist() == (matrix.getnnz(axis=1) > 0).tolist()


# --- whose characters ----------------------------------------------------------------------------------------------


def _answer(table: NDArray[np.uint32], character: str, entry: int) -> NDArray[np.uint32]:
    """A table that says `entry` of one character, on a page of its own."""
    code, pages, start = ord(character), int(table[1]), HEADER_SIZE + PAGE_NUMBERS
    end = start + pages * PAGE_SIZE
    first = start + int(table[HEADER_SIZE + code // PAGE_SIZE]) * PAGE_SIZE
    page = table[first : first + PAGE_SIZE].copy()
    page[code % PAGE_SIZE] = entry
    changed = np.concatenate([table[:end], page, table[end:]])
    changed[1] = pages + 1
    changed[HEADER_SIZE + code // PAGE_SIZE] = pages
    assert table_problem(changed) is None
    return changed


@pytest.mark.parametrize(
    ("character", "entry", "text", "same"),
    [
        ("\u2019", WORD_BIT, "museum\u2019s the team", "the team"),
        ("\u00c9", WORD_BIT | (ord("y") - 0xC9) & DELTA_MASK, "pla\u00c9 MUSEUM", "play museum"),
        ("\u00e9", 0, "caf\u00e9 play\u00e9d team", "caf play team"),
    ],
    ids=["a word character more", "another lower case", "a word character less"],
)
def test_the_bundle_says_what_a_character_is(
    native: Native, tamper: "Tamper", *, character: str, entry: int, text: str, same: str
) -> None:
    """A bundle that was trained under another Unicode is read as its own table says, not as today's Python would."""
    before = native(Bundle.open(tamper.directory)).score([text, same]).decisions
    table = np.load(tamper.directory / CHARACTERS_NAME)
    tamper.replace_array(CHARACTERS_NAME, _answer(table, character, entry))
    after = _score(native, Bundle.open(tamper.directory), [text, same]).decisions
    assert before[1].tolist() == after[1].tolist() == after[0].tolist()
    assert before[0].tolist() != after[0].tolist()


def test_the_bundle_says_what_a_space_is(native: Native) -> None:
    """The same holds for the white space that the character analyzers look for."""
    config = VectorizerConfig(analyzer="char_wb", ngram_range=(1, 3))
    source = _counter(config, [" a ", "a\u200bb", "a b"])
    spaced = replace(source, characters=_answer(character_table(), "\u200b", SPACE_BIT))
    assert _score(native, source, ["a\u200bb"]).decisions.tolist() == [[0, 1, 0]]
    assert _score(native, spaced, ["a\u200bb"]).decisions.tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("entry", [0, WORD_BIT | 1, WORD_BIT | 1 << 25])
def test_no_table_may_be_wrong_about_ascii(native: Native, entry: int) -> None:
    """ASCII takes a path that looks nothing up, so a table that says otherwise of it is refused, never half obeyed."""
    source = _counter(VectorizerConfig(), ["museum"])
    table = character_table().copy()
    table[HEADER_SIZE + PAGE_NUMBERS + ord("q")] = entry
    with pytest.raises(BundleError) as caught:
        native(replace(source, characters=table))
    assert caught.value.reason is BundleProblem.INDEX_INVALID


@pytest.mark.parametrize("pattern", [r"(?u)\b(\w{٢,٦})\w*\b", r"\b(\w{2,6})\w*\b\n", r"\w*", r"\b(\w{0,6})\w*\b"])
def test_patterns_that_only_look_alike(pattern: str) -> None:
    """An expression that `re` reads otherwise is left to the reference scorer."""
    assert reference_only(VectorizerConfig(token_pattern=pattern)) is not None
