"""The native scorer against scikit-learn on every real article there is; they are not part of the project.

Where the largest differences go: `pytest --junitxml=FILE` keeps them as properties.
"""

import gzip
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pytest
from numpy.typing import DTypeLike, NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from integration_tests.system import THOROUGH
from models.bundle import VectorizerConfig
from models.native import NativeScorer, build_index, why_unavailable
from models.scorer import Scores
from models.tests.sources import Source
from schemas.document import Document

NEWS: Final = Path(os.environ.get("CLF_NEWS", Path(__file__).parents[2] / "shared" / "data" / "news"))
SETS: Final = (
    "amh", "deu", "eng", "fra", "hye", "spa",
    "extra/deu-blurbs", "extra/eng-digitalgov", "extra/eng-reuters", "extra/sib200",
)  # fmt: skip
PREFIXES: Final = r"(?u)\b(\w{2,6})\w*\b"
# How terms are found, and of how many documents one is looked at: scikit-learn takes its time over characters.
TERMS: Final = {
    "words": (VectorizerConfig(), 1),
    "words and pairs": (VectorizerConfig(ngram_range=(1, 2)), 1),
    "prefixes": (VectorizerConfig(token_pattern=PREFIXES), 1),
    "char_wb": (VectorizerConfig(analyzer="char_wb", ngram_range=(2, 4)), 20),
    "char": (VectorizerConfig(analyzer="char", ngram_range=(1, 3), lowercase=False), 20),
}
WEIGHTINGS: Final[tuple[tuple[dict[str, Any], DTypeLike], ...]] = (
    ({}, np.float64),
    ({"sublinear_tf": True}, np.float32),
    ({"norm": "l1", "binary": True, "use_idf": False}, np.float64),
)
TOLERANCE: Final = 1e-5
MOST_CLASSES: Final = 12

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not NEWS.is_dir(), reason=f"no real articles at {NEWS}; CLF_NEWS names another folder"),
    pytest.mark.skipif(
        why_unavailable() is not None and os.environ.get("CLF_BUILD_KERNEL") != "1",
        reason=f"the native scorer is not built: {why_unavailable()}",
    ),
]


@dataclass(frozen=True)
class Articles:
    """The documents of one set in one language."""

    train: list[str]
    test: list[str]
    labels: list[list[str]]


def _read(name: str, part: str) -> Iterator[tuple[str, str, list[str]]]:
    """Language, content and labels of each document."""
    with gzip.open(NEWS / f"{name}.{part}.jsonl.gz") as lines:
        for line in lines:
            fields = orjson.loads(line)
            labels = fields.pop("labels")
            document = Document(**fields)
            yield document.language, document.content, labels


@lru_cache(maxsize=1)
def _articles(name: str) -> dict[str, Articles]:
    """A set by its languages: nearly all have one."""
    found: dict[str, Articles] = {}
    for part in ("train", "test"):
        for language, content, labels in _read(name, part):
            articles = found.setdefault(language, Articles([], [], []))
            (articles.train if part == "train" else articles.test).append(content)
            if part == "train":
                articles.labels.append(labels)
    return found


def _learn(counts: csr_matrix, labels: list[list[str]]) -> NDArray[np.float32]:
    """Weights that tell the most frequent classes apart by their mean documents, and some noise for every term."""
    names = [name for name, _ in Counter(name for each in labels for name in each).most_common(MOST_CLASSES)]
    members = np.array([[name in each for name in names] for each in labels], dtype=np.float64)
    means = (TfidfTransformer().fit_transform(counts).T @ members) / members.sum(axis=0)
    noise = np.random.default_rng(7).normal(scale=0.3, size=means.shape)
    return np.ascontiguousarray(20 * (means - means.mean(axis=1, keepdims=True)) + noise, dtype=np.float32)


def _score(source: Source, texts: list[str]) -> Scores:
    """The scores with vector instructions; those without are the same bits."""
    scores = NativeScorer(source).score(texts)
    portable = NativeScorer(source, portable=True).score(texts)
    assert scores.decisions.tobytes() == portable.decisions.tobytes()
    assert scores.probabilities.tobytes() == portable.probabilities.tobytes()
    return scores


def _compare(model: Source, counts: csr_matrix, articles: Articles, dtype: DTypeLike) -> float:
    """The largest difference of a decision, once everything that follows from decisions was the same."""
    config = model.vectorizer
    counts = (counts > 0 if config.binary else counts).astype(dtype)
    # What `TfidfVectorizer` does with the counts of the `CountVectorizer` that it is.
    transformer = TfidfTransformer(norm=config.norm, use_idf=config.use_idf, sublinear_tf=config.sublinear_tf)
    matrix = transformer.fit(counts[: len(articles.train)]).transform(counts)
    assert matrix.dtype == dtype
    idf = transformer.idf_.astype(np.float32) if config.use_idf else None
    scores = _score(replace(model, idf=idf), [*articles.train, *articles.test])
    expected = matrix @ model.weights.astype(np.float64) + model.intercept
    assert scores.known.tolist() == (matrix.getnnz(axis=1) > 0).tolist()
    assert np.array_equal(scores.decisions.argmax(axis=1), expected.argmax(axis=1))
    assert np.array_equal(scores.probabilities >= 0.5, expected >= 0.0)
    return float(np.abs(scores.decisions - expected).max())


def _assert_counts(model: Source, counts: csr_matrix, texts: list[str]) -> None:
    """Whole numbers are exact in single precision: one term counted wrong in one document would show."""
    weights = np.random.default_rng(7).integers(-64, 65, (counts.shape[1], 4)).astype(np.float32)
    expected = counts @ weights.astype(np.int64)
    assert np.abs(expected).max() < 1 << 24
    config = replace(model.vectorizer, norm=None, use_idf=False)
    found = _score(replace(model, vectorizer=config, weights=weights, intercept=np.zeros(4, np.float32)), texts)
    assert np.array_equal(found.decisions, expected)


@pytest.mark.parametrize(
    ("name", "terms"),
    [pytest.param(n, t, marks=() if n == "eng" else THOROUGH) for n in SETS for t in TERMS],
)
def test_articles(name: str, terms: str, record_testsuite_property: Callable[[str, object], None]) -> None:
    """Each article has each term as often as scikit-learn counts it; decisions, top class and labels are the same."""
    config, step = TERMS[terms]
    for language, whole in _articles(name).items():
        articles = Articles(whole.train[::step], whole.test[::step], whole.labels[::step])
        counter = CountVectorizer(
            analyzer=config.analyzer,
            ngram_range=config.ngram_range,
            token_pattern=config.token_pattern,
            lowercase=config.lowercase,
        )
        counts = vstack([counter.fit_transform(articles.train), counter.transform(articles.test)], format="csr")
        nothing = np.empty(0, np.float32)
        model = Source(config, counter.get_feature_names_out().tolist(), None, nothing, nothing)
        model = replace(model, index=build_index(model))
        _assert_counts(model, counts, [*articles.train, *articles.test])
        weights = _learn(counts[: len(articles.train)], articles.labels)
        model = replace(model, weights=weights, intercept=np.linspace(-1, 0, weights.shape[1], dtype=np.float32))
        for changes, dtype in WEIGHTINGS:
            changed = replace(model, vectorizer=replace(config, **changes))
            difference = _compare(changed, counts, articles, dtype)
            record_testsuite_property(f"{name}, {language}, {terms}, {changes}, {np.dtype(dtype)}", difference)
            assert difference <= TOLERANCE
