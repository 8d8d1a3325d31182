"""The boundary between texts and scores: what every scorer takes and gives back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Scores:
    """What a scorer says about a batch; row i belongs to text i, column j to class j.

    Attributes:
        decisions: float32 (documents, classes), C-contiguous: weight sums plus intercept, no unit.
        probabilities: float32 of the same shape, in [0, 1]: the calibrated decisions.
        known: bool (documents,). False when no term of the text is in the model: its scores are
            finite, but they are the intercepts alone and say nothing about the text.
    """

    decisions: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    known: NDArray[np.bool_]


class Scorer(Protocol):
    """Turns texts into scores. One object may be used by many threads at once.

    A text scores the same alone as in any batch, and two scorers of one bundle agree within 1e-5.
    `models/tests/test_scorer_contract.py` is the suite that every implementation passes.
    """

    @property
    def name(self) -> str:
        """Which implementation this is: "reference" or "native"."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in column order."""

    def score(self, texts: Sequence[str]) -> Scores:
        """Score `texts`; an empty sequence gives arrays of shape (0, classes).

        Raises:
            TypeError: `texts` is one string, or holds something that is not a string.
        """
