"""One linear support vector machine per class, as one matrix."""

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

ClassWeight = Literal["balanced"]
Targets = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SvmParameters:
    """How the machines are trained.

    Attributes:
        c: weight of the training errors against the margin (`C` of scikit-learn).
        class_weight: "balanced" gives the positive documents of a class the weight of all the others.
    """

    c: float = 1.0
    class_weight: ClassWeight | None = None


@dataclass(frozen=True, slots=True)
class Linear:
    """The trained machines.

    Attributes:
        weights: float64 (terms, classes).
        intercept: float64 (classes,).
        estimator: the scikit-learn object they were taken from.
        unconverged: whether the optimiser stopped early for at least one class.
    """

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    estimator: OneVsRestClassifier
    unconverged: bool

    def decide(self, matrix: csr_matrix) -> NDArray[np.float64]:
        """Decision values, float64 (documents, classes)."""
        decisions: NDArray[np.float64] = matrix @ self.weights + self.intercept
        return decisions


def fit_linear(matrix: csr_matrix, targets: Targets, parameters: SvmParameters, seed: int) -> Linear:
    """Train one machine per column of `targets`, a bool array (documents, classes).

    A column without or with only positive documents gets the constant decision -1 or 1.
    """
    machine = LinearSVC(C=parameters.c, class_weight=parameters.class_weight, random_state=seed)
    estimator = OneVsRestClassifier(machine)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(matrix, targets.astype(np.int8))
    weights = np.zeros((matrix.shape[1], targets.shape[1]))
    intercept = np.where(targets.all(axis=0), 1.0, -1.0)
    for column, fitted in enumerate(estimator.estimators_):
        if isinstance(fitted, LinearSVC):
            weights[:, column] = fitted.coef_[0]
            intercept[column] = fitted.intercept_[0]
    unconverged = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    return Linear(weights, intercept, estimator, unconverged)
