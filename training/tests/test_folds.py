"""Folds: even, repeatable, and never more than there are documents."""

import numpy as np
import pytest

from training.features import FeatureParameters, count_terms
from training.folds import cross_decide, deal_folds
from training.linear import SvmParameters, fit_linear


def test_every_class_is_spread_evenly() -> None:
    """With one label per document the folds of a class differ by one document at most."""
    labels = np.repeat([0, 1, 2], [50, 23, 7])
    folds = deal_folds(np.eye(3, dtype=bool)[labels], 5, seed=3)
    for label in range(3):
        sizes = np.bincount(folds[labels == label], minlength=5)
        assert sizes.max() - sizes.min() <= 1


def test_rare_classes_of_multi_label_documents_are_spread_evenly() -> None:
    """A rare class is dealt first, whatever else its documents are."""
    targets = np.zeros((100, 2), dtype=bool)
    targets[:, 0] = True
    targets[:10, 1] = True
    folds = deal_folds(targets, 5, seed=0)
    assert np.bincount(folds[:10], minlength=5).tolist() == [2] * 5


def test_the_same_seed_deals_the_same_folds() -> None:
    """Repeatable for one seed, different for another."""
    targets = np.eye(2, dtype=bool)[np.arange(40) % 2]
    assert (deal_folds(targets, 5, 1) == deal_folds(targets, 5, 1)).all()
    assert (deal_folds(targets, 5, 1) != deal_folds(targets, 5, 2)).any()


def test_a_constant_class_gets_a_constant_decision() -> None:
    """A class that all or none of the training documents have is decided without a machine."""
    counts = count_terms(["one two", "two three", "three four", "four one"], 1, lambda _: None)
    targets = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 1]], dtype=bool)
    linear = fit_linear(counts.matrix, targets, SvmParameters(c=100.0), seed=0)
    decisions = linear.decide(counts.matrix)
    assert (decisions[:, 0] == 1.0).all()
    assert (decisions[:, 1] == -1.0).all()
    assert (decisions[:, 2] > 0).tolist() == [True, False, False, True]


@pytest.mark.parametrize("machines", [[SvmParameters(c=1.0)], [SvmParameters(c=1.0), SvmParameters(c=0.1)]])
def test_cross_validated_decisions_come_from_documents_not_seen(machines: list[SvmParameters]) -> None:
    """A word that only one document has cannot help to decide that document."""
    texts = [f"shared{number % 2} unique{number}" for number in range(20)]
    targets = np.eye(2, dtype=bool)[np.arange(20) // 10]
    counts = count_terms(texts, 1, lambda _: None)
    steps: list[int] = []
    folds = deal_folds(targets, 5, 0)
    decided = cross_decide(counts, targets, folds, FeatureParameters(), machines, 0, steps.append)
    assert len(decided) == len(machines)
    assert sum(steps) == 5 * len(machines)
    own = fit_linear(counts.matrix, targets, machines[0], 0).decide(counts.matrix)
    assert ((own > 0) == targets).all()
    assert not ((decided[0] > 0) == targets).all()
