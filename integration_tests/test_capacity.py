"""What a real worker forecasts of a real backlog, and what came of it."""

import math
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from integration_tests.stuck_worker import HANGS
from integration_tests.system import CLOCK, THOROUGH, System, WorkerProcess, wait_until
from schemas.document import Document

pytestmark = pytest.mark.broker

DOCUMENTS = 5000
NAMES = ("clf_drain_seconds", "clf_workers_useful")
LAG = re.compile(r"^clf_consumer_lag_records\{.*\} (.+)$", re.MULTILINE)


class Look(NamedTuple):
    """One look at the metrics of a worker."""

    time: float
    lags: list[float]
    drain: float
    useful: float


def look(worker: WorkerProcess) -> Look:
    """One scrape."""
    text = worker.get("/metrics")[1]
    values = [float(re.findall(rf"^{name} (.+)$", text, re.MULTILINE)[0]) for name in NAMES]
    return Look(CLOCK.monotonic(), [float(lag) for lag in LAG.findall(text)], *values)


def slow_documents() -> Iterator[Document]:
    """Documents that the worker takes half a millisecond for, each with a url of its own."""
    return (Document(f"{HANGS}0.0005{number:05}", "", "", "en") for number in range(DOCUMENTS))


@THOROUGH
def test_the_forecasts_come_true(system: System) -> None:
    """While a backlog drains, the time left is forecast within a factor of three; in the end nothing is left to say."""
    system.send(slow_documents())
    options = [*system.options(), "--no-scoring", "--max-records", "200"]
    looks: list[Look] = []

    def drained() -> bool:
        looks.append(look(worker))
        return system.settled() >= DOCUMENTS and not any(looks[-1].lags)

    worker = WorkerProcess(
        [sys.executable, "-m", "integration_tests.stuck_worker", "worker", *options], system.directory / "w"
    )
    try:
        worker.await_ready()
        wait_until(drained, "the backlog is drained", 60)
    finally:
        worker.kill()
    end = looks[-1].time
    told = [seen for seen in looks if sum(seen.lags) > DOCUMENTS / 4 and seen.drain < math.inf]
    assert told, looks
    last = told[-1]
    assert (end - last.time) / 3 < last.drain < 3 * (end - last.time), looks
    assert last.useful > 0
    for seen in looks:
        assert 0 <= seen.useful <= sum(lag > 0 for lag in seen.lags), seen
    assert looks[-1][2:] == (0, 0)
