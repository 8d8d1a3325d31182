"""The metrics at one moment, and what grew between two."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from prometheus_client.core import Metric

from worker.clock import Clock
from worker.serve.histograms import quantile

_EVERY_SECONDS = 5.0
_KEPT = 4  # so that growth is that of the last 15 to 20 seconds
_SELDOM = ("_created", "_bucket")  # many, and only these are of use here:
_BUCKETS = "clf_latency_seconds_bucket"

Labels = Mapping[str, str]


class Snapshot:
    """The samples of one moment."""

    def __init__(self, families: Iterable[Metric], seconds: float) -> None:
        """`seconds` are monotonic."""
        self.seconds = seconds
        self._samples: dict[str, list[tuple[Labels, float]]] = {}
        for family in families:
            for sample in family.samples:
                if sample.name == _BUCKETS or not sample.name.endswith(_SELDOM):
                    self._samples.setdefault(sample.name, []).append((sample.labels, sample.value))

    def labels(self, name: str) -> list[Labels]:
        """Those of every sample of a metric."""
        return [labels for labels, _ in self._samples.get(name, ())]

    def value(self, name: str) -> float:
        """All samples of a metric together; 0 when there is none."""
        return sum(value for _, value in self._samples.get(name, ()))

    def by(self, name: str, label: str) -> dict[str, float]:
        """The same for each value of a label."""
        found: dict[str, float] = {}
        for labels, value in self._samples.get(name, ()):
            found[labels[label]] = found.get(labels[label], 0.0) + value
        return found


class Growth(NamedTuple):
    """From an earlier moment to now."""

    before: Snapshot
    now: Snapshot

    @property
    def seconds(self) -> float:
        """The time between."""
        return self.now.seconds - self.before.seconds

    def rate(self, name: str) -> float:
        """How much a counter grew every second."""
        return (self.now.value(name) - self.before.value(name)) / self.seconds if self.seconds > 0 else 0.0

    def rates(self, name: str, label: str) -> dict[str, float]:
        """The same for each value of a label."""
        before, now = self.before.by(name, label), self.now.by(name, label)
        return {
            key: (value - before.get(key, 0.0)) / self.seconds if self.seconds > 0 else 0.0
            for key, value in now.items()
        }

    def latency(self, share: float) -> float | None:
        """The latency that this share of the calls did not exceed; None without calls."""
        before, now = self.before.by(_BUCKETS, "le"), self.now.by(_BUCKETS, "le")
        cumulative = [0.0, *(count - before.get(bound, 0.0) for bound, count in now.items())]
        counts = [round(upper - lower) for lower, upper in pairwise(cumulative)]
        return quantile(share, [float(bound) for bound in now][:-1], counts)


class Snapshots:
    """Keeps a few earlier ones. `tick` is called by one thread, `growth` by any."""

    def __init__(self, collect: Callable[[], Iterable[Metric]], clock: Clock) -> None:
        self._collect = collect
        self._clock = clock
        self._kept = deque([self._take()], maxlen=_KEPT)

    def tick(self) -> None:
        """Keep one, when it is time to."""
        if self._clock.monotonic() - self._kept[-1].seconds >= _EVERY_SECONDS:
            self._kept.append(self._take())

    def growth(self) -> Growth:
        """Up to now."""
        return Growth(self._kept[0], self._take())

    def _take(self) -> Snapshot:
        return Snapshot(self._collect(), self._clock.monotonic())
