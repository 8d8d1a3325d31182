"""Opening a bundle: everything is verified before anything is believed."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.characters import table_problem
from models.content import Calibration, VectorizerConfig
from models.files import read_small, verify_file, verify_sha256, view_array
from models.golden import GOLDEN_NAME, MAX_GOLDEN_BYTES, Golden
from models.manifest import (
    INDEX_NAME,
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    MAX_SIGNATURE_BYTES,
    SIGNATURE_NAME,
    Manifest,
)
from models.problems import BundleError, BundleProblem
from models.terms import TermTable

TERMS_NAME: Final = "terms.utf8"
OFFSETS_NAME: Final = "term_offsets.npy"
WEIGHTS_NAME: Final = "weights.npy"
INTERCEPT_NAME: Final = "intercept.npy"
IDF_NAME: Final = "idf.npy"
CHARACTERS_NAME: Final = "characters.npy"
_FLOATS_AT_ONCE: Final = 1024 * 1024


class Trust(Protocol):
    """Whose bundles are accepted; `models.signing.TrustedKeys` is one."""

    def require(self, where: object, manifest: bytes, signature: bytes | None) -> None:
        """Refuse a bundle whose manifest is not signed as it must be.

        Args:
            where: how to call the bundle in a message.
            manifest: the bytes of its manifest, those that are believed afterwards.
            signature: the bytes of its signature file, None when there is none.

        Raises:
            BundleError: UNSIGNED, BAD_SIGNATURE, or KEY_UNUSABLE when there is nothing to check it with.
        """


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle of n terms and k classes. The arrays are memory-mapped and read-only.

    A bundle never changes on disk; shortening a mapped file would kill the processes that read it.

    Attributes:
        directory: where it was opened.
        manifest: the checked manifest.
        terms: n terms in row order of `weights`, decoded and checked when the first is asked for.
        idf: float32 (n,), or None when the vectorizer uses no idf.
        weights: float32 (n, k), C-contiguous.
        intercept: float32 (k,).
        characters: the table of `models.characters`, or None when only the reference scorer will do.
        index: the native scorer's lookup index, or None when training had no native scorer. Its hash
            is right; what is in it, its reader checks.
        golden: texts with their expected scores.
    """

    directory: Path
    manifest: Manifest
    terms: TermTable
    idf: NDArray[np.float32] | None
    weights: NDArray[np.float32]
    intercept: NDArray[np.float32]
    characters: NDArray[np.uint32] | None
    index: NDArray[np.uint64] | None
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
    def open(cls, directory: Path, trust: Trust | None = None) -> "Bundle":
        """Open and verify `directory`: signature, manifest, digest, BLAKE3 of every file, shapes, types and numbers.

        Without `trust` nobody looks at the signature. With it, the signature covers every file by its BLAKE3.

        The golden documents are read, but only `models.model.load_model` scores them. Of the terms
        only their offsets are checked, see `TermTable`.

        Raises:
            BundleError: the first thing that is wrong, with its reason.
        """
        manifest = read_manifest(directory, trust)
        _require_files(directory, manifest)
        files = _Files(directory, manifest)
        n, k = manifest.terms, len(manifest.classes)
        return cls(
            directory=directory,
            manifest=manifest,
            terms=TermTable(files.data[TERMS_NAME], files.array(OFFSETS_NAME, "<i8", (n + 1,))),
            idf=files.floats(IDF_NAME, (n,)) if manifest.vectorizer.use_idf else None,
            weights=files.floats(WEIGHTS_NAME, (n, k)),
            intercept=files.floats(INTERCEPT_NAME, (k,)),
            characters=files.characters() if manifest.reference_only is None else None,
            index=files.array(INDEX_NAME, "<u8", None) if INDEX_NAME in manifest.files else None,
            golden=_read_golden(directory, k),
        )


def read_manifest(directory: Path, trust: Trust | None = None) -> Manifest:
    """The checked manifest of `directory`, without looking at its other files: quick, for listings.

    Raises:
        BundleError: there is none, or it is not signed as `trust` wants, or not a manifest of this format version.
    """
    data = read_small(directory / MANIFEST_NAME, MAX_MANIFEST_BYTES, BundleProblem.MANIFEST_MISSING)
    if trust is not None:
        trust.require(directory, data, read_signature(directory))
    return Manifest.from_json(data)


def read_signature(directory: Path) -> bytes | None:
    """The signature of a bundle, whatever it is worth; None when it has none.

    Raises:
        BundleError: there is something of that name that can be no signature.
    """
    path = directory / SIGNATURE_NAME
    return read_small(path, MAX_SIGNATURE_BYTES, BundleProblem.UNSIGNED) if os.path.lexists(path) else None


def verify_sha256_of_files(directory: Path, manifest: Manifest) -> None:
    """Check the hashes that are in the manifest for people; opening checks faster ones of the same files.

    Raises:
        BundleError: a file has another SHA-256.
    """
    for name, entry in manifest.files.items():
        verify_sha256(directory / name, entry)


def _require_files(directory: Path, manifest: Manifest) -> None:
    """Every file that is needed must be declared, or its hash would go unchecked."""
    needed = {TERMS_NAME, OFFSETS_NAME, WEIGHTS_NAME, INTERCEPT_NAME, GOLDEN_NAME}
    if manifest.vectorizer.use_idf:
        needed.add(IDF_NAME)
    if manifest.reference_only is None:
        needed.add(CHARACTERS_NAME)
    missing = sorted(needed - manifest.files.keys())
    if missing:
        raise BundleError(
            BundleProblem.FILE_MISSING,
            f"{directory / MANIFEST_NAME} does not list {', '.join(missing)}. Train the model again.",
        )


class _Files:
    """The files of a bundle, each mapped and verified, and the arrays in them.

    Raises:
        BundleError: a file is not as the manifest says.
    """

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.directory = directory
        self.data = {name: verify_file(directory / name, entry) for name, entry in manifest.files.items()}

    def array(self, name: str, dtype: str, shape: tuple[int, ...] | None) -> NDArray[Any]:
        return view_array(self.directory / name, self.data[name], dtype, shape)

    def floats(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        array: NDArray[np.float32] = self.array(name, "<f4", shape)
        if not _all_finite(array.reshape(-1)):
            path = self.directory / name
            raise BundleError(BundleProblem.NOT_FINITE, f"{path} holds NaN or infinity. Train the model again.")
        return array

    def characters(self) -> NDArray[np.uint32]:
        table: NDArray[np.uint32] = self.array(CHARACTERS_NAME, "<u4", None)
        if problem := table_problem(table):
            path = self.directory / CHARACTERS_NAME
            raise BundleError(BundleProblem.ARRAY_INVALID, f"{path} {problem}. Train the model again.")
        return table


def _all_finite(flat: NDArray[np.float32]) -> bool:
    """Whether no number is NaN or infinite, without an array of that size for the answer.

    NaN and infinity survive in a sum of squares, so that a finite sum, quickly had, is proof. Numbers so large that
    their squares overflow are no mistake yet: only then they are looked at one by one.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.dot(flat, flat)
    if np.isfinite(squares):
        return True
    starts = range(0, len(flat), _FLOATS_AT_ONCE)
    return all(bool(np.isfinite(flat[start : start + _FLOATS_AT_ONCE]).all()) for start in starts)


def _read_golden(directory: Path, classes: int) -> Golden:
    data = read_small(directory / GOLDEN_NAME, MAX_GOLDEN_BYTES, BundleProblem.FILE_MISSING)
    return Golden.from_json(data, classes)
