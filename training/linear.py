"""One linear support vector machine per class, as one matrix."""

import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
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
        machines: the scikit-learn objects they were taken from, one per class.
        unconverged: whether the optimiser stopped early for at least one class.
    """

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    machines: tuple[LinearSVC, ...]
    unconverged: bool

    def decide(self, matrix: csr_matrix) -> NDArray[np.float64]:
        """Decision values, float64 (documents, classes)."""
        decisions: NDArray[np.float64] = matrix @ self.weights + self.intercept
        return decisions


def fit_linear(matrix: csr_matrix, targets: Targets, parameters: SvmParameters, seed: int) -> Linear:
    """Train one machine per column of `targets`, a bool array (documents, classes).

    This is what scikit-learn's OneVsRestClassifier does, without its overhead, which on small corpora is half of
    the time. A column without or with only positive documents gets the constant decision -1 or 1.
    """
    with warnings.catch_warnings(record=True) as caught, _unchecked():
        warnings.simplefilter("always")
        machines = tuple(_fit_machine(matrix, column, parameters, seed) for column in targets.T)
    return Linear(
        weights=np.column_stack([machine.coef_[0] for machine in machines]),
        intercept=np.array([machine.intercept_[0] for machine in machines]),
        machines=machines,
        unconverged=any(issubclass(warning.category, ConvergenceWarning) for warning in caught),
    )


def _unchecked() -> AbstractContextManager[None]:
    """Without scikit-learn's checks of arguments, which take longer than small machines; ours are right by type."""
    context: AbstractContextManager[None] = config_context(assume_finite=True, skip_parameter_validation=True)
    return context


def _fit_machine(matrix: csr_matrix, target: NDArray[np.bool_], parameters: SvmParameters, seed: int) -> LinearSVC:
    machine = LinearSVC(C=parameters.c, class_weight=parameters.class_weight, random_state=seed)
    if target.any() and not target.all():
        return machine.fit(matrix, target.astype(np.int8))
    machine.classes_ = np.array([0, 1], dtype=np.int8)
    machine.coef_ = np.zeros((1, matrix.shape[1]))
    machine.intercept_ = np.array([1.0 if target.all() else -1.0])
    machine.n_features_in_ = matrix.shape[1]
    return machine
