"""Golden documents: texts whose scores were stored at training, and must come out again at every load."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.fields import Fields, parse_json
from models.problems import BundleError, BundleProblem
from models.scorer import Scorer

GOLDEN_NAME: Final = "golden.json"
MAX_GOLDEN_BYTES: Final = 64 * 1024 * 1024
TOLERANCE: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Golden:
    """Texts, their decisions (float64, texts x classes) and whether each has a known term."""

    texts: tuple[str, ...]
    decisions: NDArray[np.float64]
    known: tuple[bool, ...]

    @classmethod
    def record(cls, texts: Sequence[str], scorer: Scorer) -> "Golden":
        """Score `texts` and keep what came out."""
        scores = scorer.score(texts)
        return cls(tuple(texts), scores.decisions.astype(np.float64), tuple(map(bool, scores.known)))

    @classmethod
    def from_json(cls, data: bytes, classes: int) -> "Golden":
        """Parse a golden file of a model with that many classes.

        Raises:
            BundleError: it is not one.
        """
        parsed = parse_json(data, GOLDEN_NAME, BundleProblem.GOLDEN_INVALID)
        documents = Fields(parsed, GOLDEN_NAME, BundleProblem.GOLDEN_INVALID).children("documents")
        decisions = [document.numbers("decisions") for document in documents]
        if not documents or any(len(row) != classes for row in decisions):
            raise BundleError(
                BundleProblem.GOLDEN_INVALID,
                f"{GOLDEN_NAME} must hold one document or more, each with {classes} decisions. Train the model again.",
            )
        texts = tuple(document.text("text") for document in documents)
        known = tuple(document.flag("known") for document in documents)
        return cls(texts, np.array(decisions, dtype=np.float64), known)

    def to_json(self) -> bytes:
        """The golden file: decisions with the nine digits that bring a float32 back exactly."""
        documents = [
            {"text": text, "decisions": [float(f"{value:.9g}") for value in row], "known": known}
            for text, row, known in zip(self.texts, self.decisions, self.known, strict=True)
        ]
        return json.dumps({"documents": documents}, indent=1, ensure_ascii=False, allow_nan=False).encode()

    def verify(self, scorer: Scorer) -> None:
        """Score the texts again and compare, within 1e-5 (relative where a decision exceeds 1).

        Raises:
            BundleError: the scores differ, or scoring failed altogether.
        """
        try:
            scores = scorer.score(self.texts)
        except Exception as error:
            raise BundleError(
                BundleProblem.GOLDEN_MISMATCH,
                f"Scoring the golden documents failed: {error!r}. Train the model again.",
            ) from error
        # Written so that a NaN counts as a difference.
        close = np.abs(scores.decisions - self.decisions) <= TOLERANCE * np.maximum(1, np.abs(self.decisions))
        wrong = ~close.all(axis=1) | (scores.known != np.array(self.known))
        if wrong.any():
            raise BundleError(
                BundleProblem.GOLDEN_MISMATCH,
                f"{int(wrong.sum())} of {len(self.texts)} golden documents score differently here than at training "
                f"(scorer {scorer.name!r}). Compare the library versions in the manifest with the installed ones, "
                "or train the model again.",
            )
