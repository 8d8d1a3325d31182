"""How the time grows: with the length of a text, and with the size of the vocabulary."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from worker.bench.score_scorers import Build, Contender, contenders
from worker.bench.score_synthetic import synthetic_bundle, words, zipf_texts
from worker.bench.score_timing import growth_exponent, rounds
from worker.bench.trained import BenchError, Say
from worker.clock import Clock

LENGTHS: Final = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
VOCABULARIES: Final = (10_000, 30_000, 100_000, 300_000, 1_000_000)
# A short text is scored, alone each time, as often as makes this many characters.
_CHARACTERS: Final = 200_000
_CLASSES: Final = 6
_DOCUMENTS, _TOKENS = 128, 400

Texts = Sequence[str]


@dataclass(frozen=True, slots=True)
class Curve:
    """Nanoseconds per unit over a size.

    Attributes:
        size_name: what grows, such as "characters".
        unit: what the time is divided by, such as "character".
        sizes: ascending.
        nanoseconds: per contender the median for each size.
    """

    size_name: str
    unit: str
    sizes: tuple[int, ...]
    nanoseconds: dict[str, list[float]]

    @property
    def exponents(self) -> dict[str, float]:
        """Per contender the e for which nanoseconds per unit grow like size**e; 0 is no growth at all."""
        return {name: growth_exponent(self.sizes, values) for name, values in self.nanoseconds.items()}

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            "size": self.size_name,
            "per": self.unit,
            "sizes": list(self.sizes),
            "nanoseconds": {name: [round(value, 3) for value in row] for name, row in self.nanoseconds.items()},
            "exponents": {name: round(value, 3) for name, value in self.exponents.items()},
        }


def over_lengths(
    who: Sequence[Contender], texts: Texts, lengths: Sequence[int], repeat: int, clock: Clock, say: Say
) -> Curve:
    """Nanoseconds per character for texts of each length, cut from `texts` put end to end, scored one at a time.

    Raises:
        BenchError: `texts` hold no character.
    """
    say(f"scoring texts of {lengths[0]:,} to {lengths[-1]:,} characters")
    stream = endless(texts, max(lengths) + _CHARACTERS)
    pieces = {length: windows(stream, length) for length in lengths}
    jobs = {(each.name, length): partial(_one_by_one, each.score, pieces[length]) for length in lengths for each in who}
    seconds = rounds(jobs, repeat, clock)
    nanoseconds = {
        each.name: [_per(seconds[each.name, length], len(pieces[length]) * length) for length in lengths]
        for each in who
    }
    return Curve("characters", "character", tuple(lengths), nanoseconds)


def over_vocabularies(
    build: dict[str, Build], root: Path, sizes: Sequence[int], repeat: int, clock: Clock, say: Say
) -> Curve:
    """Nanoseconds per word with vocabularies of each size; the texts draw from all of it, as Zipf's law has it."""
    jobs: dict[tuple[str, int], Callable[[], object]] = {}
    names: list[str] = []
    for size in sizes:
        bundle = synthetic_bundle(root, size, _CLASSES, say)
        who = contenders(bundle, None, build)
        names = [each.name for each in who]
        texts = zipf_texts(words(size), _DOCUMENTS, _TOKENS)
        jobs |= {(each.name, size): partial(each.score, texts) for each in who}
    say(f"scoring with vocabularies of {sizes[0]:,} to {sizes[-1]:,} words")
    for job in jobs.values():
        job()  # touches every page of the model for the first time
    seconds = rounds(jobs, repeat, clock)
    nanoseconds = {name: [_per(seconds[name, size], _DOCUMENTS * _TOKENS) for size in sizes] for name in names}
    return Curve("terms", "word", tuple(sizes), nanoseconds)


def endless(texts: Texts, length: int) -> str:
    """At least `length` characters of `texts`, end to end and from the first again when they are over.

    Raises:
        BenchError: they hold no character.
    """
    if not any(texts):
        raise BenchError("There is no text to score.")
    found: list[str] = []
    total = 0
    for text in cycle(texts):
        if total > length:  # the last line feed is not there
            break
        found.append(text)
        total += len(text) + 1
    return "\n".join(found)


def windows(stream: str, length: int) -> list[str]:
    """Pieces of `length` characters, one after the other, as many as make a measurable amount."""
    count = max(1, _CHARACTERS // length)
    return [stream[number * length : (number + 1) * length] for number in range(count)]


def _one_by_one(score: Callable[[Texts], object], texts: Texts) -> None:
    for text in texts:
        score([text])


def _per(seconds: Sequence[float], units: int) -> float:
    return statistics.median(seconds) / units * 1e9
