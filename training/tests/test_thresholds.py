"""Threshold rules: each does what its source says, and cross-validation takes the simplest good one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.content import Fallback
from training.calibration import MIN_POSITIVES
from training.scores import micro_f1
from training.thresholds import (
    ONLY_BEST,
    Candidate,
    ThresholdRule,
    assign_labels,
    candidates,
    choose_thresholds,
    scut_fbr1,
    set_thresholds,
    shared_threshold,
)


def best_f1_by_force(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The best F1 over every possible cut, computed the slow way."""
    reached = [0.0]
    for cut in scores:
        given = scores >= cut
        reached.append(2 * (given & truth).sum() / (given.sum() + truth.sum()))
    return max(reached)


@pytest.mark.parametrize("seed", range(6))
def test_scut_reaches_the_best_f1_there_is(seed: int) -> None:
    """On any scores, ties included, no other cut has a higher F1."""
    random = np.random.default_rng(seed)
    scores = np.round(random.random((80, 3)), 1 if seed % 2 else 6)
    truth = random.random((80, 3)) < scores * 0.6
    truth[:MIN_POSITIVES] = True
    thresholds = scut_fbr1(scores, truth, fbr=0.0, fallback=0.5)
    for column in range(3):
        given = scores[:, column] >= thresholds[column]
        f1 = 2 * (given & truth[:, column]).sum() / (given.sum() + truth[:, column].sum())
        assert f1 == pytest.approx(best_f1_by_force(scores[:, column], truth[:, column]))


def test_fbr1_takes_the_highest_score_of_a_hopeless_class() -> None:
    """Where even the best F1 is below the limit, only a score as high as the highest seen is a label."""
    scores = np.linspace(0.0, 0.9, 100)[:, None]
    truth = np.zeros((100, 1), dtype=bool)
    truth[[3, 40, 60]] = True
    assert scut_fbr1(scores, truth, fbr=0.5, fallback=0.5) == [0.9]
    assert scut_fbr1(scores, truth, fbr=0.0, fallback=0.5) != [0.9]


def test_small_classes_get_the_shared_threshold() -> None:
    """Two documents do not make a threshold."""
    truth = np.zeros((50, 2), dtype=bool)
    truth[:MIN_POSITIVES, 0] = True
    truth[: MIN_POSITIVES - 1, 1] = True
    scores = np.where(truth, 0.9, 0.1)
    thresholds = scut_fbr1(scores, truth, fbr=0.3, fallback=0.42)
    assert thresholds[0] == pytest.approx(0.5)
    assert thresholds[1] == 0.42


def test_the_shared_threshold_is_the_middle_of_the_best_ones() -> None:
    """Between well separated scores the cut keeps away from both sides."""
    truth = np.array([[True, False], [False, True]] * 10)
    scores = np.where(truth, 0.8, 0.2)
    assert shared_threshold(scores, truth, Fallback.NONE) == pytest.approx(0.5, abs=0.02)


def test_a_document_above_no_threshold_gets_its_best_class_or_none() -> None:
    """The fallback decides, and only for documents without a label."""
    probabilities = np.array([[0.2, 0.3], [0.6, 0.7]])
    thresholds = np.array([0.5, 0.5])
    assert assign_labels(probabilities, thresholds, Fallback.NONE).tolist() == [[False, False], [True, True]]
    assert assign_labels(probabilities, thresholds, Fallback.BEST).tolist() == [[False, True], [True, True]]


def test_best_only_gives_one_label_even_to_sure_documents() -> None:
    """No second class gets past the threshold of best-only, however probable."""
    probabilities = np.array([[0.999999, 0.99], [0.3, 0.2]])
    truth = np.eye(2, dtype=bool)
    thresholds = set_thresholds(Candidate(ThresholdRule.BEST_ONLY, Fallback.BEST), probabilities, truth)
    assert thresholds.tolist() == [ONLY_BEST] * 2
    assert assign_labels(probabilities, thresholds, Fallback.BEST).sum(axis=1).tolist() == [1, 1]


def test_single_label_corpora_always_fall_back_to_the_best_class() -> None:
    """Every way that comes into question keeps at least one label, and best-only comes first."""
    ways = candidates(single_label=True)
    assert {way.fallback for way in ways} == {Fallback.BEST}
    assert ways[0].rule is ThresholdRule.BEST_ONLY


def test_multi_label_corpora_never_get_best_only_by_themselves() -> None:
    """Both fallbacks compete there, and best-only has to be asked for."""
    ways = candidates(single_label=False)
    assert {way.fallback for way in ways} == set(Fallback)
    assert ThresholdRule.BEST_ONLY not in {way.rule for way in ways}
    assert {way.rule for way in candidates(single_label=False, rule=ThresholdRule.BEST_ONLY)} == {
        ThresholdRule.BEST_ONLY
    }


@pytest.mark.parametrize("single_label", [True, False])
@pytest.mark.parametrize("rule", [None, *ThresholdRule])
@pytest.mark.parametrize("fallback", [None, *Fallback])
def test_every_combination_of_options_leaves_a_way(
    *, single_label: bool, rule: ThresholdRule | None, fallback: Fallback | None
) -> None:
    """Whatever is pinned, there is a way to set thresholds, and it is what was pinned; but for one contradiction."""
    ways = candidates(single_label=single_label, rule=rule, fallback=fallback)
    contradiction = (rule, fallback) == (ThresholdRule.BEST_ONLY, Fallback.NONE)
    assert bool(ways) != contradiction
    assert all(rule in (None, way.rule) for way in ways)
    assert all(fallback in (None, way.fallback) for way in ways)


def test_the_simpler_way_wins_unless_another_is_clearly_better() -> None:
    """On separable single-label documents best-only is kept although others do as well."""
    truth = np.eye(3, dtype=bool)[np.arange(60) % 3]
    folds = np.arange(60) % 5
    ways = candidates(single_label=True)
    chosen = choose_thresholds([np.where(truth, 0.9, 0.1)], truth, [folds], ways)
    assert chosen.candidate.rule is ThresholdRule.BEST_ONLY
    assert chosen.micro_f1 == 1.0


def test_several_labels_are_found_when_documents_have_several() -> None:
    """On separable multi-label documents the chosen thresholds give exactly the true sets."""
    random = np.random.default_rng(0)
    truth = random.random((80, 4)) < 0.5
    scores = np.where(truth, 0.8, 0.2) + random.normal(0, 0.05, truth.shape)
    folds = np.arange(80) % 5
    chosen = choose_thresholds([scores], truth, [folds], candidates(single_label=False, fallback=Fallback.NONE))
    assert micro_f1(truth, assign_labels(scores, chosen.thresholds, Fallback.NONE)) > 0.99
    assert micro_f1(truth, chosen.predicted) == pytest.approx(chosen.micro_f1)


def test_thresholds_that_are_tried_were_set_on_other_folds() -> None:
    """A class that occurs in one fold only cannot have been learned from it."""
    truth = np.zeros((20, 2), dtype=bool)
    truth[:, 0] = True
    truth[:4, 1] = True
    scores = np.where(truth, 0.15, 0.12)
    scores[:, 0] = 0.9
    folds = np.repeat(np.arange(5), 4)
    way = Candidate(ThresholdRule.PER_CLASS, Fallback.NONE)
    chosen = choose_thresholds([scores], truth, [folds], [way])
    assert assign_labels(scores, chosen.thresholds, Fallback.NONE)[:4, 1].all()
    assert not chosen.predicted[:4, 1].any()
