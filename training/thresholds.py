"""From probabilities to label sets: which class is a label of which document.

Three rules compete, and cross-validated micro-F1 decides:

* best-only: the most probable class and no other (single-label corpora only);
* shared: one threshold for all classes. In calibrated probabilities that is one cut per class in decisions;
* per-class: SCutFBR.1, the threshold with the best F1 for each class, or the highest score that was seen where
  even this F1 stays below a limit (FBR). Y. Yang, "A study of thresholding strategies for text categorization",
  SIGIR 2001; D. D. Lewis et al., "RCV1: A new benchmark collection", JMLR 5, 2004.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.content import Fallback
from training.calibration import MIN_POSITIVES
from training.folds import Folds
from training.scores import Flags, micro_f1

Probabilities = NDArray[np.float64]
SHARED_GRID = np.round(np.arange(0.10, 0.91, 0.01), 2)
FBR_LIMITS = (0.1, 0.3, 0.5)
MIN_GAIN = 0.005
"""What a less simple way must add to micro-F1 to be chosen; on a thousand documents, less is chance."""
ONLY_BEST = 1.0
"""No probability but 1 itself reaches it, so that the fallback alone decides."""


class ThresholdRule(StrEnum):
    """How thresholds come about."""

    BEST_ONLY = "best-only"
    SHARED = "shared"
    PER_CLASS = "per-class"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to set thresholds.

    Attributes:
        rule: how.
        fallback: what a document without a class above its threshold gets.
        fbr: the F1 below which `PER_CLASS` takes the highest score; unused by the other rules.
    """

    rule: ThresholdRule
    fallback: Fallback
    fbr: float = 0.0


@dataclass(frozen=True, slots=True)
class ChosenThresholds:
    """The outcome.

    Attributes:
        thresholds: float64 (classes,).
        candidate: which way won.
        micro_f1: what it reached where thresholds were set on some folds and tried on another.
        predicted: bool (documents, classes), the label sets of those trials on the first deal.
    """

    thresholds: NDArray[np.float64]
    candidate: Candidate
    micro_f1: float
    predicted: Flags


def assign_labels(probabilities: Probabilities, thresholds: NDArray[np.float64], fallback: Fallback) -> Flags:
    """Label sets, bool (documents, classes), as `models.model.Model` makes them."""
    labels: Flags = probabilities >= thresholds
    if fallback is Fallback.BEST:
        bare = np.flatnonzero(~labels.any(axis=1))
        labels[bare, probabilities[bare].argmax(axis=1)] = True
    return labels


def candidates(
    *, single_label: bool, rule: ThresholdRule | None = None, fallback: Fallback | None = None
) -> list[Candidate]:
    """The ways that come into question, simplest first; `rule` and `fallback` leave only those of that kind.

    There is none for best-only without a fallback, which would never give a label.
    """
    fallbacks = [fallback] if fallback else [Fallback.BEST] if single_label else [Fallback.NONE, Fallback.BEST]
    found = [Candidate(ThresholdRule.BEST_ONLY, Fallback.BEST)] if single_label or rule == "best-only" else []
    for each in fallbacks:
        found.append(Candidate(ThresholdRule.SHARED, each))
        found.extend(Candidate(ThresholdRule.PER_CLASS, each, fbr) for fbr in FBR_LIMITS)
    return [item for item in found if (rule or item.rule) == item.rule and (fallback or item.fallback) == item.fallback]


def choose_thresholds(
    probabilities: Sequence[Probabilities], truth: Flags, deals: Sequence[Folds], ways: Sequence[Candidate]
) -> ChosenThresholds:
    """Try each way across folds, and set thresholds the best way on everything; a later one must win by `MIN_GAIN`.

    Args:
        probabilities: cross-validated, (documents, classes), one array per deal.
        truth: bool of the same shape.
        deals: fold of each document, one array per deal.
        ways: one or more, simplest first.
    """
    tried = [[_try(way, *pair, truth) for pair in zip(probabilities, deals, strict=True)] for way in ways]
    reached = [sum(micro_f1(truth, predicted) for predicted in each) / len(deals) for each in tried]
    best = 0
    for number, score in enumerate(reached):
        best = number if score >= reached[best] + MIN_GAIN else best
    thresholds = set_thresholds(ways[best], probabilities[0], truth)
    return ChosenThresholds(thresholds, ways[best], reached[best], tried[best][0])


def set_thresholds(way: Candidate, probabilities: Probabilities, truth: Flags) -> NDArray[np.float64]:
    """Thresholds, float64 (classes,), from cross-validated probabilities and what was true."""
    if way.rule is ThresholdRule.BEST_ONLY:
        return np.full(truth.shape[1], ONLY_BEST)
    shared = shared_threshold(probabilities, truth, way.fallback)
    if way.rule is ThresholdRule.SHARED:
        return np.full(truth.shape[1], shared)
    return scut_fbr1(probabilities, truth, way.fbr, shared)


def shared_threshold(probabilities: Probabilities, truth: Flags, fallback: Fallback) -> float:
    """The one threshold with the best micro-F1; in the middle when several are equally good."""
    reached = np.array(
        [micro_f1(truth, assign_labels(probabilities, threshold, fallback)) for threshold in SHARED_GRID]
    )
    best = np.flatnonzero(reached == reached.max())
    return float(SHARED_GRID[best[len(best) // 2]])


def scut_fbr1(probabilities: Probabilities, truth: Flags, fbr: float, fallback: float) -> NDArray[np.float64]:
    """SCutFBR.1 per class; classes with fewer than `MIN_POSITIVES` documents get the threshold `fallback`."""
    thresholds = np.full(truth.shape[1], fallback)
    for column in np.flatnonzero(truth.sum(axis=0) >= MIN_POSITIVES):
        thresholds[column] = _scut(probabilities[:, column], truth[:, column], fbr)
    return thresholds


def _scut(scores: NDArray[np.float64], truth: Flags, fbr: float) -> float:
    """The cut with the best F1 for one class, half-way between two neighbouring scores."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    found = np.cumsum(truth[order])
    f1 = 2.0 * found / (np.arange(1, len(ranked) + 1) + found[-1])
    is_cut = np.append(ranked[1:] < ranked[:-1], True)
    best = int(np.where(is_cut, f1, -1.0).argmax())
    if f1[best] < fbr or best + 1 == len(ranked):
        return float(ranked[0] if f1[best] < fbr else ranked[-1])
    return float((ranked[best] + ranked[best + 1]) / 2)


def _try(way: Candidate, probabilities: Probabilities, folds: Folds, truth: Flags) -> Flags:
    predicted = np.zeros(truth.shape, dtype=bool)
    for fold in np.unique(folds):
        here = folds == fold
        if here.all():
            here_thresholds = set_thresholds(way, probabilities, truth)
        else:
            here_thresholds = set_thresholds(way, probabilities[~here], truth[~here])
        predicted[here] = assign_labels(probabilities[here], here_thresholds, way.fallback)
    return predicted
