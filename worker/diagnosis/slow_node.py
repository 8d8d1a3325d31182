"""Finds out that this process is slower than it uses to be, and that its host is why.

The p99 of what it does (batches per document, or calls) is compared with the median of its own earlier p99s. When it
has drifted by a factor, and CPU time was stolen or throttled, or IO or memory kept processes waiting at the same time,
the process is not ready until that has passed. A drift without such a reason is told and nothing else: a new model or
longer documents are no fault of the node.

A whole fleet must not go this way. What moves callers, `/ready` of a server, is guarded by two things that need no
agreement: each server waits for a time of its own choice before it leaves; and one that has more to do than usual
stays. So the first ones that leave, of a fleet that is slow as a whole, keep the others in. The readiness of a worker
moves nobody: it goes on reading its partitions.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Protocol

import structlog

from worker.clock import Clock
from worker.diagnosis.host import Host, HostReason, shares
from worker.serve.histograms import Tally, quantile

log = structlog.get_logger(__name__)

# From these shares of the time on, a reason counts; below half of them it has passed.
LIMITS = {
    HostReason.CPU_STEAL: 0.1,
    HostReason.CPU_THROTTLED: 0.25,
    HostReason.IO_PRESSURE: 0.3,
    HostReason.MEMORY_PRESSURE: 0.1,
}
_LEAST_VALUES = 20  # of a window; fewer say nothing about a p99
_MOST_WINDOWS = 120  # that the baseline looks back over
_LEAST_WINDOWS = 5
_BUSIER = 1.25  # times what is usual


@dataclass(frozen=True, slots=True)
class Caution:
    """How many windows in a row decide.

    Attributes:
        windows: slow ones, until the process is held for slow.
        recovery: good ones, until it is not any more.
        stay_when_busier: whether one that has more to do than usual stays ready.
    """

    windows: int
    recovery: int = 2
    stay_when_busier: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the last window showed.

    Attributes:
        p99: in seconds; None when there were too few values.
        baseline: what it usually is; None before that is known.
        shares: of the time that each reason took.
        reasons: why this process is held for slow; empty when it is not.
    """

    p99: float | None
    baseline: float | None
    shares: Mapping[HostReason, float]
    reasons: frozenset[HostReason] = frozenset()

    @property
    def drift(self) -> float | None:
        """By what factor the p99 has drifted."""
        return self.p99 / self.baseline if self.p99 and self.baseline else None


class Books(Protocol):
    """Who is told; the metrics implement it."""

    def diagnosed(self, diagnosis: Diagnosis) -> None:
        """This is what the last window showed."""


class SlowNode:
    """Looks at one window after the other. `look` is called by one thread, any thread may read."""

    def __init__(  # noqa: PLR0913 - each is a part or a policy of its own
        self,
        seconds: Tally,
        host: Host,
        books: Books,
        clock: Clock,
        *,
        factor: float,
        window: float,
        caution: Caution,
        changed: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`seconds` are the durations; `changed` is told whether it is ready again. `factor` 0: it does nothing."""
        self._seconds = seconds
        self._host = host
        self._books = books
        self._clock = clock
        self._factor = factor
        self._window = window
        self._caution = caution
        self._changed = changed
        self._earlier: deque[tuple[float, float]] = deque(maxlen=_MOST_WINDOWS)  # p99, and values per second
        self._in_a_row = 0  # windows that speak against what is held for true
        self.diagnosis = Diagnosis(None, None, dict.fromkeys(HostReason, 0.0))
        self.reason: str | None = None
        self._begin()

    def look(self) -> None:
        """Judge the window, if it is over."""
        elapsed = self._clock.monotonic() - self._began
        if not self._factor or elapsed < self._window:
            return
        if elapsed < 3 * self._window:  # or the process was frozen, which says nothing
            self._judge(elapsed)
        self._begin()

    def _begin(self) -> None:
        self._began = self._clock.monotonic()
        self._counts = self._seconds.counts
        self._reading = self._host.read()

    def _judge(self, elapsed: float) -> None:
        counts = [now - before for now, before in zip(self._seconds.counts, self._counts, strict=True)]
        values = sum(counts)
        p99 = quantile(0.99, self._seconds.bounds, counts) if values >= _LEAST_VALUES else None
        baseline = median(p99 for p99, _ in self._earlier) if len(self._earlier) >= _LEAST_WINDOWS else None
        busier = bool(self._earlier) and values / elapsed > _BUSIER * median(rate for _, rate in self._earlier)
        before = self.diagnosis
        found = Diagnosis(p99, baseline, shares(self._reading, self._host.read()), before.reasons)
        self.diagnosis = self._well_again(found) if before.reasons else self._slow_now(found)
        if p99 is not None and not self.diagnosis.reasons:
            self._earlier.append((p99, values / elapsed))
        self._be_ready(busier=busier)
        self._books.diagnosed(self.diagnosis)

    def _slow_now(self, found: Diagnosis) -> Diagnosis:
        drift, reasons = found.drift, _reasons(found.shares, 1.0)
        slow = drift is not None and drift >= self._factor and bool(reasons)
        if not self._held(self._caution.windows, is_so=slow):
            return found
        told = {reason: round(found.shares[reason], 3) for reason in sorted(reasons)}
        log.warning("host_slow", shares=told, p99_seconds=found.p99, usual_seconds=found.baseline)
        return Diagnosis(found.p99, found.baseline, found.shares, reasons)

    def _well_again(self, found: Diagnosis) -> Diagnosis:
        """Halfway back is well: what stands at a limit must not come and go with every window."""
        drift, reasons = found.drift, _reasons(found.shares, 0.5)
        well = not reasons or (drift is not None and drift < (1 + self._factor) / 2)
        if self._held(self._caution.recovery, is_so=well):
            log.info("host_well", reason="The host gives this process its time again.")
            reasons = frozenset()
        else:
            reasons = reasons or found.reasons
        return Diagnosis(found.p99, found.baseline, found.shares, reasons)

    def _held(self, windows: int, *, is_so: bool) -> bool:
        """Whether it is so for that many windows in a row."""
        self._in_a_row = self._in_a_row + 1 if is_so else 0
        if self._in_a_row < windows:
            return False
        self._in_a_row = 0
        return True

    def _be_ready(self, *, busier: bool) -> None:
        reasons, was_ready = self.diagnosis.reasons, self.reason is None
        if not reasons:
            self.reason = None
        elif not was_ready or not (busier and self._caution.stay_when_busier):
            self.reason = f"the host is slow: {', '.join(sorted(reasons))}"
        if was_ready != (self.reason is None):
            self._changed(self.reason is None)


def _reasons(found: Mapping[HostReason, float], part: float) -> frozenset[HostReason]:
    return frozenset(reason for reason, limit in LIMITS.items() if found[reason] >= part * limit)
