"""Rounds in turn: a drift of the machine meets every contender, and medians leave out what only one of them met."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from worker.clock import Clock

# Single calls of one contender are timed in runs of this many: in service, too, nobody else scores in between.
_RUN: Final = 32
# Handing work to a thread takes a while: what two threads are measured with takes much longer.
_LEAST_SECONDS: Final = 0.25

Key = TypeVar("Key", bound=Hashable)
Score = Callable[[Sequence[str]], object]


def rounds(jobs: Mapping[Key, Callable[[], object]], repeat: int, clock: Clock) -> dict[Key, list[float]]:
    """Seconds of each job in each of `repeat` rounds, one job after the other within a round."""
    seconds: dict[Key, list[float]] = {key: [] for key in jobs}
    for number in range(repeat):
        for key in _from(list(jobs), number):
            seconds[key].append(timed(jobs[key], clock))
    return seconds


def batch_rounds(
    scores: Mapping[str, Score], batches: Sequence[Sequence[str]], repeat: int, clock: Clock
) -> dict[str, list[float]]:
    """Seconds of each contender for all `batches`, `repeat` times; every batch goes to all of them in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in scores}
    for _ in range(repeat):
        sums = dict.fromkeys(scores, 0.0)
        for number, batch in enumerate(batches):
            for name in _from(list(scores), number):
                started = clock.monotonic()
                scores[name](batch)
                sums[name] += clock.monotonic() - started
        for name, total in sums.items():
            seconds[name].append(total)
    return seconds


def single_calls(
    scores: Mapping[str, Score], texts: Sequence[str], repeat: int, clock: Clock
) -> dict[str, list[float]]:
    """Seconds of each call with one text, of all `texts`, `repeat` times; runs of calls in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in scores}
    runs = in_batches(texts, _RUN) * repeat
    for number, run in enumerate(runs):
        for name in _from(list(scores), number):
            score, found = scores[name], seconds[name]
            for text in run:
                started = clock.monotonic()
                score([text])
                found.append(clock.monotonic() - started)
    return seconds


def two_threads(score: Score, batches: Sequence[Sequence[str]], repeat: int, clock: Clock) -> list[float]:
    """How many times the throughput of one thread two have that score at once, in each of `repeat` rounds."""

    def once() -> None:
        for batch in batches:
            score(batch)

    seconds_once = timed(once, clock)
    times = max(math.ceil(_LEAST_SECONDS / seconds_once), 1) if seconds_once else 1

    def scan() -> None:
        for _ in range(times):
            once()

    with ThreadPoolExecutor(2) as pool:

        def both() -> None:
            for done in [pool.submit(scan), pool.submit(scan)]:
                done.result()

        both()  # starts the threads
        seconds = rounds({1: scan, 2: both}, repeat, clock)
    return [2 * one / two for one, two in zip(seconds[1], seconds[2], strict=True)]


def timed(job: Callable[[], object], clock: Clock) -> float:
    """Seconds that one call takes."""
    started = clock.monotonic()
    job()
    return clock.monotonic() - started


def in_batches(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    """`texts` in groups of `size`, the last one shorter."""
    return [texts[start : start + size] for start in range(0, len(texts), size)]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def growth_exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The e for which `values` grow most nearly like size**e: the slope of both logarithms."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    middle_x, middle_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    spread = math.fsum((a - middle_x) ** 2 for a in x)
    return math.fsum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True)) / spread if spread else 0.0


def _from(keys: list[Key], number: int) -> list[Key]:
    """`keys` from another start each time, so that nobody always follows the same one."""
    start = number % len(keys)
    return keys[start:] + keys[:start]
