"""The boundary between texts and scores: what every scorer takes and gives back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.ranking import Ranked, rank


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

    def predict(self, text: str, thresholds: Sequence[float], *, best: bool) -> Ranked | None:
        """Score one text and rank its classes, as `models.ranking.rank` does; None when no term of it is known.

        The same as `score` gives, for a caller who has only one: without arrays it takes a fraction of the time.

        Raises:
            TypeError: `text` is no string.
            ValueError: there is not one threshold per class.
        """


def predict_by_score(scorer: Scorer, text: str, thresholds: Sequence[float], *, best: bool) -> Ranked | None:
    """`Scorer.predict` by `Scorer.score`: what it must give, and all that a scorer needs which has no quicker way."""
    if len(thresholds) != len(scorer.classes):
        raise ValueError(f"there must be one threshold for each of {len(scorer.classes)} classes")
    scores = scorer.score([text])
    if not scores.known[0]:
        return None
    return rank(scorer.classes, scores.probabilities[0].tolist(), thresholds, best=best)
