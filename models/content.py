"""The plain values of a model: what training hands over and what a bundle gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.characters import character_table
from models.kernel_settings import reference_only
from models.vectorizer import DEFAULT_TOKEN_PATTERN, Analyzer, Norm, StripAccents, VectorizerConfig

__all__ = [
    "DEFAULT_TOKEN_PATTERN",
    "Analyzer",
    "BundleContent",
    "Calibration",
    "Fallback",
    "Norm",
    "ScorerSource",
    "StripAccents",
    "VectorizerConfig",
]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Platt scaling, one sigmoid per class: p = 1 / (1 + exp(slope * decision + intercept)).

    Source: J. Platt, "Probabilistic outputs for support vector machines and comparisons to
    regularized likelihood methods", 1999. A class that means anything has a negative slope.
    """

    slope: tuple[float, ...]
    intercept: tuple[float, ...]


class Fallback(StrEnum):
    """What happens to a document with a known term and no class above its threshold."""

    NONE = "none"
    """It stays without a label: for corpora in which documents may have none."""
    BEST = "best"
    """It gets its most probable class: for single-label corpora."""


class ScorerSource(Protocol):
    """All that a scorer needs; both `BundleContent` and an opened `Bundle` offer it."""

    @property
    def classes(self) -> Sequence[str]:
        """Class names in column order."""

    @property
    def vectorizer(self) -> VectorizerConfig:
        """How a text becomes term counts and weights."""

    @property
    def terms(self) -> Sequence[str]:
        """Terms in row order of `weights`."""

    @property
    def idf(self) -> NDArray[np.float32] | None:
        """float32 (terms,), or None exactly when `vectorizer.use_idf` is False."""

    @property
    def weights(self) -> NDArray[np.float32]:
        """float32 (terms, classes), C-contiguous."""

    @property
    def intercept(self) -> NDArray[np.float32]:
        """float32 (classes,)."""

    @property
    def calibration(self) -> Calibration:
        """From decisions to probabilities."""

    @property
    def characters(self) -> NDArray[np.uint32] | None:
        """What Python said of every character at training; None exactly when only the reference scorer will do."""

    @property
    def index(self) -> NDArray[np.uint64] | None:
        """The native scorer's lookup index, ready made; None when there is none yet."""


@dataclass(frozen=True, slots=True)
class BundleContent:
    """Everything training hands over; k classes, n terms.

    There is one column per class also when there are two classes: scikit-learn's one-vs-rest
    makes a single estimator of a two-class target, so training binarises the labels itself.

    Attributes:
        lang: normalised language code, such as "en".
        classes: k distinct class names in column order.
        terms: n distinct terms in column order of the vectorizer.
        idf: float32 (n,), or None exactly when `vectorizer.use_idf` is False.
        weights: float32 (n, k): the transposed coefficients of the k estimators.
        intercept: float32 (k,).
        thresholds: k numbers; a class is a label iff its probability is at least its threshold.
        golden_texts: at least one text; their scores are stored and verified at every load.
        training: how the model came to be (data digest, counts, seed, parameters), JSON values
            only. It counts for the digest: leave durations and paths out of it.
        metrics: what it reached, JSON values only; counts for the digest too. `clf models list`
            shows "micro_f1" of the object "cross_validation", or else of the whole.
    """

    lang: str
    classes: tuple[str, ...]
    vectorizer: VectorizerConfig
    terms: Sequence[str]
    idf: NDArray[np.float32] | None
    weights: NDArray[np.float32]
    intercept: NDArray[np.float32]
    calibration: Calibration
    thresholds: tuple[float, ...]
    fallback: Fallback
    golden_texts: Sequence[str]
    training: Mapping[str, object]
    metrics: Mapping[str, object]

    @property
    def characters(self) -> NDArray[np.uint32] | None:
        """What this Python says of every character; None when only the reference scorer can follow the settings."""
        return character_table() if reference_only(self.vectorizer) is None else None

    @property
    def index(self) -> None:
        """None: an index is built when a bundle is written, or by the scorer itself."""
