"""What is told of latencies: percentiles, codes, and the histogram."""

import math
import random
import re
from itertools import pairwise

import numpy as np
import pytest

from worker.bench.latency import OK, PERCENTILES, Latencies, histogram
from worker.bench.open_loop import poisson

LINE = re.compile(r" *(?P<low>[0-9.]+)- *(?P<high>[0-9.]+) +(?P<calls>[0-9,]+) +[0-9.]+%")


def latencies(milliseconds: list[float], status: list[int] | None = None) -> Latencies:
    """Calls that took that long and ended so."""
    seconds = np.array(milliseconds, dtype=np.float64) / 1000
    codes = np.array(status if status is not None else [OK] * len(milliseconds), dtype=np.int16)
    return Latencies(seconds, codes, np.zeros(len(seconds)))


def test_percentiles_and_shares() -> None:
    """Of all calls, in seconds; the worst is the slowest."""
    found = latencies([1.0] * 990 + [50.0] * 9 + [200.0])
    assert [round(found.percentile(percent), 4) for percent in PERCENTILES] == [0.001, 0.0015, 0.0502]
    assert (found.worst, found.share_within(0.1)) == (0.2, 0.999)


def test_calls_are_told_apart_by_how_they_ended() -> None:
    """By the names of gRPC's codes; what never ended has one, too."""
    found = latencies([1, 2, 3, 4], [0, 8, 8, -1])
    assert found.codes == {"no answer": 1, "OK": 1, "RESOURCE_EXHAUSTED": 2}
    assert len(found.of(8)) == 2
    assert found.of(0, -1).seconds.tolist() == [0.001, 0.004]


def test_runs_are_joined() -> None:
    """Percentiles of several runs are those of all their calls, not means of percentiles."""
    joined = Latencies.joined([latencies([1.0]), latencies([2.0, 3.0], [0, 14])])
    assert joined.seconds.tolist() == [0.001, 0.002, 0.003]
    assert joined.as_json()["codes"] == {"OK": 2, "UNAVAILABLE": 1}


def test_no_call_is_no_figure() -> None:
    """Neither zero nor an error: nothing is known."""
    none = latencies([])
    assert math.isnan(none.percentile(50))
    assert math.isnan(none.share_within(1))
    assert math.isnan(none.worst)
    assert histogram(none, "idle") == ["idle: no call"]


def test_the_histogram_counts_every_call_once() -> None:
    """Buckets meet, the shares end at all of them, and a rare tail is seen beside a common middle."""
    values = [0.5] * 10_000 + [5.0] * 100 + [99.0]
    title, _, *lines = histogram(latencies(values), "calls")
    assert title == "calls: 10,101 calls"
    rows = [LINE.match(line) for line in lines]
    assert sum(int(row["calls"].replace(",", "")) for row in rows if row) == len(values)
    assert all(before and after and before["high"] == after["low"] for before, after in pairwise(rows))
    assert [line.count("#") for line in lines if "#" in line] == [50, 25, 1]
    assert "100.000%" in lines[-1]


@pytest.mark.parametrize("value", [0.0001, 0.001, 1.0, 1000.0])
def test_one_value_is_a_histogram(value: float) -> None:
    """At the edges of buckets, and below the least of them, too."""
    rows = [row for line in histogram(latencies([value] * 3), "one")[2:] if (row := LINE.match(line))]
    assert [int(row["calls"]) for row in rows if int(row["calls"])] == [3]


def test_calls_come_as_many_independent_callers_make_them() -> None:
    """On average at the rate, within the time, in order, and with pauses as long as they are in a Poisson process."""
    times = list(poisson(1000, 20, random.Random(1)))  # noqa: S311 - the same calls each time
    pauses = np.diff(times)
    assert times == sorted(times)
    assert 0 < times[0] < times[-1] < 20
    assert abs(len(times) - 20_000) < 600
    assert abs(pauses.std() / pauses.mean() - 1) < 0.05
