# The Rust module of models/kernel/src/python.rs; `models/native.py` is its only caller.
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.kernel_settings import KernelSettings

def build_index(settings: KernelSettings, terms: list[str]) -> bytes: ...

class Kernel:
    def __new__(
        cls,
        settings: KernelSettings,
        *,
        characters: NDArray[Any],
        index: NDArray[Any],
        idf: NDArray[Any] | None,
        weights: NDArray[Any],
        intercept: NDArray[Any],
        slope: Sequence[float],
        offset: Sequence[float],
        portable: bool = False,
    ) -> Self: ...
    @property
    def simd(self) -> str: ...
    def predict(
        self, text: str, names: tuple[str, ...], thresholds: Sequence[float], best: bool
    ) -> tuple[tuple[str, ...], tuple[tuple[str, float], ...]] | None: ...
    def score(
        self,
        texts: list[str],
        decisions: NDArray[np.float32],
        probabilities: NDArray[np.float32],
        known: NDArray[np.uint8],
    ) -> None: ...
