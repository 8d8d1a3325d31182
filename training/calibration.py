"""From decisions to probabilities: one sigmoid per class.

Source: J. Platt, "Probabilistic outputs for support vector machines and comparisons to regularized likelihood
methods", 1999; with the corrections and the target smoothing of H.-T. Lin, C.-J. Lin, R. C. Weng, "A note on Platt's
probabilistic outputs for support vector machines", Machine Learning 68, 2007.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from models.content import Calibration
from training.linear import Targets

Decisions = NDArray[np.float64]
MIN_POSITIVES = 3
_MAX_STEPS = 100
_RIDGE = 1e-12
_SMALLEST_STEP = 1e-10
_DECREASE = 1e-4
_GRADIENT_LIMIT = 1e-7


class Sigmoid(NamedTuple):
    """p = 1 / (1 + exp(slope * decision + intercept)); a negative slope: the higher, the more probable."""

    slope: float
    intercept: float


@dataclass(frozen=True, slots=True)
class FittedCalibration:
    """A sigmoid per class.

    Attributes:
        calibration: for the bundle.
        shared: columns of the classes too small (or too odd) for their own sigmoid.
    """

    calibration: Calibration
    shared: tuple[int, ...]


def fit_calibration(decisions: Decisions, targets: Targets) -> FittedCalibration:
    """Fit on cross-validated decisions, (documents, classes), and what was true, of the same shape.

    A class with fewer than `MIN_POSITIVES` documents of either kind, or whose documents score lower than
    the others, says too little for a sigmoid of its own. All such classes share one, fitted on
    their decisions together; when even these are too few, on the decisions of all classes.
    """
    own = [fit_sigmoid(decisions[:, column], targets[:, column]) for column in range(targets.shape[1])]
    shared = tuple(column for column, sigmoid in enumerate(own) if _unusable(sigmoid, targets[:, column]))
    if shared:
        common = _shared_sigmoid(decisions, targets, shared)
        own = [common if column in shared else sigmoid for column, sigmoid in enumerate(own)]
    slopes, intercepts = zip(*own, strict=True)
    return FittedCalibration(Calibration(slopes, intercepts), shared)


def average_calibration(fitted: Sequence[FittedCalibration]) -> FittedCalibration:
    """The mean of sigmoids that were fitted on different folds of the same documents, so that folds matter less."""
    slopes = np.mean([each.calibration.slope for each in fitted], axis=0)
    intercepts = np.mean([each.calibration.intercept for each in fitted], axis=0)
    shared = sorted({column for each in fitted for column in each.shared})
    return FittedCalibration(Calibration(tuple(slopes.tolist()), tuple(intercepts.tolist())), tuple(shared))


def probabilities(decisions: Decisions, calibration: Calibration) -> NDArray[np.float64]:
    """Apply a sigmoid per column."""
    slope, intercept = np.array(calibration.slope), np.array(calibration.intercept)
    calibrated: NDArray[np.float64] = expit(-(decisions * slope + intercept))
    return calibrated


def fit_sigmoid(decisions: Decisions, targets: Targets) -> Sigmoid:
    """The sigmoid of greatest likelihood for one class, by Newton's method with backtracking.

    Args:
        decisions: (documents,).
        targets: bool (documents,).
    """
    positives = int(targets.sum())
    negatives = len(targets) - positives
    smoothed = np.where(targets, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    point = np.array([0.0, np.log((negatives + 1) / (positives + 1))])
    loss = _loss(point, decisions, smoothed)
    for _ in range(_MAX_STEPS):
        gradient, hessian = _derivatives(point, decisions, smoothed)
        if np.abs(gradient).max() < _GRADIENT_LIMIT * len(targets):
            break
        direction = -np.linalg.solve(hessian, gradient)
        needed = _DECREASE * float(gradient @ direction)
        step = 1.0
        while step >= _SMALLEST_STEP and _loss(point + step * direction, decisions, smoothed) >= loss + step * needed:
            step /= 2
        if step < _SMALLEST_STEP:
            break
        point = point + step * direction
        loss = _loss(point, decisions, smoothed)
    return Sigmoid(float(point[0]), float(point[1]))


def _loss(point: NDArray[np.float64], decisions: Decisions, smoothed: NDArray[np.float64]) -> float:
    """Negative log-likelihood; ln(1 + exp(z)) is taken without overflow."""
    z = point[0] * decisions + point[1]
    return float(np.sum(np.logaddexp(0.0, z) - (1.0 - smoothed) * z))


def _derivatives(
    point: NDArray[np.float64], decisions: Decisions, smoothed: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p = expit(-(point[0] * decisions + point[1]))
    residual = smoothed - p
    gradient = np.array([residual @ decisions, residual.sum()])
    spread = p * (1.0 - p)
    mixed = spread @ decisions
    hessian = np.array([[spread @ decisions**2 + _RIDGE, mixed], [mixed, spread.sum() + _RIDGE]])
    return gradient, hessian


def _unusable(sigmoid: Sigmoid, targets: Targets) -> bool:
    fewer = min(int(targets.sum()), int((~targets).sum()))
    return fewer < MIN_POSITIVES or sigmoid.slope >= 0.0


def _shared_sigmoid(decisions: Decisions, targets: Targets, columns: tuple[int, ...]) -> Sigmoid:
    together = fit_sigmoid(decisions[:, columns].ravel(), targets[:, columns].ravel())
    if not _unusable(together, targets[:, columns].ravel()):
        return together
    everything = fit_sigmoid(decisions.ravel(), targets.ravel())
    return Sigmoid(min(everything.slope, 0.0), everything.intercept)
