"""The term table: all terms in one UTF-8 file, and the byte offset at which each begins."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NoReturn, overload

import numpy as np
from numpy.typing import NDArray

from models.problems import BundleError, BundleProblem


class TermTable(Sequence[str]):
    """The n terms of a table, decoded all at once when the first is asked for.

    A million terms take half a second to decode and check, and a scorer that has an index needs none of them. Two
    threads that ask first decode twice and get equal terms.

    Args:
        blob: the terms end to end in UTF-8.
        offsets: int64 (n + 1,), n at least 1.

    Attributes:
        blob, offsets: as above.

    Raises:
        BundleError: TERMS_INVALID, the offsets do not rise from 0 to the end of the blob. Asking for a
            term raises the same when the terms turn out not to be UTF-8, or when one occurs twice.
    """

    def __init__(self, blob: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        if len(offsets) <= 1:
            _refuse("it holds no term")
        if offsets[0] != 0 or offsets[-1] != len(blob) or bool((offsets[1:] < offsets[:-1]).any()):
            _refuse("its offsets do not rise from 0 to the end of the terms")
        self.blob = blob
        self.offsets = offsets
        self._terms: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self._decoded()[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoded())

    def _decoded(self) -> tuple[str, ...]:
        if self._terms is None:
            self._terms = _decode(self.blob.tobytes(), self.offsets.tolist())
        return self._terms


def encode_terms(terms: Sequence[str]) -> tuple[bytes, NDArray[np.int64]]:
    """The blob and n + 1 offsets; term i is `blob[offsets[i]:offsets[i + 1]]`.

    Raises:
        BundleError: a term is not a text that UTF-8 can hold.
    """
    try:
        encoded = [term.encode("utf-8") for term in terms]
    except (UnicodeEncodeError, AttributeError) as error:
        raise BundleError(
            BundleProblem.TERMS_INVALID,
            f"A term is not valid Unicode text ({error}). Clean the training texts.",
        ) from error
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(term) for term in encoded], out=offsets[1:])
    return b"".join(encoded), offsets


def _decode(blob: bytes, offsets: list[int]) -> tuple[str, ...]:
    try:
        terms = tuple([blob[start:end].decode("utf-8") for start, end in pairwise(offsets)])
    except UnicodeDecodeError as error:
        _refuse(f"a term is not UTF-8 ({error.reason})", error)
    if len(set(terms)) != len(terms):
        _refuse("a term occurs twice")
    return terms


def _refuse(what: str, cause: Exception | None = None) -> NoReturn:
    raise BundleError(
        BundleProblem.TERMS_INVALID,
        f"The term table is damaged: {what}. Copy the bundle again or train again.",
    ) from cause
