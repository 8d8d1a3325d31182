"""Folds for cross-validation, and the decisions that each document gets from machines that have not seen it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.features import FeatureParameters, Rows, TermCounts, choose_terms, weigh
from training.linear import SvmParameters, Targets, fit_linear

Folds = NDArray[np.intp]


def deal_folds(targets: Targets, folds: int, seed: int) -> Folds:
    """Give every document a fold, intp (documents,), so that each class is spread as evenly as can be.

    Documents are shuffled, grouped by the rarest of their classes, and dealt like cards; for one
    label per document that is stratification, for several it favours the rare classes, as
    Sechidis et al. 2011 ("On the stratification of multi-label data") do.
    """
    documents = len(targets)
    sizes = targets.sum(axis=0)
    rarest = np.where(targets, sizes, documents + 1).argmin(axis=1)
    order = np.random.default_rng(seed).permutation(documents)
    order = order[np.argsort(rarest[order], kind="stable")]
    dealt = np.empty(documents, dtype=np.intp)
    dealt[order] = np.arange(documents) % folds
    return dealt


@dataclass(frozen=True, slots=True)
class Split:
    """One fold's matrices: what is learned from and what is then decided."""

    train_rows: Rows
    test_rows: Rows
    train: csr_matrix
    test: csr_matrix


def split_features(
    counts: TermCounts, targets: Targets, folds: Folds, parameters: FeatureParameters
) -> Iterator[Split]:
    """The matrices of each fold; vocabulary and term weights come from the fold's training documents alone."""
    counts = counts.cut(parameters.prefix)
    for fold in range(int(folds.max()) + 1):
        train_rows, test_rows = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        vocabulary = choose_terms(counts, train_rows, targets[train_rows], parameters)
        yield Split(
            train_rows,
            test_rows,
            weigh(counts, train_rows, vocabulary, parameters),
            weigh(counts, test_rows, vocabulary, parameters),
        )


def cross_decide(
    counts: TermCounts,
    targets: Targets,
    folds: Folds,
    features: FeatureParameters,
    machines: list[SvmParameters],
    seed: int,
    advance: Callable[[int], None],
) -> list[NDArray[np.float64]]:
    """Cross-validated decisions, float64 (documents, classes), for each of several machine settings.

    `advance` is called with 1 per fold and setting.
    """
    decisions = [np.empty(targets.shape) for _ in machines]
    for split in split_features(counts, targets, folds, features):
        for machine, decided in zip(machines, decisions, strict=True):
            linear = fit_linear(split.train, targets[split.train_rows], machine, seed)
            decided[split.test_rows] = linear.decide(split.test)
            advance(1)
    return decisions
