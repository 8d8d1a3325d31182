"""Writing a bundle so that it is there whole or not at all, and only after it opened as serving opens it."""

import os
import platform
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.characters import UNICODE_VERSION
from models.content import BundleContent
from models.durable import sync, sync_name
from models.files import blake3_of, map_file, sha256_of
from models.golden import GOLDEN_NAME, Golden
from models.kernel_settings import reference_only
from models.manifest import INDEX_NAME, MANIFEST_NAME, PIPELINE_NAME, Manifest, encode_manifest
from models.native import NativeScorer, build_index
from models.problems import BundleError, BundleProblem
from models.reader import (
    CHARACTERS_NAME,
    IDF_NAME,
    INTERCEPT_NAME,
    OFFSETS_NAME,
    TERMS_NAME,
    WEIGHTS_NAME,
    Bundle,
)
from models.reference import ReferenceScorer
from models.terms import encode_terms


def write_bundle(directory: Path, version: str, content: BundleContent, *, pipeline: object | None = None) -> Manifest:
    """Write a bundle to `directory`, which must not exist yet and be named like `version`.

    The files go to a hidden sibling directory first. It is opened and its golden documents are
    scored exactly as at serving, and only then it gets its name, in one step. Whatever happens
    before leaves nothing under that name; a kill leaves the hidden sibling, which may be deleted.

    Args:
        directory: the final place, `<root>/<lang>/<version>`; parents are created.
        version: its name.
        content: the model.
        pipeline: anything joblib can write, for people; serving never reads it.

    Returns:
        The manifest as it stands on disk.

    Raises:
        BundleError: ALREADY_EXISTS, WRITE_FAILED (disk full, no permission), or what is wrong with
            the content.
    """
    if directory.name != version:
        raise BundleError(
            BundleProblem.CONTENT_INVALID,
            f"The directory {directory} must be named like its version, {version!r}.",
        )
    _require_absent(directory)
    try:
        with _temporary_sibling(directory) as temporary:
            _write_files(temporary, content, pipeline)
            manifest = _write_manifest(temporary, version, content)
            _verify(temporary)
            _publish(temporary, directory)
    except OSError as error:
        raise BundleError(
            BundleProblem.WRITE_FAILED,
            f"The bundle {directory} could not be written: {error}. Nothing was left under that name; "
            "free space or correct the permissions and run it again.",
        ) from error
    return manifest


@contextmanager
def _temporary_sibling(directory: Path) -> Iterator[Path]:
    """A new hidden directory beside `directory`, removed at the end unless it was renamed."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.parent / f".{directory.name}.{secrets.token_hex(6)}.tmp"
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_files(directory: Path, content: BundleContent, pipeline: object | None) -> None:
    blob, offsets = encode_terms(content.terms)
    (directory / TERMS_NAME).write_bytes(blob)
    _save(directory / OFFSETS_NAME, offsets, "<i8")
    _save(directory / WEIGHTS_NAME, content.weights, "<f4")
    _save(directory / INTERCEPT_NAME, content.intercept, "<f4")
    if content.idf is not None:
        _save(directory / IDF_NAME, content.idf, "<f4")
    if content.characters is not None:
        _save(directory / CHARACTERS_NAME, content.characters, "<u4")
    if pipeline is not None:
        import joblib  # noqa: PLC0415 - only training writes pipelines; a worker starts without it

        joblib.dump(pipeline, directory / PIPELINE_NAME, compress=3)
    (directory / GOLDEN_NAME).write_bytes(_record_golden(content))
    if (index := build_index(content)) is not None:
        _save(directory / INDEX_NAME, index, "<u8")


def _record_golden(content: BundleContent) -> bytes:
    try:
        return Golden.record(content.golden_texts, ReferenceScorer(content)).to_json()
    except BundleError:
        raise
    except (ValueError, TypeError, IndexError) as error:
        raise _content_error(f"the golden documents cannot be scored ({error})") from error


def _save(path: Path, array: NDArray[Any], dtype: str) -> None:
    """Write one array in C order; a type that would have to be rounded is a mistake of the caller."""
    if array.dtype != np.dtype(dtype):
        raise _content_error(f"{path.stem} must be an array of {dtype}, not {array.dtype}")
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)


def _write_manifest(directory: Path, version: str, content: BundleContent) -> Manifest:
    values = {
        "lang": content.lang,
        "version": version,
        "created": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "classes": list(content.classes),
        "terms": len(content.terms),
        "thresholds": [float(threshold) for threshold in content.thresholds],
        "fallback": content.fallback,
        "calibration": asdict(content.calibration),
        "vectorizer": asdict(content.vectorizer),
        "reference_only": reference_only(content.vectorizer),
        "training": dict(content.training),
        "libraries": _library_versions(),
        "metrics": dict(content.metrics),
        "files": {path.name: _entry(path) for path in sorted(directory.iterdir())},
    }
    try:
        data = encode_manifest(values)
    except (ValueError, TypeError) as error:
        raise _content_error(f"the manifest cannot be written as JSON ({error})") from error
    (directory / MANIFEST_NAME).write_bytes(data)
    return Manifest.from_json(data)


def _entry(path: Path) -> dict[str, object]:
    return {"blake3": blake3_of(map_file(path)), "sha256": sha256_of(path), "bytes": path.stat().st_size}


def _library_versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "unicode": UNICODE_VERSION,
        "numpy": np.__version__,
        "scipy": installed_version("scipy"),
        "scikit-learn": installed_version("scikit-learn"),
    }


def _verify(directory: Path) -> None:
    """Refuse a bundle whose scorers do not agree on its golden documents."""
    bundle = Bundle.open(directory)
    bundle.golden.verify(ReferenceScorer(bundle))
    if bundle.index is not None:
        bundle.golden.verify(NativeScorer(bundle))


def _publish(temporary: Path, directory: Path) -> None:
    """Everything to the disk, then the name: after a power cut the name stands for whole files or not at all."""
    for path in temporary.iterdir():
        sync(path)
    sync(temporary)
    _require_absent(directory)
    try:
        temporary.rename(directory)
    except OSError as error:
        if directory.exists():  # another process was quicker: rename does not replace a directory with files
            raise _exists_error(directory) from error
        raise
    sync_name(directory)


def _require_absent(directory: Path) -> None:
    if os.path.lexists(directory):
        raise _exists_error(directory)


def _exists_error(directory: Path) -> BundleError:
    return BundleError(
        BundleProblem.ALREADY_EXISTS,
        f"{directory} exists already, and a version is never overwritten. Choose another version name or delete it.",
    )


def _content_error(what: str) -> BundleError:
    return BundleError(BundleProblem.CONTENT_INVALID, f"The bundle cannot be written: {what}.")
