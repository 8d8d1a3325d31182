"""The term table: all terms in one UTF-8 file, and the byte offset at which each begins."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from models.problems import BundleError, BundleProblem


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


def decode_terms(blob: bytes, offsets: NDArray[np.int64]) -> tuple[str, ...]:
    """The terms of a table, in order.

    Raises:
        BundleError: the offsets do not rise from 0 to the end of the blob, or cut a character; the
            blob is not UTF-8; a term occurs twice.
    """
    if len(offsets) <= 1:
        _refuse("it holds no term")
    if offsets[0] != 0 or offsets[-1] != len(blob) or bool(np.any(offsets[1:] < offsets[:-1])):
        _refuse("its offsets do not rise from 0 to the end of the terms")
    try:
        terms = tuple(blob[start:end].decode("utf-8") for start, end in pairwise(offsets.tolist()))
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
