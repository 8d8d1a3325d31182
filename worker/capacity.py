"""Forecasts from what one worker measures: when its lag will be gone, and how many workers its lag would keep busy."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from worker.clock import Clock
from worker.stream.records import Outcome, TopicPartition

_HALF_LIFE_SECONDS = 120.0  # what was measured that long ago counts half: one burst is no lasting inflow
_STALLED_SECONDS = 60.0
_COMMITTING = {"produce", "commit"}  # the stages of that thread; the others are those of processing


def drain_seconds(lag: float, cost: float | None, inflow: float) -> float:
    """Seconds until `lag` documents are settled, infinite when that never comes.

    Args:
        lag: documents that wait.
        cost: seconds that each takes; None when none was settled yet.
        inflow: documents that come every second.
    """
    if lag <= 0 or cost == 0:
        return 0.0
    surplus = 0.0 if cost is None else 1 / cost - inflow
    return lag / surplus if surplus > 0 else math.inf


def workers_useful(
    lags: Mapping[TopicPartition, int], cost: float | None, inflow: Mapping[TopicPartition, float], target: float
) -> float:
    """How many workers the partitions that lag would keep busy, until they are drained in `target` seconds.

    A sum over the partitions: the share of one worker's time that each takes, its inflow included, and one at most,
    since no two workers of a group read the same partition. So it is never above the number of partitions that lag, it
    never falls when a lag grows, and the sum over all workers, rounded up, is how many of them there should be.

    Before a document was settled nobody knows the cost: then it is one, this worker itself.
    """
    lagging = {source: lag for source, lag in lags.items() if lag > 0}
    if cost is None:
        return min(1.0, len(lagging))
    return sum(min(1.0, cost * (inflow.get(source, 0.0) + lag / target)) for source, lag in lagging.items())


class Capacity:
    """Measures cost and inflow, and forecasts. Any thread may call `stage` and read, the rest is the polling one's."""

    def __init__(self, clock: Clock, target: float) -> None:
        """`target` is the number of seconds in which the lag should be gone."""
        self._clock = clock
        self._target = target
        self._cost = _Ratio()
        self._inflow: dict[TopicPartition, _Ratio] = {}
        self._lags: Mapping[TopicPartition, int] = {}
        self._looked = clock.monotonic()
        self._settled = Counter[TopicPartition]()  # since then
        self._busy = {"processing": 0.0, "committing": 0.0}  # seconds of the two threads, since ever
        self._span = self._begin(self._looked)
        self.drain_seconds = self.workers_useful = 0.0

    @property
    def cost(self) -> float | None:
        """Seconds per document: those of the slower of the two threads, or all of them while documents wait."""
        return self._cost.value

    @property
    def inflow(self) -> float:
        """Documents that come every second to the partitions of this worker."""
        return sum(ratio.value or 0.0 for ratio in self._inflow.values())

    def stage(self, stage: str, seconds: float) -> None:
        """One stage of one batch took that long."""
        self._busy["committing" if stage in _COMMITTING else "processing"] += seconds

    def committed(self, outcome: Outcome) -> None:
        """A batch's documents are settled."""
        self._settled.update({source: len(part.timestamps_ms) for source, part in outcome.parts.items()})

    def saw(self, lags: Mapping[TopicPartition, int]) -> None:
        """The present lag of every assigned partition. Forecasts anew."""
        now = self._clock.monotonic()
        self._measure_inflow(lags, now - self._looked)
        self._span.settled += self._settled.total()
        moved = lags.keys() != self._lags.keys()
        self._lags, self._looked = dict(lags), now
        self._settled.clear()
        if self._span.settled and not moved:
            self._measure_cost(now)
        if self._span.settled or moved:
            self._span = self._begin(now)
        self._forecast(now)

    def _measure_inflow(self, lags: Mapping[TopicPartition, int], seconds: float) -> None:
        for source in self._inflow.keys() - lags.keys():
            del self._inflow[source]
        for source in lags.keys() & self._lags.keys():
            came = lags[source] - self._lags[source] + self._settled[source]
            self._inflow.setdefault(source, _Ratio()).add(max(0, came), seconds, seconds)

    def _measure_cost(self, now: float) -> None:
        span = self._span
        seconds = now - span.since
        # Some of what waited at its beginning waits still: all the time there was work. Otherwise the worker had
        # pauses, and what counts is how long its slower thread worked.
        never_idle = span.lag > span.settled
        busy = seconds if never_idle else max(self._busy[thread] - span.busy[thread] for thread in self._busy)
        self._cost.add(busy, span.settled, seconds)

    def _begin(self, now: float) -> "_Span":
        return _Span(now, sum(self._lags.values()), dict(self._busy))

    def _forecast(self, now: float) -> None:
        lag, cost = sum(self._lags.values()), self.cost
        stalled = self._span.lag > 0 and now - self._span.since >= _STALLED_SECONDS
        self.drain_seconds = drain_seconds(lag, None if stalled else cost, self.inflow)
        inflow = {source: ratio.value or 0.0 for source, ratio in self._inflow.items()}
        self.workers_useful = workers_useful(self._lags, cost, inflow, self._target)


@dataclass(slots=True)
class _Span:
    """A time with at least one commit in it, from one look at the lags to a later one."""

    since: float
    lag: int
    busy: dict[str, float]
    settled: int = 0


class _Ratio:
    """Of two sums that forget; half at most at a time, so that a long pause leaves something."""

    def __init__(self) -> None:
        self._above = self._below = 0.0

    def add(self, above: float, below: float, seconds: float) -> None:
        """Both grew by that much within `seconds`."""
        kept = 0.5 ** min(1.0, seconds / _HALF_LIFE_SECONDS)
        self._above = self._above * kept + above
        self._below = self._below * kept + below

    @property
    def value(self) -> float | None:
        """None as long as nothing is known."""
        return self._above / self._below if self._below > 0 else None
