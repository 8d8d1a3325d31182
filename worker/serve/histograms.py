"""Histograms that cost less than the library's: many values in one call, or counted under somebody else's lock."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from threading import Lock

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Tally:
    """Values counted into buckets. Whoever uses it has a lock."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one value in."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds of the buckets, but for the last one, which has none."""
        return self._bounds

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values each bucket has, as of now."""
        return tuple(self._counts)

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts per upper bound, as Prometheus reads them."""
        bounds = (*(str(float(bound)) for bound in self._bounds), "+Inf")
        return list(zip(bounds, accumulate(self._counts), strict=True))


def quantile(share: float, bounds: Sequence[float], counts: Sequence[int]) -> float | None:
    """The value that `share` of the values do not exceed, as Prometheus guesses it: evenly spread within a bucket.

    None without values; the last bound when it lies beyond.
    """
    rank, below, lower = share * sum(counts), 0, 0.0
    if not rank:
        return None
    for upper, count in zip(bounds, counts, strict=False):
        if count and below + count >= rank:
            return lower + (upper - lower) * (rank - below) / count
        below, lower = below + count, upper
    return lower


def histogram_of(name: str, documentation: str, tally: Tally) -> Metric:
    """What Prometheus reads of a tally."""
    return HistogramMetricFamily(name, documentation, buckets=tally.buckets(), sum_value=tally.sum)


class BulkHistogram(Collector):
    """A histogram that takes a whole batch of values in one call; one call per record would cost more than a record."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._tally = Tally(bounds)
        self._lock = Lock()
        registry.register(self)

    def observe_all(self, values: Iterable[float]) -> None:
        """Count every value in."""
        with self._lock:
            for value in values:
                self._tally.add(value)

    def collect(self) -> Iterator[Metric]:
        """The present state."""
        with self._lock:
            found = histogram_of(self._name, self._documentation, self._tally)
        yield found
