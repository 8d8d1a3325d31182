"""A model of nothing but terms and weights, for comparisons with scikit-learn."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.bundle import Calibration, VectorizerConfig
from models.characters import character_table


@dataclass(frozen=True)
class Source:
    """All that a scorer needs, as `models.content.ScorerSource` has it; its classes are numbered."""

    vectorizer: VectorizerConfig
    terms: Sequence[str]
    idf: NDArray[np.float32] | None
    weights: NDArray[np.float32]
    intercept: NDArray[np.float32]
    characters: NDArray[np.uint32] | None = field(default_factory=character_table)
    index: NDArray[np.uint64] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Numbered."""
        return tuple(map(str, range(len(self.intercept))))

    @property
    def calibration(self) -> Calibration:
        """A plain sigmoid."""
        return Calibration((-1.0,) * len(self.intercept), (0.0,) * len(self.intercept))
