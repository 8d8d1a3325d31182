"""Platt's sigmoids: the optimum, the small classes, the odd ones."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from training.calibration import MIN_POSITIVES, average_calibration, fit_calibration, fit_sigmoid, probabilities


def sample(
    seed: int, documents: int = 400, slope: float = -2.0, intercept: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Decisions, and targets drawn with the probability of a known sigmoid."""
    random = np.random.default_rng(seed)
    decisions = random.normal(size=documents)
    return decisions, random.random(documents) < expit(-(slope * decisions + intercept))


def loss_of(decisions: NDArray[np.float64], targets: NDArray[np.bool_]) -> Callable[[NDArray[np.float64]], float]:
    """The negative log-likelihood with smoothed targets, written down once more."""
    positives, negatives = targets.sum(), (~targets).sum()
    smoothed = np.where(targets, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    return lambda point: float(
        np.sum(np.logaddexp(0, point[0] * decisions + point[1]) - (1 - smoothed) * (point[0] * decisions + point[1]))
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_sigmoid_is_the_optimum_a_general_optimiser_finds(seed: int) -> None:
    """Newton's method ends where a derivative-free search of the same likelihood ends."""
    decisions, targets = sample(seed)
    ours = fit_sigmoid(decisions, targets)
    theirs = minimize(
        loss_of(decisions, targets), [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}
    )
    np.testing.assert_allclose(ours, theirs.x, atol=1e-4)


def test_a_known_sigmoid_is_found_again() -> None:
    """With many documents the parameters that made the targets come out."""
    np.testing.assert_allclose(fit_sigmoid(*sample(0, 50_000)), (-2.0, 1.0), atol=0.1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6, allow_nan=False), st.booleans()),
        min_size=1,
        max_size=40,
    )
)
def test_any_decisions_give_a_finite_sigmoid(pairs: list[tuple[float, bool]]) -> None:
    """Separated, constant, huge and single values neither crash nor give NaN."""
    decisions = np.array([decision for decision, _ in pairs])
    targets = np.array([target for _, target in pairs])
    assert np.isfinite(fit_sigmoid(decisions, targets)).all()


def test_separated_classes_stay_below_certainty() -> None:
    """The smoothed targets keep probabilities of perfectly separated documents off 0 and 1."""
    decisions, targets = np.array([-1.0] * 10 + [1.0] * 10), np.array([False] * 10 + [True] * 10)
    slope, intercept = fit_sigmoid(decisions, targets)
    assert expit(-(slope + intercept)) == pytest.approx(11 / 12, abs=1e-3)


def test_small_classes_share_one_curve() -> None:
    """Classes with too few documents get the same sigmoid, fitted on them together; others keep their own."""
    decisions = np.random.default_rng(0).normal(-1, 0.3, (200, 4))
    targets = np.zeros((200, 4), dtype=bool)
    targets[:60, 0] = True
    for column in (1, 2, 3):
        targets[column * 10 : column * 10 + 2, column] = True
    decisions[targets] += 1.5
    fitted = fit_calibration(decisions, targets)
    assert fitted.shared == (1, 2, 3)
    assert len(set(fitted.calibration.slope[1:])) == 1
    assert fitted.calibration.slope[1:] == (fit_sigmoid(decisions[:, 1:].ravel(), targets[:, 1:].ravel()).slope,) * 3
    assert fitted.calibration.slope[0] == fit_sigmoid(decisions[:, 0], targets[:, 0]).slope


def test_a_class_with_the_least_number_of_documents_has_its_own_curve() -> None:
    """The limit itself is enough."""
    decisions = np.linspace(-1, 1, 40)[:, None] * np.ones((1, 2))
    targets = np.zeros((40, 2), dtype=bool)
    targets[-MIN_POSITIVES:, 0] = True
    targets[-MIN_POSITIVES + 1 :, 1] = True
    assert fit_calibration(decisions, targets).shared == (1,)


def test_a_class_that_scores_upside_down_does_not_get_a_rising_curve() -> None:
    """Where positive documents score lower than the rest, the shared curve is used and never falls the wrong way."""
    decisions = np.column_stack([np.linspace(-1, 1, 50), np.linspace(-1, 1, 50)])
    targets = np.column_stack([np.arange(50) > 25, np.arange(50) < 20])
    fitted = fit_calibration(decisions, targets)
    assert fitted.shared == (1,)
    assert fitted.calibration.slope[1] <= 0


def test_one_document_alone_is_calibrated_without_error() -> None:
    """The smallest corpus of all gives finite numbers."""
    fitted = fit_calibration(np.array([[0.5, -0.5]]), np.array([[True, False]]))
    assert np.isfinite(fitted.calibration.slope + fitted.calibration.intercept).all()


def test_probabilities_apply_each_class_its_own_sigmoid() -> None:
    """Columns are not mixed up."""
    decisions, targets = sample(1)
    both = np.column_stack([decisions, -decisions])
    fitted = fit_calibration(both, np.column_stack([targets, ~targets]))
    result = probabilities(both, fitted.calibration)
    for column in (0, 1):
        line = fitted.calibration.slope[column] * both[:, column] + fitted.calibration.intercept[column]
        np.testing.assert_allclose(result[:, column], 1 / (1 + np.exp(line)))


def test_sigmoids_of_several_deals_are_averaged() -> None:
    """Slopes and intercepts are means, and a class shared in one deal counts as shared."""
    decisions, targets = sample(2)
    one = fit_calibration(decisions[:, None], targets[:, None])
    two = fit_calibration(2 * decisions[:, None], targets[:, None])
    mean = average_calibration([one, two, replace(two, shared=(0,))])
    assert mean.calibration.slope[0] == pytest.approx((one.calibration.slope[0] + 2 * two.calibration.slope[0]) / 3)
    assert mean.shared == (0,)
