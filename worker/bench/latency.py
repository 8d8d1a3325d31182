"""Latencies of calls: percentiles, what became of them, and a histogram for a terminal and BENCHMARKS.md."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PERCENTILES: Final = (50.0, 99.0, 99.9)
OK: Final = 0
# The codes by which a server, or the client beside it, says that it has no time: RFC-like names of gRPC's numbers.
NAMES: Final = {
    -1: "no answer",
    0: "OK",
    1: "CANCELLED",
    2: "UNKNOWN",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    8: "RESOURCE_EXHAUSTED",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
}
REFUSED: Final = (1, 8)
_BAR: Final = 50
_LEAST: Final = 0.01  # milliseconds; what is below is in the first bucket


@dataclass(frozen=True, slots=True)
class Latencies:
    """The calls of one run or several.

    Attributes:
        seconds: from the time a call was due until it was over, each call.
        status: its gRPC status as a number.
        late: seconds from the time a call was due until the generator had sent it.
    """

    seconds: NDArray[np.float64]
    status: NDArray[np.int16]
    late: NDArray[np.float64]

    @classmethod
    def joined(cls, runs: Sequence["Latencies"]) -> "Latencies":
        """Of several runs."""
        return cls(*(np.concatenate([getattr(run, name) for run in runs]) for name in ("seconds", "status", "late")))

    def __len__(self) -> int:
        return len(self.seconds)

    def of(self, *status: int) -> "Latencies":
        """Those that ended with one of these."""
        kept = np.isin(self.status, status)
        return Latencies(self.seconds[kept], self.status[kept], self.late[kept])

    def percentile(self, percent: float) -> float:
        """Seconds; NaN when there is no call."""
        return float(np.percentile(self.seconds, percent)) if len(self) else math.nan

    def share_within(self, seconds: float) -> float:
        """Of all calls, the share that ended in that time."""
        return float((self.seconds <= seconds).mean()) if len(self) else math.nan

    @property
    def worst(self) -> float:
        """Seconds of the slowest; NaN when there is no call."""
        return float(self.seconds.max()) if len(self) else math.nan

    @property
    def codes(self) -> dict[str, int]:
        """How many calls ended how."""
        values, counts = np.unique(self.status, return_counts=True)
        return {NAMES.get(int(value), str(value)): int(count) for value, count in zip(values, counts, strict=True)}

    def as_json(self) -> dict[str, Any]:
        """Percentiles in milliseconds, and the codes."""
        return {
            "calls": len(self),
            "codes": self.codes,
            **{f"p{percent:g}_ms": round(self.percentile(percent) * 1000, 3) for percent in PERCENTILES},
            "max_ms": round(self.worst * 1000, 3),
            "generator_late_p99_ms": round(float(np.nanpercentile(self.late, 99)) * 1000, 3) if len(self) else None,
        }


def histogram(latencies: Latencies, title: str) -> list[str]:
    """Lines of text: one per bucket of about a quarter more than the one above, bars on a logarithmic scale.

    The scale is logarithmic because the tail is what matters: a bar of half the length is a hundredth of the calls.
    """
    milliseconds = latencies.seconds * 1000
    if not len(milliseconds):
        return [f"{title}: no call"]
    edges = _edges(float(milliseconds.min()), float(milliseconds.max()))
    counts, _ = np.histogram(milliseconds, edges)
    most = math.log10(max(int(counts.max()), 10))
    below = np.cumsum(counts) / len(milliseconds)
    lines = [f"{title}: {len(milliseconds):,} calls", f"{'ms':>15}  {'calls':>8}  {'below':>8}"]
    for low, high, count, share in zip(edges, edges[1:], counts, below, strict=False):
        bar = "#" * max(1, round(math.log10(count) / most * _BAR)) if count else ""
        lines.append(f"{low:7.2f}-{high:7.2f}  {count:8,}  {share:8.3%}  {bar}".rstrip())
    return lines


def _edges(least: float, most: float) -> list[float]:
    """Edges 1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.3, 8, 10 (ISO 3, R10) times powers of ten, around all values."""
    first = math.floor(10 * math.log10(max(least, _LEAST)))
    last = math.ceil(10 * math.log10(max(most, _LEAST)) + 1e-9)
    edges = [10 ** (step / 10) for step in range(first, max(last, first + 1) + 1)]
    return [min(edges[0], least), *edges[1:]]
