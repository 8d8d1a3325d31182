"""Scoring real documents: in batches, one at a time, with two threads; and whether all contenders agree."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from typing import Any, Final

import numpy as np

from worker.bench.score_scorers import SKLEARN, Contender
from worker.bench.score_timing import batch_rounds, in_batches, percentile, rounds, single_calls, two_threads
from worker.bench.trained import BenchError, Say
from worker.clock import Clock

BATCH: Final = 512
# The most by which decisions may differ from scikit-learn's, relative to those larger than 1.
TOLERANCE: Final = 1e-5

Texts = Sequence[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        documents: scored per round, in batches; the texts are repeated or cut to that many.
        singles: scored per round one at a time.
        repeat: rounds.
    """

    documents: int
    singles: int
    repeat: int


@dataclass(frozen=True, slots=True)
class Amount:
    """How much text one round scores."""

    documents: int
    characters: int
    bytes: int

    @classmethod
    def of(cls, texts: Texts) -> "Amount":
        """Of all `texts`; bytes as UTF-8."""
        return cls(len(texts), sum(map(len, texts)), sum(len(text.encode("utf-8", "replace")) for text in texts))


@dataclass(frozen=True, slots=True)
class Difference:
    """How far decisions are from scikit-learn's, at most, over all texts."""

    absolute: float
    relative: float
    """The same, divided by the size of scikit-learn's decision where that is more than 1."""

    @property
    def acceptable(self) -> bool:
        """Whether the contract holds."""
        return self.relative <= TOLERANCE


@dataclass(frozen=True, slots=True)
class Speed:
    """One contender with one model.

    Attributes:
        contender: its name.
        amount: what one round scored.
        seconds: of each round in batches.
        calls: seconds of each call with one document.
        threads: throughput of two threads by that of one, each round; empty where not measured.
        difference: from scikit-learn's decisions.
    """

    contender: str
    amount: Amount
    seconds: list[float]
    calls: list[float]
    threads: list[float] = field(default_factory=list)
    difference: Difference = Difference(0.0, 0.0)

    @property
    def median(self) -> float:
        """Seconds of the median round."""
        return statistics.median(self.seconds)

    @property
    def microseconds_per_document(self) -> float:
        """In batches."""
        return self.median / self.amount.documents * 1e6

    @property
    def megabytes_per_second(self) -> float:
        """In batches; a megabyte is a million bytes of UTF-8."""
        return self.amount.bytes / self.median / 1e6

    @property
    def nanoseconds_per_character(self) -> float:
        """In batches."""
        return self.median / self.amount.characters * 1e9

    @property
    def single_median(self) -> float:
        """Microseconds of the median call with one document."""
        return statistics.median(self.calls) * 1e6

    @property
    def single_p99(self) -> float:
        """Microseconds that 99 % of the calls with one document stay within."""
        return percentile(self.calls, 0.99) * 1e6

    @property
    def two_threads(self) -> float | None:
        """Throughput of two threads by that of one, in the median round."""
        return statistics.median(self.threads) if self.threads else None

    def as_json(self, reference: "Speed") -> dict[str, Any]:
        """Medians, ratios to `reference` (above 1 is quicker) and the single rounds."""
        return {
            "contender": self.contender,
            "microseconds_per_document": round(self.microseconds_per_document, 3),
            "megabytes_per_second": round(self.megabytes_per_second, 3),
            "nanoseconds_per_character": round(self.nanoseconds_per_character, 3),
            "ratio": round(reference.median / self.median, 3),
            "single_microseconds_median": round(self.single_median, 2),
            "single_microseconds_p99": round(self.single_p99, 2),
            "single_ratio": round(reference.single_median / self.single_median, 3),
            "two_threads": self.two_threads and round(self.two_threads, 3),
            "max_difference": self.difference.absolute,
            "max_relative_difference": self.difference.relative,
            "round_seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """All contenders on one corpus with one model of it; scikit-learn's pipeline first."""

    corpus: str
    variant: str
    amount: Amount
    classes: int
    terms: int
    speeds: list[Speed]

    @property
    def reference(self) -> Speed:
        """What ratios refer to."""
        return self.speeds[0]

    @property
    def disagreeing(self) -> list[Speed]:
        """Those whose decisions are not scikit-learn's."""
        return [speed for speed in self.speeds if not speed.difference.acceptable]

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            "corpus": self.corpus,
            "variant": self.variant,
            "documents": self.amount.documents,
            "characters": self.amount.characters,
            "bytes": self.amount.bytes,
            "classes": self.classes,
            "terms": self.terms,
            "rows": [speed.as_json(self.reference) for speed in self.speeds],
        }


@dataclass(frozen=True, slots=True)
class Scored:
    """Everyone with one model, and texts for it."""

    contenders: Sequence[Contender]
    texts: Texts


def measure(scored: Scored, plan: Plan, clock: Clock, say: Say) -> list[Speed]:
    """Everything about the contenders, of whom the first is the reference, on these texts.

    Raises:
        BenchError: there is no text, or decisions have another shape than the reference's.
    """
    contenders, texts = scored.contenders, scored.texts
    if not texts:
        raise BenchError("There are no documents to score.")
    say(f"comparing the decisions on {len(texts):,} documents")
    differences = {each.name: _difference(each, contenders[0], texts) for each in contenders}
    scores = {each.name: each.score for each in contenders}
    measured = list(islice(cycle(texts), plan.documents))
    batches = in_batches(measured, BATCH)
    say(f"scoring {len(measured):,} documents in batches of {BATCH}, {plan.repeat} rounds")
    seconds = batch_rounds(scores, batches, plan.repeat, clock)
    singles = list(islice(cycle(texts), plan.singles))
    say(f"scoring {len(singles):,} documents one at a time, {plan.repeat} rounds")
    calls = single_calls(scores, singles, plan.repeat, clock)
    threads: dict[str, list[float]] = {}
    for each in contenders:
        if each.name != SKLEARN:
            say(f"scoring with two threads: {each.name}")
            threads[each.name] = two_threads(each.score, batches, plan.repeat, clock)
    amount = Amount.of(measured)
    return [
        Speed(name, amount, seconds[name], calls[name], threads.get(name, []), differences[name]) for name in scores
    ]


@dataclass(frozen=True, slots=True)
class Cost:
    """Nanoseconds per character of one contender on two corpora, measured in turn."""

    contender: str
    first: float
    second: float

    @property
    def times(self) -> float:
        """How many times as long a character of the second one takes."""
        return self.second / self.first

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            "contender": self.contender,
            "nanoseconds_per_character": [round(self.first, 3), round(self.second, 3)],
            "times": round(self.times, 3),
        }


def compare(first: Scored, second: Scored, plan: Plan, clock: Clock) -> list[Cost]:
    """What a character costs in either corpus. `first` and `second` have the same contenders, each its own model.

    The same rounds score both: they were trained minutes apart, and the machine's speed has drifted since.
    """
    texts = [list(islice(cycle(side.texts), plan.documents)) for side in (first, second)]
    jobs = {
        (each.name, number): partial(_scan, each.score, in_batches(texts[number], BATCH))
        for pair in zip(first.contenders, second.contenders, strict=True)
        for number, each in enumerate(pair)
    }
    seconds = rounds(jobs, plan.repeat, clock)
    characters = [sum(map(len, each)) for each in texts]
    nanoseconds = {key: statistics.median(found) / characters[key[1]] * 1e9 for key, found in seconds.items()}
    return [Cost(each.name, nanoseconds[each.name, 0], nanoseconds[each.name, 1]) for each in first.contenders]


def _scan(score: Callable[[Texts], object], batches: Sequence[Texts]) -> None:
    for batch in batches:
        score(batch)


def _difference(contender: Contender, reference: Contender, texts: Texts) -> Difference:
    absolute = relative = 0.0
    for batch in in_batches(texts, BATCH):
        wanted, found = _decisions(reference.decisions, batch), _decisions(contender.decisions, batch)
        if wanted.shape != found.shape:
            raise BenchError(f"{contender.name} gives decisions of shape {found.shape}, not {wanted.shape}.")
        gaps = np.nan_to_num(np.abs(found - wanted), nan=np.inf)  # NaN would not count as a maximum
        absolute = max(absolute, float(gaps.max()))
        relative = max(relative, float((gaps / np.maximum(np.abs(wanted), 1.0)).max()))
    return Difference(absolute, relative)


def _decisions(decide: Callable[[Texts], Any], batch: Texts) -> Any:  # noqa: ANN401 - scikit-learn's arrays and ours
    return np.asarray(decide(batch), dtype=np.float64)
