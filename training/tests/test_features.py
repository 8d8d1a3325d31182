"""TF-IDF from cached counts is what scikit-learn would have computed."""

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from training.errors import NoTermsError
from training.features import FeatureParameters, TermWeight, choose_terms, count_terms, token_pattern, weigh
from training.relevance import relevance

TEXTS = [
    "the cat sat on the mat",
    "the dog sat on the cat and the cat ran",
    "a completely different sentence, with punctuation!",
    "dog dog dog",
    "x y z",
    "The Mat IS on the DOG; Straße İstanbul ΣΊΣΥΦΟΣ",
]
TARGETS = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1], [1, 1]], dtype=bool)
ROWS = np.array([0, 1, 2, 3, 5])


def ignore(_: int) -> None:
    """Take no notice of progress."""


@pytest.mark.parametrize("ngrams", [1, 2])
@pytest.mark.parametrize("min_df", [1, 2])
@pytest.mark.parametrize("sublinear_tf", [True, False])
def test_weights_from_counts_equal_scikit_learn(*, ngrams: int, min_df: int, sublinear_tf: bool) -> None:
    """Fitted on some documents and applied to others, every setting gives TfidfVectorizer's numbers exactly."""
    counts = count_terms(TEXTS, 2, ignore)
    parameters = FeatureParameters(ngrams, min_df, sublinear_tf, TermWeight.IDF)
    vocabulary = choose_terms(counts, ROWS, TARGETS[ROWS], parameters)
    ours = weigh(counts, np.arange(len(TEXTS)), vocabulary, parameters)
    theirs = TfidfVectorizer(ngram_range=(1, ngrams), min_df=min_df, sublinear_tf=sublinear_tf)
    theirs.fit([TEXTS[row] for row in ROWS])
    assert [counts.terms[column] for column in vocabulary.columns] == list(theirs.get_feature_names_out())
    np.testing.assert_allclose(ours.toarray(), theirs.transform(TEXTS).toarray(), rtol=1e-12)


def test_counting_reports_every_text() -> None:
    """The progress adds up to the number of texts."""
    steps: list[int] = []
    count_terms(TEXTS, 1, steps.append)
    assert sum(steps) == len(TEXTS)


@pytest.mark.parametrize("texts", [["", "   "], ["a b c"], ["!?"]])
def test_texts_without_words_are_an_error(texts: Sequence[str]) -> None:
    """Nothing to learn from is said in a sentence."""
    with pytest.raises(NoTermsError, match="nothing to learn from"):
        count_terms(texts, 1, ignore)


def test_a_minimum_that_no_term_reaches_is_an_error() -> None:
    """The message names the option."""
    with pytest.raises(NoTermsError, match="--min-df"):
        choose_terms(count_terms(TEXTS, 1, ignore), ROWS, TARGETS[ROWS], FeatureParameters(min_df=50))


def test_relevance_prefers_terms_of_one_class() -> None:
    """A term that occurs in one class only outweighs one that occurs in both alike."""
    presence = count_terms(["goal the", "goal the", "bank the", "bank the"], 1, ignore)
    targets = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=bool)
    weight = dict(zip(presence.terms, relevance(presence.matrix, targets), strict=True))
    assert weight["goal"] == pytest.approx(weight["bank"])
    assert weight["goal"] > 1.5 * weight["the"] > 0


def test_relevance_ignores_how_often_a_term_occurs_in_a_document() -> None:
    """Presence counts, not repetition."""
    targets = np.array([[1, 0], [0, 1]], dtype=bool)
    once = count_terms(["goal the", "bank the"], 1, ignore)
    often = count_terms(["goal goal goal the", "bank the the"], 1, ignore)
    np.testing.assert_allclose(relevance(once.matrix, targets), relevance(often.matrix, targets))


def test_relevance_of_a_class_without_documents_is_finite() -> None:
    """A class that is missing from a fold's training documents does no harm."""
    targets = np.array([[1, 0, 0], [0, 1, 0]], dtype=bool)
    assert np.isfinite(relevance(count_terms(["goal", "bank"], 1, ignore).matrix, targets)).all()


def test_relevance_multiplies_the_inverse_document_frequency() -> None:
    """The term weights are idf times relevance, for the chosen terms."""
    counts = count_terms(TEXTS, 1, ignore)
    plain = choose_terms(counts, ROWS, TARGETS[ROWS], FeatureParameters(min_df=2))
    weighted = choose_terms(counts, ROWS, TARGETS[ROWS], FeatureParameters(min_df=2, term_weight=TermWeight.RELEVANCE))
    factor = relevance(counts.matrix[ROWS][:, plain.columns], TARGETS[ROWS])
    np.testing.assert_allclose(weighted.weights, plain.weights * factor)


def test_steep_weights_are_between() -> None:
    """More of the rarity, less of the relevance."""
    counts = count_terms(TEXTS, 1, ignore)
    plain = choose_terms(counts, ROWS, TARGETS[ROWS], FeatureParameters(term_weight=TermWeight.IDF))
    steep = choose_terms(counts, ROWS, TARGETS[ROWS], FeatureParameters(term_weight=TermWeight.STEEP))
    factor = relevance(counts.matrix[ROWS][:, plain.columns], TARGETS[ROWS])
    np.testing.assert_allclose(steep.weights, plain.weights**1.5 * np.sqrt(factor))


@pytest.mark.parametrize("prefix", [2, 3, 6])
def test_cut_words_from_counts_equal_scikit_learn(prefix: int) -> None:
    """Counts of cut words follow from counts of whole words exactly, for words and pairs of words."""
    ours = count_terms(TEXTS, 2, ignore).cut(prefix)
    theirs = CountVectorizer(ngram_range=(1, 2), token_pattern=token_pattern(prefix))
    matrix = theirs.fit_transform(TEXTS)
    assert list(ours.terms) == list(theirs.get_feature_names_out())
    np.testing.assert_array_equal(ours.matrix.toarray(), matrix.toarray())
    assert ours.words.tolist() == [len(term.split(" ")) for term in ours.terms]


def test_words_are_cut_once() -> None:
    """The cut counts are kept, and no cut at all is the counts themselves."""
    counts = count_terms(TEXTS, 1, ignore)
    assert counts.cut(3) is counts.cut(3)
    assert counts.cut(0) is counts
