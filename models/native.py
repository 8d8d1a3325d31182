"""The native scorer: a thin cover over the Rust kernel (models/kernel), which is an optional part of an installation.

It does what `models.reference` does, in one pass over the text and without holding the interpreter. The suite in
`models/tests/test_scorer_contract.py` runs on both.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.content import ScorerSource
from models.kernel_settings import KernelSettings, UnsupportedSettingsError, kernel_settings
from models.problems import BundleError, BundleProblem
from models.ranking import Ranked
from models.scorer import Scores

try:
    from models import _kernel
except ImportError as error:
    # An installation without Rust has no kernel. A kernel that is there and does not load is worth a word.
    _missing: str | None = str(error)
else:
    _missing = None


def why_unavailable() -> str | None:
    """Why this installation has no native scorer; None when it has one."""
    return _missing


class NativeScorer:
    """Scores with the Rust kernel; see `models.scorer.Scorer`.

    Args:
        source: a model. An opened `Bundle` is used where it lies, mapped; writeable arrays are copied.
        portable: leave out the vector instructions that this processor has, for tests.

    Raises:
        BundleError: the settings or this installation do not allow it, or the index or the arrays are damaged.
    """

    def __init__(self, source: ScorerSource, *, portable: bool = False) -> None:
        settings = _settings(source)
        self.name = "native"
        self.classes = tuple(source.classes)
        characters = _frozen(source.characters)
        index = _frozen(_build_index(settings, source.terms) if source.index is None else source.index)
        try:
            self._kernel = _kernel.Kernel(
                settings,
                characters=characters,
                index=index,
                idf=None if source.idf is None else _frozen(source.idf),
                weights=_frozen(source.weights),
                intercept=_frozen(source.intercept),
                slope=source.calibration.slope,
                offset=source.calibration.intercept,
                portable=portable,
            )
        except ValueError as error:
            raise BundleError(
                BundleProblem.INDEX_INVALID,
                f"The native scorer refuses the bundle: {error}. Copy it again or train again.",
            ) from error

    @property
    def instructions(self) -> str:
        """What the kernel uses of this processor: "avx512", "avx2" or "portable"."""
        return self._kernel.simd

    def score(self, texts: Sequence[str]) -> Scores:
        """Score `texts`; other threads run meanwhile, and may score with the same object."""
        if isinstance(texts, str):
            raise TypeError("score() takes a sequence of texts, not one text: wrap it in a list.")
        shape = (len(texts), len(self.classes))
        decisions, probabilities = np.empty(shape, np.float32), np.empty(shape, np.float32)
        known = np.empty(len(texts), np.bool_)
        self._kernel.score(
            texts if isinstance(texts, list) else list(texts), decisions, probabilities, known.view(np.uint8)
        )
        return Scores(decisions, probabilities, known)

    def predict(self, text: str, thresholds: Sequence[float], *, best: bool) -> Ranked | None:
        """Score one text and rank its classes; other threads run meanwhile when it is long."""
        return self._kernel.predict(text, self.classes, thresholds, best)


def build_index(source: ScorerSource) -> NDArray[np.uint64] | None:
    """The kernel's lookup index, for a bundle to carry.

    None where there is no kernel, or where it cannot follow the vectorizer settings.

    Raises:
        BundleError: a term occurs twice.
    """
    if _missing is not None or source.characters is None:
        return None
    return _build_index(kernel_settings(source.vectorizer), source.terms)


def _build_index(settings: KernelSettings, terms: Sequence[str]) -> NDArray[np.uint64]:
    try:
        return np.frombuffer(_kernel.build_index(settings, list(terms)), dtype="<u8")
    except ValueError as error:
        raise BundleError(BundleProblem.TERMS_INVALID, f"The terms cannot be indexed: {error}.") from error


def _settings(source: ScorerSource) -> KernelSettings:
    if _missing is not None:
        raise _unavailable(f"it is not installed ({_missing})")
    try:
        return kernel_settings(source.vectorizer)
    except UnsupportedSettingsError as error:
        raise _unavailable(str(error)) from error


def _unavailable(reason: str) -> BundleError:
    return BundleError(
        BundleProblem.SCORER_UNAVAILABLE, f"The native scorer cannot be used: {reason}. The reference scorer can."
    )


def _frozen(array: NDArray[np.generic] | None) -> NDArray[np.generic]:
    """The array itself when nobody can write to it, otherwise a copy."""
    if array is None:
        raise BundleError(BundleProblem.FILE_MISSING, "The bundle has no character table. Train the model again.")
    if array.flags.writeable or not array.flags.c_contiguous:
        array = array.copy(order="C")
        array.flags.writeable = False
    return array
