"""What a model reached in cross-validation, and how its labels are decided."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.calibration import FittedCalibration, average_calibration, fit_calibration, probabilities
from training.folds import Folds
from training.linear import Targets
from training.scores import calibration_error, class_f1, macro_f1, micro_f1, reliability, top_label
from training.thresholds import Candidate, ChosenThresholds, choose_thresholds

_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What was reached on training documents that the machines had not seen; thresholds came from other folds.

    Attributes:
        micro_f1: over all (document, class) pairs.
        macro_f1: mean over the classes.
        calibration_error: expected calibration error over all (document, class) pairs.
        top_calibration_error: the same for the most probable class of each document.
        coverage: share of documents with at least one label.
        class_f1: (classes,).
    """

    micro_f1: float
    macro_f1: float
    calibration_error: float
    top_calibration_error: float
    coverage: float
    class_f1: tuple[float, ...]

    def as_json(self, classes: Sequence[str]) -> dict[str, object]:
        """Plain values, rounded."""
        return {
            "micro_f1": round(self.micro_f1, _DECIMALS),
            "macro_f1": round(self.macro_f1, _DECIMALS),
            "expected_calibration_error": round(self.calibration_error, _DECIMALS),
            "top_label_calibration_error": round(self.top_calibration_error, _DECIMALS),
            "coverage": round(self.coverage, _DECIMALS),
            "class_f1": {name: round(value, _DECIMALS) for name, value in zip(classes, self.class_f1, strict=True)},
        }


@dataclass(frozen=True, slots=True)
class Decided:
    """How decisions become labels, and how well that went."""

    calibrated: FittedCalibration
    chosen: ChosenThresholds
    reached: CrossValidation


def decide_labels(
    decisions: Sequence[NDArray[np.float64]], targets: Targets, deals: Sequence[Folds], ways: Sequence[Candidate]
) -> Decided:
    """Calibrate cross-validated decisions and set thresholds on them.

    Sigmoids are averaged over the deals; all deals choose how thresholds are set, and the first sets them.

    Args:
        decisions: (documents, classes), one array per deal.
        targets: bool, of the same shape.
        deals: the fold of each document, one array per deal.
        ways: how thresholds may be set.
    """
    calibrated = average_calibration([fit_calibration(each, targets) for each in decisions])
    by_deal = [probabilities(each, calibrated.calibration) for each in decisions]
    chosen = choose_thresholds(by_deal, targets, deals, ways)
    scores = by_deal[0]
    reached = CrossValidation(
        micro_f1=micro_f1(targets, chosen.predicted),
        macro_f1=macro_f1(targets, chosen.predicted),
        calibration_error=calibration_error(reliability(scores, targets)),
        top_calibration_error=calibration_error(reliability(*top_label(scores, targets))),
        coverage=float(chosen.predicted.any(axis=1).mean()),
        class_f1=tuple(float(value) for value in class_f1(targets, chosen.predicted)),
    )
    return Decided(calibrated, chosen, reached)
