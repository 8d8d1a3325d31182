"""Term counts once, TF-IDF weights as often as needed.

Counting terms is most of the cost of training. The TF-IDF of any subset of the documents, for any n-gram range
within the counted one, any minimal document frequency, with or without sublinear counts, follows from the counts
exactly, so cross-validation never analyses a text twice.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from models.content import DEFAULT_TOKEN_PATTERN, VectorizerConfig
from training.errors import NoTermsError
from training.linear import Targets
from training.relevance import relevance

Rows = NDArray[np.intp]


class TermWeight(StrEnum):
    """What a term counts for, next to how often it occurs in the document."""

    IDF = "idf"
    """The rarer, the more: ln((1 + documents) / (1 + document frequency)) + 1, as scikit-learn does it."""
    RELEVANCE = "relevance"
    """That, times how much the term says about the classes; see `training.relevance`."""
    STEEP = "steep"
    """idf to the power of 1.5, times the square root of the relevance: rare words count for more."""


# Exponents of idf and relevance. Chosen by cross-validation on the training parts of seven corpora.
_POWERS = {TermWeight.IDF: (1.0, 0.0), TermWeight.RELEVANCE: (1.0, 1.0), TermWeight.STEEP: (1.5, 0.5)}


@dataclass(frozen=True, slots=True)
class FeatureParameters:
    """How texts become vectors.

    Attributes:
        ngrams: longest run of words that is a term.
        min_df: documents in which a term must occur.
        sublinear_tf: take 1 + ln(count) for the count.
        term_weight: what each term counts for.
        prefix: letters to which words are cut, two or more: a crude stemmer; 0 leaves them whole.
    """

    ngrams: int = 1
    min_df: int = 1
    sublinear_tf: bool = True
    term_weight: TermWeight = TermWeight.IDF
    prefix: int = 0

    @property
    def vectorizer(self) -> VectorizerConfig:
        """The same for a bundle."""
        return VectorizerConfig(
            ngram_range=(1, self.ngrams), sublinear_tf=self.sublinear_tf, token_pattern=token_pattern(self.prefix)
        )


@dataclass(frozen=True, slots=True)
class TermCounts:
    """How often each term occurs in each document.

    Attributes:
        matrix: float64 (documents, terms).
        terms: in column order, which is sorted order.
        words: int (terms,), of how many words each term consists.
    """

    matrix: csr_matrix
    terms: tuple[str, ...]
    words: NDArray[np.intp]
    _cut: dict[int, "TermCounts"] = field(default_factory=dict, repr=False, compare=False)

    def cut(self, prefix: int) -> "TermCounts":
        """The counts that the same texts have when words are cut to `prefix` letters; exact, and computed once."""
        if not prefix:
            return self
        if prefix not in self._cut:
            self._cut[prefix] = _cut_words(self, prefix)
        return self._cut[prefix]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The terms that were chosen on some of the documents, and what they count for.

    Attributes:
        columns: intp (chosen,), columns of the counts, ascending.
        weights: float64 (chosen,); a bundle and scikit-learn call this factor idf, whatever it is made of.
    """

    columns: Rows
    weights: NDArray[np.float64]


def token_pattern(prefix: int) -> str:
    """scikit-learn's pattern for words of two or more letters; a group takes only their first `prefix` letters."""
    return rf"(?u)\b(\w{{2,{prefix}}})\w*\b" if prefix else DEFAULT_TOKEN_PATTERN


def count_terms(texts: Sequence[str], ngrams: int, advance: Callable[[int], None]) -> TermCounts:
    """Count all terms of up to `ngrams` words; `advance` is called with 1 per text.

    Raises:
        NoTermsError: there is not one term in all the texts.
    """
    vectorizer = CountVectorizer(ngram_range=(1, ngrams), dtype=np.float64)
    try:
        matrix = vectorizer.fit_transform(_watched(texts, advance))
    except ValueError as error:
        raise NoTermsError(
            "No document holds a word of two or more letters, so there is nothing to learn from. "
            "Languages without spaces between words need text that is cut into words."
        ) from error
    terms = tuple(vectorizer.get_feature_names_out())
    words = np.array([1 + term.count(" ") for term in terms], dtype=np.intp)
    return TermCounts(matrix.tocsr(), terms, words)


def choose_terms(counts: TermCounts, rows: Rows, targets: Targets, parameters: FeatureParameters) -> Vocabulary:
    """The vocabulary that these documents alone would give; `targets` is bool (rows, classes).

    Raises:
        NoTermsError: no term is frequent enough.
    """
    chosen_rows = counts.matrix[rows]
    frequencies = np.bincount(chosen_rows.indices, minlength=len(counts.terms))
    enough = (frequencies >= parameters.min_df) & (counts.words <= parameters.ngrams)
    columns = np.flatnonzero(enough)
    if not len(columns):
        raise NoTermsError(f"No term occurs in {parameters.min_df} documents or more. Lower --min-df or add documents.")
    weights = np.log((1 + len(rows)) / (1 + frequencies[columns])) + 1
    of_idf, of_relevance = _POWERS[parameters.term_weight]
    if of_relevance:
        weights = weights**of_idf * relevance(chosen_rows[:, columns], targets) ** of_relevance
    return Vocabulary(columns, weights)


def weigh(counts: TermCounts, rows: Rows, vocabulary: Vocabulary, parameters: FeatureParameters) -> csr_matrix:
    """TF-IDF of those documents, float64 (rows, chosen terms), each row of Euclidean length one (or zero)."""
    matrix = counts.matrix[rows][:, vocabulary.columns]
    if parameters.sublinear_tf:
        matrix.data = np.log(matrix.data) + 1
    matrix.data *= vocabulary.weights[matrix.indices]
    return normalize(matrix, copy=False)


def _watched(texts: Sequence[str], advance: Callable[[int], None]) -> Iterator[str]:
    for text in texts:
        yield text
        advance(1)


def _cut_words(counts: TermCounts, prefix: int) -> TermCounts:
    cut = [" ".join(word[:prefix] for word in term.split(" ")) for term in counts.terms]
    terms = sorted(set(cut))
    column = {term: number for number, term in enumerate(terms)}
    rows, columns = np.arange(len(cut)), np.array([column[term] for term in cut])
    merge = csr_matrix((np.ones(len(cut)), (rows, columns)), shape=(len(cut), len(terms)))
    matrix = csr_matrix(counts.matrix @ merge)
    matrix.sort_indices()
    return TermCounts(matrix, tuple(terms), np.array([1 + term.count(" ") for term in terms], dtype=np.intp))
