"""What every scorer must do. Runs once per implementation in `conftest.SCORERS`."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bundle import Bundle, BundleContent, BundleError, BundleProblem, Calibration, VectorizerConfig
from models.kernel_settings import reference_only
from models.scorer import Scorer, Scores, predict_by_score

Build = Callable[[Any], Scorer]

TOLERANCE = 1e-5
STOP_WORDS = ("the", "and", "of", "a", "to", "in")
PREFIXES = r"(?u)\b(\w{2,6})\w*\b"
VARIANTS = {
    "unigrams": VectorizerConfig(),
    "bigrams": VectorizerConfig(ngram_range=(1, 2)),
    "only bigrams": VectorizerConfig(ngram_range=(2, 2)),
    "trigrams": VectorizerConfig(ngram_range=(1, 3)),
    "char": VectorizerConfig(analyzer="char", ngram_range=(2, 4)),
    "char_wb": VectorizerConfig(analyzer="char_wb", ngram_range=(2, 5)),
    "sublinear": VectorizerConfig(ngram_range=(1, 2), sublinear_tf=True),
    "binary": VectorizerConfig(binary=True),
    "l1": VectorizerConfig(norm="l1"),
    "no norm": VectorizerConfig(norm=None, sublinear_tf=True),
    "no idf": VectorizerConfig(use_idf=False),
    "stop words": VectorizerConfig(ngram_range=(1, 2), stop_words=STOP_WORDS),
    "stop words the tokenizer splits": VectorizerConfig(stop_words=("don't", "the")),
    "accents to ascii": VectorizerConfig(strip_accents="ascii"),
    "accents by unicode": VectorizerConfig(strip_accents="unicode"),
    "case kept": VectorizerConfig(lowercase=False),
    "one-letter words": VectorizerConfig(token_pattern=r"(?u)\b\w+\b"),  # noqa: S106 - an expression for words
    "runs of word characters": VectorizerConfig(token_pattern=r"\w+"),  # noqa: S106 - as above
    "prefixes": VectorizerConfig(token_pattern=PREFIXES),
    "prefixes in pairs": VectorizerConfig(token_pattern=PREFIXES, ngram_range=(1, 2)),
    "prefixes and stop words": VectorizerConfig(token_pattern=PREFIXES, ngram_range=(1, 2), stop_words=STOP_WORDS),
    "two and three words": VectorizerConfig(ngram_range=(2, 3)),
    "up to four words": VectorizerConfig(ngram_range=(1, 4)),
    "sublinear and binary": VectorizerConfig(ngram_range=(1, 2), sublinear_tf=True, binary=True),
    "l1 without idf": VectorizerConfig(norm="l1", use_idf=False),
    "one to three characters": VectorizerConfig(analyzer="char", ngram_range=(1, 3)),
    "characters, case kept": VectorizerConfig(analyzer="char", ngram_range=(1, 3), lowercase=False),
    "char_wb, one length": VectorizerConfig(analyzer="char_wb", ngram_range=(3, 3)),
    "char_wb, longer than short words": VectorizerConfig(analyzer="char_wb", ngram_range=(5, 6)),
    "char_wb, case kept": VectorizerConfig(analyzer="char_wb", ngram_range=(2, 4), lowercase=False),
    "captured group": VectorizerConfig(token_pattern=r"(?u)\b(\w\w+)(?:'s)?\b"),  # noqa: S106 - as above
}
UNSEEN = (
    "A TEAM of painters: café, museum museum MUSEUM!",
    "",
    "a b c",
    "The  team\u2028won THE\tfinal\n\nmatch; doctors' patients_waited for 2 hours, xyzzy museum audience",
    "\N{GREEK CAPITAL LETTER SIGMA}\N{LATIN CAPITAL LETTER I WITH DOT ABOVE} the \x00museum\ud800team",
)
# Words of the small corpus among anything else that Unicode has.
TEXT = st.lists(
    st.sampled_from(["museum", "The", "team", "clinic", "café", "won the", "doctors", "'s", "\n"])
    | st.text(max_size=8),
    max_size=40,
).map(" ".join)


@pytest.fixture(params=sorted(VARIANTS))
def config(request: pytest.FixtureRequest) -> VectorizerConfig:
    """Each vectorizer setting in turn."""
    return VARIANTS[str(request.param)]


@pytest.fixture(scope="module")
def scorer(build: Build, content: BundleContent) -> Scorer:
    """A scorer with unigrams and bigrams."""
    return build(content)


def _same(left: Scores, right: Scores) -> bool:
    return all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in ("decisions", "probabilities", "known")
    )


def _rows(scores: list[Scores]) -> Scores:
    stacked = (np.concatenate([getattr(s, n) for s in scores]) for n in ("decisions", "probabilities", "known"))
    return Scores(*stacked)


def test_names_itself_and_its_classes(scorer: Scorer, content: BundleContent) -> None:
    """A scorer says which implementation it is and gives the classes in column order."""
    assert scorer.name in {"reference", "native"}
    assert scorer.classes == content.classes


def test_shapes_and_types(scorer: Scorer, content: BundleContent) -> None:
    """Both arrays are float32, C-contiguous, one row per text and one column per class."""
    scores = scorer.score(list(content.golden_texts))
    shape = (len(content.golden_texts), len(content.classes))
    for array in (scores.decisions, scores.probabilities):
        assert array.shape == shape
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
    assert scores.known.shape == shape[:1]
    assert scores.known.dtype == np.bool_


def test_no_texts(scorer: Scorer, content: BundleContent) -> None:
    """An empty batch gives empty arrays that still have a column per class."""
    scores = scorer.score([])
    assert scores.decisions.shape == scores.probabilities.shape == (0, len(content.classes))
    assert scores.known.shape == (0,)


@pytest.mark.parametrize("text", ["", " \n\t", "xyzzy plugh", "...", "\x00", "\ud800"])
def test_text_without_a_known_term(scorer: Scorer, content: BundleContent, text: str) -> None:
    """Such a text is not known, and its decisions are the intercepts."""
    scores = scorer.score([text, "The museum opened."])
    assert scores.known.tolist() == [False, True]
    assert scores.decisions[0].tolist() == content.intercept.tolist()


def test_like_scikit_learn(
    build: Build, why_refused: Callable[..., Any], train: Callable[..., Any], config: VectorizerConfig
) -> None:
    """Decisions are those of scikit-learn's own fitted pipeline; a setting that a scorer cannot follow, it names."""
    trained = train(config)
    reason = why_refused(config)
    if reason is not None:
        with pytest.raises(BundleError, match=re.escape(reason)) as caught:
            build(trained.content)
        assert caught.value.reason is BundleProblem.SCORER_UNAVAILABLE
        return
    texts = [*trained.content.golden_texts, *UNSEEN]
    scores = build(trained.content).score(texts)
    assert np.abs(scores.decisions - trained.pipeline.decision_function(texts)).max() < TOLERANCE
    assert scores.known.tolist() == (trained.pipeline["tfidf"].transform(texts).getnnz(axis=1) > 0).tolist()


@pytest.mark.parametrize("variant", ["bigrams", "char_wb", "l1", "no norm", "prefixes", "sublinear"])
def test_like_scikit_learn_in_single_precision(build: Build, train: Callable[..., Any], variant: str) -> None:
    """A pipeline that was trained in float32 is followed as closely."""
    trained = train(VARIANTS[variant], np.float32)
    texts = [*trained.content.golden_texts, *UNSEEN]
    expected = trained.pipeline.decision_function(texts)
    assert trained.pipeline["tfidf"].transform(texts).dtype == np.float32
    assert np.abs(build(trained.content).score(texts).decisions - expected).max() < TOLERANCE


def test_refused_are_few() -> None:
    """The settings that only the reference scorer follows are these, so none of the others is refused unnoticed."""
    refused = {name for name, config in VARIANTS.items() if reference_only(config)}
    assert refused == {"accents to ascii", "accents by unicode", "captured group"}


@given(texts=st.lists(TEXT, min_size=1, max_size=5))
def test_like_scikit_learn_on_any_text(build: Build, train: Callable[..., Any], texts: list[str]) -> None:
    """Whatever the text, decisions are scikit-learn's and exactly the texts with a known term are known."""
    trained = train(VARIANTS["bigrams"])
    scores = build(trained.content).score(texts)
    assert np.abs(scores.decisions - trained.pipeline.decision_function(texts)).max() < TOLERANCE
    assert scores.known.tolist() == (trained.pipeline["tfidf"].transform(texts).getnnz(axis=1) > 0).tolist()


@given(texts=st.lists(TEXT, min_size=1, max_size=8))
def test_batch_like_one_by_one(scorer: Scorer, texts: list[str]) -> None:
    """The same bits come out for a text alone and in a batch."""
    assert _same(scorer.score(texts), _rows([scorer.score([text]) for text in texts]))


@given(texts=st.lists(TEXT, min_size=1, max_size=4), data=st.data())
def test_one_text_is_ranked_as_its_scores_say(scorer: Scorer, texts: list[str], data: st.DataObject) -> None:
    """`predict` gives what `score` and `rank` give, with thresholds at, beside and far from probabilities."""
    for text in texts:
        near = [float(value) for value in scorer.score([text]).probabilities[0]]
        values = st.sampled_from(
            [*near, *np.nextafter(np.array(near, np.float32), np.float32(2)).tolist(), 0.0, 1.0, 2.0]
        )
        thresholds = tuple(data.draw(values) for _ in scorer.classes)
        for best in (False, True):
            expected = predict_by_score(scorer, text, thresholds, best=best)
            found = scorer.predict(text, thresholds, best=best)
            assert found == expected
            assert repr(found) == repr(expected), "types and signs too"


def test_equal_classes_are_ranked_in_their_order(build: Build, content: BundleContent) -> None:
    """Where all are equally probable, none is preferred but by its column."""
    flat = replace(content, weights=np.zeros_like(content.weights), intercept=np.zeros_like(content.intercept))
    size = len(content.classes)
    scorer = build(replace(flat, calibration=Calibration((-1.0,) * size, (0.0,) * size)))
    found = scorer.predict(max(content.golden_texts, key=len), (0.5,) * size, best=False)
    assert found == (content.classes, tuple((name, 0.5) for name in content.classes))


def test_predict_refuses_what_does_not_fit(scorer: Scorer) -> None:
    """One text, and a threshold for each class."""
    with pytest.raises(ValueError, match="threshold"):
        scorer.predict("text", (0.5,), best=True)
    with pytest.raises(TypeError):
        scorer.predict(["text"], (0.5,) * len(scorer.classes), best=True)  # type: ignore[arg-type]  # wrong on purpose


def test_probabilities_follow_platt(scorer: Scorer, content: BundleContent) -> None:
    """Each column is put through its own sigmoid."""
    scores = scorer.score(list(content.golden_texts))
    slope, intercept = np.array(content.calibration.slope), np.array(content.calibration.intercept)
    expected = 1 / (1 + np.exp(slope * scores.decisions.astype(np.float64) + intercept))
    assert np.abs(scores.probabilities - expected).max() < 1e-6


def test_extreme_calibration_stays_in_range(build: Build, content: BundleContent) -> None:
    """A sigmoid as steep as a step gives 0 and 1, no overflow and no NaN."""
    steep = replace(content, calibration=Calibration(slope=(-1e9, 1e9, 0.0), intercept=(0.0, 0.0, 1e9)))
    probabilities = build(steep).score(list(content.golden_texts)).probabilities
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert probabilities[:, 2].max() == 0.0


def test_one_class(build: Build, content: BundleContent) -> None:
    """A model may have a single class."""
    single = replace(
        content,
        classes=content.classes[:1],
        weights=np.ascontiguousarray(content.weights[:, :1]),
        intercept=content.intercept[:1],
        calibration=Calibration(content.calibration.slope[:1], content.calibration.intercept[:1]),
    )
    texts = list(content.golden_texts)
    assert np.array_equal(build(single).score(texts).decisions, build(content).score(texts).decisions[:, :1])


def test_two_classes_have_two_columns(build: Build, content: BundleContent) -> None:
    """With two classes there are two columns of their own, not one and its negative."""
    pair = replace(
        content,
        classes=content.classes[:2],
        weights=np.ascontiguousarray(content.weights[:, :2]),
        intercept=content.intercept[:2],
        calibration=Calibration(content.calibration.slope[:2], content.calibration.intercept[:2]),
    )
    decisions = build(pair).score(list(content.golden_texts)).decisions
    assert decisions.shape[1] == 2
    assert not np.allclose(decisions[:, 0], -decisions[:, 1])


def test_many_threads(scorer: Scorer, content: BundleContent) -> None:
    """Eight threads on one scorer get what one thread gets."""
    batches = [[text] * size for size in (1, 2, 7) for text in content.golden_texts] * 20
    expected = [scorer.score(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(scorer.score, batches))
    assert all(map(_same, expected, found))


@pytest.mark.parametrize("texts", ["one text", [b"bytes"], ["good", None], [3]])
def test_refuses_what_is_not_a_sequence_of_texts(scorer: Scorer, texts: Any) -> None:  # noqa: ANN401 - wrong on purpose
    """One text instead of a list, or a value that is no text, is a mistake of the caller and said so."""
    with pytest.raises(TypeError, match="score"):
        scorer.score(texts)


def test_works_on_mapped_arrays(build: Build, content: BundleContent, bundle: Path) -> None:
    """A scorer over an opened bundle gives the same bits as over the values in memory."""
    texts = list(content.golden_texts)
    assert _same(build(Bundle.open(bundle)).score(texts), build(content).score(texts))


def test_long_text(scorer: Scorer) -> None:
    """A text of a million characters is scored as scikit-learn scores it: its length cancels out."""
    long, longer = "museum team " * 45_000, "museum team " * 90_000
    scores = scorer.score([long, longer])
    assert scores.known.all()
    assert np.abs(scores.decisions[0] - scores.decisions[1]).max() < TOLERANCE


def test_single_document_is_fast(scorer: Scorer, content: BundleContent) -> None:
    """A document of 3,000 characters takes well under 2 ms alone (best of 50, so that a busy machine is no failure)."""
    text = (" ".join(content.golden_texts) * 20)[:3000]
    durations = []
    for _ in range(50):
        start = time.perf_counter()
        scorer.score([text])
        durations.append(time.perf_counter() - start)
    assert min(durations) < 0.002
