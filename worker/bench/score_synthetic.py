"""Models and texts made up: large ones, whose every word is known, from one seed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.bundle import FORMAT_VERSION, BundleContent, Calibration, Fallback, VectorizerConfig, write_bundle
from worker.bench.trained import Say

_SEED: Final = 20261122
_VERSION: Final = "synthetic"
# Word lengths and letters roughly as in a large English vocabulary; Zipf's law with Mandelbrot's shift.
_MEAN_LENGTH, _LENGTH_SPREAD, _SHORTEST, _LONGEST = 8.5, 2.5, 2, 20
_LETTERS: Final = np.frombuffer(b"etaoinshrdlcumwfgypbvkjxqz", dtype=np.uint8)
_LETTER_RATES: Final = (12.7, 9.1, 8.2, 7.5, 7, 6.7, 6.3, 6.1, 6, 4.3, 4, 2.8, 2.8, 2.4, 2.4, 2.2, 2, 2, 1.9, 1.5, 1)
_RARE_RATES: Final = (0.8, 0.15, 0.15, 0.1, 0.07)
_ZIPF_SHIFT: Final = 2.7


def words(count: int, seed: int = _SEED) -> list[str]:
    """`count` distinct words of small letters, sorted."""
    rng = np.random.default_rng(seed)
    rates = np.array(_LETTER_RATES + _RARE_RATES)
    found: set[str] = set()
    while len(found) < count:
        missing = count - len(found)
        lengths = np.clip(rng.normal(_MEAN_LENGTH, _LENGTH_SPREAD, missing).round(), _SHORTEST, _LONGEST).astype(int)
        letters = rng.choice(_LETTERS, int(lengths.sum()), p=rates / rates.sum()).tobytes().decode("ascii")
        ends = np.cumsum(lengths).tolist()
        found |= {letters[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)}
    return sorted(found)


def zipf_texts(vocabulary: Sequence[str], documents: int, tokens: int, seed: int = _SEED) -> list[str]:
    """Texts of `tokens` words each: the word of rank r occurs in proportion to 1 / (r + 2.7)."""
    rng = np.random.default_rng(seed)
    by_rank = rng.permutation(len(vocabulary))
    shares: NDArray[np.float64] = np.cumsum(1.0 / (np.arange(len(vocabulary)) + 1 + _ZIPF_SHIFT))
    ranks = np.searchsorted(shares, rng.random((documents, tokens)) * shares[-1])
    return [" ".join(vocabulary[index] for index in row) for row in by_rank[ranks].tolist()]


def synthetic_bundle(root: Path, terms: int, classes: int, say: Say) -> Path:
    """A bundle of random weights below `root`: the one from an earlier run, else a new one."""
    directory = root / f"synthetic-{terms}x{classes}-v{FORMAT_VERSION}" / "en" / _VERSION
    if directory.exists():
        say(f"reusing the bundle {directory}")
        return directory
    say(f"writing a bundle of {terms:,} terms and {classes} classes")
    write_bundle(directory, _VERSION, _content(words(terms), classes))
    return directory


def _content(vocabulary: list[str], classes: int) -> BundleContent:
    rng = np.random.default_rng(_SEED)
    shape = (len(vocabulary), classes)
    return BundleContent(
        lang="en",
        classes=tuple(f"class{number:03}" for number in range(classes)),
        vectorizer=VectorizerConfig(sublinear_tf=True),
        terms=tuple(vocabulary),
        idf=rng.uniform(1.0, 12.0, len(vocabulary)).astype(np.float32),
        weights=rng.standard_normal(shape, dtype=np.float32),
        intercept=rng.standard_normal(classes, dtype=np.float32),
        calibration=Calibration((-2.0,) * classes, (0.0,) * classes),
        thresholds=(0.5,) * classes,
        fallback=Fallback.BEST,
        golden_texts=tuple(zipf_texts(vocabulary, 3, 200)),
        training={"seed": _SEED},
        metrics={},
    )
