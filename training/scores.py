"""F1 and calibration error on arrays: what training chooses by and what evaluation reports."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS = 10

Flags = NDArray[np.bool_]


class Bin(NamedTuple):
    """One bin of a reliability diagram: how many, mean probability, share that was true."""

    pairs: int
    confidence: float
    accuracy: float


class Tally(NamedTuple):
    """What micro-F1 is made of, document by document, so that two models can be compared in pairs.

    Attributes:
        hits: float64 (documents,), labels given that are true.
        sizes: float64 (documents,), labels given plus true labels.
    """

    hits: NDArray[np.float64]
    sizes: NDArray[np.float64]

    @classmethod
    def average(cls, truth: Flags, predictions: Sequence[Flags]) -> "Tally":
        """The mean over several predictions for the same documents, each bool (documents, classes)."""
        hits = [(truth & predicted).sum(axis=1) for predicted in predictions]
        sizes = [truth.sum(axis=1) + predicted.sum(axis=1) for predicted in predictions]
        return cls(np.mean(hits, axis=0), np.mean(sizes, axis=0))

    @property
    def micro_f1(self) -> float:
        """F1 over all documents."""
        return float(2.0 * self.hits.sum() / max(self.sizes.sum(), 1.0))

    def gain_over(self, other: "Tally") -> tuple[float, float]:
        """How much better this is in micro-F1, and the standard error of that, to first order over the documents."""
        hits, sizes = self.hits - other.hits, self.sizes - other.sizes
        gains = (2.0 * hits - other.micro_f1 * sizes) / max(other.sizes.mean(), 1.0)
        return float(gains.mean()), float(gains.std() / np.sqrt(len(gains)))


def micro_f1(truth: Flags, predicted: Flags) -> float:
    """F1 over all (document, class) pairs, both bool (documents, classes); 0 when there is nothing to find."""
    return _f1(int((truth & predicted).sum()), int(truth.sum()) + int(predicted.sum()))


def class_f1(truth: Flags, predicted: Flags) -> NDArray[np.float64]:
    """F1 of each class, float64 (classes,); 0 where a class neither occurs nor is predicted."""
    both = (truth & predicted).sum(axis=0)
    sums = truth.sum(axis=0) + predicted.sum(axis=0)
    f1: NDArray[np.float64] = 2.0 * both / np.maximum(sums, 1)
    return f1


def macro_f1(truth: Flags, predicted: Flags) -> float:
    """Mean of `class_f1`, as scikit-learn's `f1_score(average="macro", zero_division=0)`."""
    return float(class_f1(truth, predicted).mean())


def reliability(probabilities: NDArray[np.float64], truth: Flags) -> list[Bin]:
    """The bins that hold anything, of `BINS` of equal width; both arrays have the same shape."""
    flat, true = probabilities.ravel(), truth.ravel()
    numbers = np.minimum((flat * BINS).astype(np.intp), BINS - 1)
    counts = np.bincount(numbers, minlength=BINS)
    confidence = np.bincount(numbers, weights=flat, minlength=BINS)
    accuracy = np.bincount(numbers, weights=true, minlength=BINS)
    filled = np.flatnonzero(counts)
    return [Bin(int(counts[i]), float(confidence[i] / counts[i]), float(accuracy[i] / counts[i])) for i in filled]


def calibration_error(bins: list[Bin]) -> float:
    """Expected calibration error: mean distance of confidence and accuracy, weighted by the number of pairs.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3.
    """
    total = sum(item.pairs for item in bins)
    return sum(item.pairs * abs(item.confidence - item.accuracy) for item in bins) / max(total, 1)


def top_label(probabilities: NDArray[np.float64], truth: Flags) -> tuple[NDArray[np.float64], Flags]:
    """Probability of each document's most probable class and whether that class was true, both (documents,)."""
    rows, best = np.arange(len(probabilities)), probabilities.argmax(axis=1)
    return probabilities[rows, best], truth[rows, best]


def _f1(both: int, total: int) -> float:
    return 2.0 * both / total if total else 0.0
