"""Opening a bundle: everything is verified before anything is believed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.content import Calibration, VectorizerConfig
from models.files import open_array, read_small, verify_file
from models.golden import GOLDEN_NAME, MAX_GOLDEN_BYTES, Golden
from models.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest
from models.problems import BundleError, BundleProblem
from models.terms import decode_terms

TERMS_NAME: Final = "terms.utf8"
OFFSETS_NAME: Final = "term_offsets.npy"
WEIGHTS_NAME: Final = "weights.npy"
INTERCEPT_NAME: Final = "intercept.npy"
IDF_NAME: Final = "idf.npy"
MAX_TERMS_BYTES: Final = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle of n terms and k classes. The arrays are memory-mapped and read-only.

    A bundle never changes on disk; shortening a mapped file would kill the processes that read it.

    Attributes:
        directory: where it was opened.
        manifest: the checked manifest.
        terms: n terms in row order of `weights`.
        idf: float32 (n,), or None when the vectorizer uses no idf.
        weights: float32 (n, k), C-contiguous.
        intercept: float32 (k,).
        golden: texts with their expected scores.
    """

    directory: Path
    manifest: Manifest
    terms: tuple[str, ...]
    idf: NDArray[np.float32] | None
    weights: NDArray[np.float32]
    intercept: NDArray[np.float32]
    golden: Golden

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in column order."""
        return self.manifest.classes

    @property
    def vectorizer(self) -> VectorizerConfig:
        """How a text becomes term counts and weights."""
        return self.manifest.vectorizer

    @property
    def calibration(self) -> Calibration:
        """From decisions to probabilities."""
        return self.manifest.calibration

    @classmethod
    def open(cls, directory: Path) -> "Bundle":
        """Open and verify `directory`: manifest, digest, hashes, shapes, types and finite numbers.

        The golden documents are read, but only `models.model.load_model` scores them.

        Raises:
            BundleError: the first thing that is wrong, with its reason.
        """
        manifest = read_manifest(directory)
        _require_files(directory, manifest)
        for name, entry in manifest.files.items():
            verify_file(directory / name, entry)
        terms = _read_terms(directory, manifest.terms)
        n, k = len(terms), len(manifest.classes)
        return cls(
            directory=directory,
            manifest=manifest,
            terms=terms,
            idf=_open_floats(directory / IDF_NAME, (n,)) if manifest.vectorizer.use_idf else None,
            weights=_open_floats(directory / WEIGHTS_NAME, (n, k)),
            intercept=_open_floats(directory / INTERCEPT_NAME, (k,)),
            golden=_read_golden(directory, k),
        )


def read_manifest(directory: Path) -> Manifest:
    """The checked manifest of `directory`, without looking at its other files: quick, for listings.

    Raises:
        BundleError: there is none, or it is not a manifest of this format version.
    """
    path = directory / MANIFEST_NAME
    return Manifest.from_json(read_small(path, MAX_MANIFEST_BYTES, BundleProblem.MANIFEST_MISSING))


def _require_files(directory: Path, manifest: Manifest) -> None:
    """Every file that is needed must be declared, or its hash would go unchecked."""
    needed = {TERMS_NAME, OFFSETS_NAME, WEIGHTS_NAME, INTERCEPT_NAME, GOLDEN_NAME}
    if manifest.vectorizer.use_idf:
        needed.add(IDF_NAME)
    missing = sorted(needed - manifest.files.keys())
    if missing:
        raise BundleError(
            BundleProblem.FILE_MISSING,
            f"{directory / MANIFEST_NAME} does not list {', '.join(missing)}. Train the model again.",
        )


def _read_terms(directory: Path, n: int) -> tuple[str, ...]:
    blob = read_small(directory / TERMS_NAME, MAX_TERMS_BYTES, BundleProblem.FILE_MISSING)
    return decode_terms(blob, open_array(directory / OFFSETS_NAME, "<i8", (n + 1,)))


def _open_floats(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    array = open_array(path, "<f4", shape)
    if not np.isfinite(array).all():
        raise BundleError(BundleProblem.NOT_FINITE, f"{path} holds NaN or infinity. Train the model again.")
    return array


def _read_golden(directory: Path, classes: int) -> Golden:
    data = read_small(directory / GOLDEN_NAME, MAX_GOLDEN_BYTES, BundleProblem.FILE_MISSING)
    return Golden.from_json(data, classes)
