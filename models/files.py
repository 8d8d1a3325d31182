"""Reading files that somebody else wrote: plain files of the declared size and hash, no pickles."""

import hashlib
import io
import math
import mmap
import os
import stat
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from blake3 import blake3
from numpy.lib import format as npy
from numpy.typing import NDArray

from models.manifest import FileEntry
from models.problems import BundleError, BundleProblem

_CHUNK_BYTES: Final = 1024 * 1024
# Below this a second thread costs more than it brings.
_MANY_THREADS_BYTES: Final = 1024 * 1024
# numpy begins the data at a multiple of this, and scorers read whole vectors from there.
_ALIGNMENT: Final = 64
# numpy's own limit is 10,000 characters; the header of a plain two-dimensional array has about 120.
_MAX_HEADER_CHARS: Final = 1_000
_AGAIN: Final = "Copy the bundle again or train again."


def read_small(path: Path, limit: int, missing: BundleProblem) -> bytes:
    """The bytes of a plain file of at most `limit` bytes.

    Raises:
        BundleError: `missing` when there is none, otherwise why it cannot be read.
    """
    _require_plain(path, missing)
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        _unreadable(path, error)
    if len(data) > limit:
        raise BundleError(
            BundleProblem.SIZE_MISMATCH,
            f"{path} is larger than {limit} bytes, which no bundle needs. {_AGAIN}",
        )
    return data


def verify_file(path: Path, entry: FileEntry) -> NDArray[np.uint8]:
    """Memory-map a file read-only, after it proved to be a plain file of the declared size and BLAKE3.

    What is hashed and what comes back is one mapping: the pages are met once, and nothing can come between.

    Raises:
        BundleError: it is not such a file.
    """
    size = _require_plain(path, BundleProblem.FILE_MISSING)
    if size != entry.size:
        raise BundleError(
            BundleProblem.SIZE_MISMATCH,
            f"{path} has {size} bytes, but the manifest says {entry.size}. {_AGAIN}",
        )
    try:
        data = map_file(path)
    except (OSError, ValueError) as error:
        _unreadable(path, error)
    _require_hash(path, "BLAKE3", blake3_of(data), entry.blake3)
    return data


def verify_sha256(path: Path, entry: FileEntry) -> None:
    """Check that a file has the declared SHA-256 too; `verify_file` has checked it for all that serving needs.

    Raises:
        BundleError: it has not.
    """
    try:
        found = sha256_of(path)
    except OSError as error:
        _unreadable(path, error)
    _require_hash(path, "SHA-256", found, entry.sha256)


def map_file(path: Path) -> NDArray[np.uint8]:
    """The bytes of a file, memory-mapped and read-only; processes share its pages.

    Raises:
        OSError, ValueError: it cannot be mapped.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:  # nothing that could be mapped
            return np.frombuffer(b"", dtype=np.uint8)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8)


def blake3_of(data: NDArray[np.uint8]) -> str:
    """The BLAKE3 of bytes in lower-case hex; many bytes are hashed on all cores."""
    threads = blake3.AUTO if len(data) >= _MANY_THREADS_BYTES else 1
    return blake3(max_threads=threads).update(data.data).hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def view_array(path: Path, data: NDArray[np.uint8], dtype: str, shape: tuple[int, ...] | None) -> NDArray[Any]:
    """The array in a .npy file, after its header proved to be exactly `dtype` and `shape`; nothing is copied.

    Args:
        path: how to call the file in a message.
        data: its bytes, from `verify_file`.
        dtype: such as "<f4".
        shape: what the rest of the bundle implies; None for one dimension of one number or more, as many
            as the file has.

    Raises:
        BundleError: it is not such an array, or the file holds fewer or more bytes than that.
    """
    try:
        found_shape, fortran, found_dtype, start = _read_header(data)
    except Exception as error:  # numpy parses the header as Python source, so nearly anything may come out
        raise BundleError(BundleProblem.ARRAY_INVALID, f"{path} is not a .npy array: {error}. {_AGAIN}") from error
    if found_dtype != np.dtype(dtype) or fortran:
        _invalid(path, f"must hold {dtype} in C order, but it holds {found_dtype}{' in Fortran order' * fortran}")
    if start % _ALIGNMENT:
        _invalid(path, f"must begin its data at a multiple of {_ALIGNMENT} bytes, but begins it at {start}")
    if shape is None and (len(found_shape) != 1 or found_shape[0] < 1):
        _invalid(path, f"must have one dimension and one number at least, but has the shape {found_shape}")
    if shape is not None and found_shape != shape:
        raise BundleError(
            BundleProblem.SHAPE_MISMATCH,
            f"{path} has the shape {found_shape}, but the rest of the bundle needs {shape}. {_AGAIN}",
        )
    # Counted in unbounded integers: a header may promise anything.
    expected = start + found_dtype.itemsize * math.prod(found_shape)
    if len(data) != expected:
        _invalid(path, f"declares {expected} bytes, but has {len(data)}")
    return data[start:].view(found_dtype).reshape(found_shape)


def _read_header(data: NDArray[np.uint8]) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    file = io.BytesIO(data[: 4 * _MAX_HEADER_CHARS].tobytes())
    version = npy.read_magic(file)
    if version != (1, 0):
        raise ValueError(f".npy version {version} where (1, 0) is expected")
    shape, fortran, dtype = npy.read_array_header_1_0(file, max_header_size=_MAX_HEADER_CHARS)
    return shape, fortran, dtype, file.tell()


def _require_plain(path: Path, missing: BundleProblem) -> int:
    """The size of a plain file; links, directories and devices are refused, whatever they lead to."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(missing, f"There is no file {path}. {_AGAIN}") from error
    except OSError as error:
        _unreadable(path, error)
    if not stat.S_ISREG(found.st_mode):
        raise BundleError(
            BundleProblem.UNSAFE_FILE,
            f"{path} is not a plain file, and a bundle may hold nothing else. {_AGAIN}",
        )
    return found.st_size


def _require_hash(path: Path, kind: str, found: str, declared: str) -> None:
    if found != declared:
        raise BundleError(
            BundleProblem.HASH_MISMATCH, f"{path} does not have the {kind} that the manifest says. {_AGAIN}"
        )


def _invalid(path: Path, what: str) -> NoReturn:
    raise BundleError(BundleProblem.ARRAY_INVALID, f"{path} {what}. {_AGAIN}")


def _unreadable(path: Path, error: Exception) -> NoReturn:
    raise BundleError(
        BundleProblem.FILE_UNREADABLE, f"{path} cannot be read: {error}. Check the disk and its permissions."
    ) from error
