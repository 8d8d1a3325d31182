"""When a node is held for slow: windows that are played, one after the other, with a clock that is turned by hand."""

from collections.abc import Mapping
from typing import cast

import pytest
from structlog.testing import capture_logs

from worker.config import SlowHost
from worker.diagnosis.host import Count, Host, HostReason, Reading
from worker.diagnosis.pace import Pace
from worker.diagnosis.slow_node import Caution, Diagnosis, SlowNode
from worker.serve.histograms import Tally, quantile
from worker.tests.fakes import ManualClock

BOUNDS = tuple(0.001 * 1.2**step for step in range(60))
USUAL, SLOW = 0.01, 0.05
WINDOW = 30.0
STOLEN = {HostReason.CPU_STEAL: 0.4}


class Played:
    """A process on a host. It has a hundred values in each window."""

    def __init__(self, caution: Caution = Caution(windows=2), factor: float = 3.0) -> None:  # noqa: B008 - it is frozen
        self.clock = ManualClock()
        self.counts: dict[HostReason, Count] = {reason: Count(0, 0) for reason in HostReason}
        self.seconds = Tally(BOUNDS)
        self.told: list[Diagnosis] = []
        self.readiness: list[bool] = []
        host = cast("Host", self)  # it reads what is played
        self.node = SlowNode(
            self.seconds,
            host,
            self,
            self.clock,
            factor=factor,
            window=WINDOW,
            caution=caution,
            changed=self.readiness.append,
        )

    def read(self) -> Reading:
        """The host."""
        return {(reason, "played"): count for reason, count in self.counts.items()}

    def diagnosed(self, diagnosis: Diagnosis) -> None:
        """Note it."""
        self.told.append(diagnosis)

    def window(
        self, seconds: float = USUAL, shares: Mapping[HostReason, float] | None = None, values: int = 100
    ) -> None:
        """One more."""
        for _ in range(values):
            self.seconds.add(seconds)
        for reason, count in self.counts.items():
            part = (shares or {}).get(reason, 0.0) * WINDOW
            self.counts[reason] = Count(count.part + part, count.whole + WINDOW)
        for _ in range(round(WINDOW)):
            self.clock.now += 1
            self.node.look()

    def settle(self) -> None:
        """Long enough for a baseline."""
        for _ in range(10):
            self.window()

    @property
    def reasons(self) -> set[str]:
        """Why it is held for slow."""
        return set(self.node.diagnosis.reasons)

    @property
    def is_ready(self) -> bool:
        """Whether it may be called."""
        return self.node.reason is None


@pytest.mark.parametrize("reason", HostReason)
def test_slow_and_the_host_is_why(reason: HostReason) -> None:
    """In the second such window it is not ready, says which reason, and logs it once."""
    node = Played()
    node.settle()
    with capture_logs() as entries:
        node.window(SLOW, {reason: 0.4})
        assert node.is_ready
        node.window(SLOW, {reason: 0.4})
        node.window(SLOW, {reason: 0.4})
    assert node.node.reason == f"the host is slow: {reason}"
    assert (node.reasons, node.readiness) == ({reason}, [False])
    assert [entry["event"] for entry in entries] == ["host_slow"]
    assert node.told[-1].drift == pytest.approx(SLOW / USUAL, rel=0.3)


def test_slow_without_a_reason() -> None:
    """A new model, longer documents: that is told, and nobody is sent away."""
    node = Played()
    node.settle()
    for _ in range(10):
        node.window(SLOW)
    assert node.is_ready
    assert node.told[-1].drift == pytest.approx(SLOW / USUAL, rel=0.3)
    assert not node.told[-1].reasons


def test_a_reason_without_slowness() -> None:
    """A host under pressure that does not slow this process down is no trouble of ours."""
    node = Played()
    node.settle()
    for _ in range(10):
        node.window(2 * USUAL, STOLEN)
    assert node.is_ready
    assert node.told[-1].shares[HostReason.CPU_STEAL] == pytest.approx(0.4)


def test_one_window_is_chance() -> None:
    """Slow ones that do not follow each other never count."""
    node = Played()
    node.settle()
    for _ in range(10):
        node.window(SLOW, STOLEN)
        node.window()
    assert node.readiness == []


def test_it_recovers() -> None:
    """Two good windows, and it is ready; between the limits it stays what it is."""
    node = Played()
    node.settle()
    for _ in range(2):
        node.window(SLOW, STOLEN)
    for _ in range(5):
        node.window(0.7 * SLOW, {HostReason.CPU_STEAL: 0.06})  # below what makes it slow, above what makes it well
    assert not node.is_ready
    node.window()
    assert not node.is_ready
    with capture_logs() as entries:
        node.window()
    assert (node.is_ready, node.reasons, node.readiness) == (True, set(), [False, True])
    assert [entry["event"] for entry in entries] == ["host_well"]


@pytest.mark.parametrize("good", [{"seconds": USUAL, "shares": STOLEN}, {"seconds": SLOW}, {"values": 0}])
def test_either_sign_is_enough_to_recover(good: dict[str, object]) -> None:
    """It is fast again, or the host is well again; without calls, which went elsewhere, only the host can tell."""
    node = Played()
    node.settle()
    for _ in range(2):
        node.window(SLOW, STOLEN)
    for _ in range(2):
        node.window(**good)  # type: ignore[arg-type]  # the arguments of that method
    assert node.is_ready


def test_without_calls_the_host_keeps_it_out() -> None:
    """As long as it is under pressure, a server that nobody calls says nothing of itself."""
    node = Played()
    node.settle()
    for _ in range(2):
        node.window(SLOW, STOLEN)
    for _ in range(20):
        node.window(values=0, shares=STOLEN)
    assert not node.is_ready


def test_slowness_is_no_baseline() -> None:
    """However long it lasts, the usual value stays the usual value."""
    node = Played()
    node.settle()
    for _ in range(200):
        node.window(SLOW, STOLEN)
    assert not node.is_ready
    assert node.told[-1].baseline == pytest.approx(USUAL, rel=0.2)


def test_a_lasting_change_becomes_usual() -> None:
    """A drift without a reason of the host is the new baseline after an hour."""
    node = Played()
    node.settle()
    for _ in range(120):
        node.window(SLOW)
    assert node.told[-1].drift == pytest.approx(1)


def test_too_few_values_say_nothing() -> None:
    """Neither for a baseline nor against it."""
    node = Played()
    for _ in range(50):
        node.window(values=19)
    assert node.told[-1].baseline is None
    node.settle()
    for _ in range(5):
        node.window(SLOW, STOLEN, values=19)
    assert node.is_ready


def test_no_verdict_without_a_baseline() -> None:
    """A process that starts on a slow host does not know it better."""
    node = Played()
    for _ in range(5):
        node.window(SLOW, STOLEN)
    assert node.told[-1].drift is None
    assert node.is_ready


def test_frozen_time_is_no_window() -> None:
    """After a SIGSTOP nothing of what was counted is judged."""
    node = Played()
    node.settle()
    for _ in range(3):
        node.window(SLOW, STOLEN)
        node.clock.now += 3600
        node.node.look()
    assert len(node.told) == 10 + 3
    node.clock.now += 3600
    node.node.look()
    assert len(node.told) == 10 + 3


def test_one_that_has_more_to_do_stays() -> None:
    """What the others of a fleet send away comes here; it is told all the same, and followed when the load has gone."""
    node = Played(Caution(windows=2, stay_when_busier=True))
    node.settle()
    for _ in range(5):
        node.window(SLOW, STOLEN, values=150)
    assert (node.is_ready, node.reasons) == (True, {"cpu_steal"})
    node.window(SLOW, STOLEN, values=100)
    assert not node.is_ready
    node.window(SLOW, STOLEN, values=150)
    assert not node.is_ready, "once gone it does not come and go"


def test_a_slow_fleet_does_not_leave() -> None:
    """Ten servers share the calls of those that are ready, all are slow at once: most of them stay."""
    fleet = [Played(Caution(windows=2 + number % 5, stay_when_busier=True)) for number in range(10)]
    for node in fleet:
        node.settle()
    for _ in range(50):
        ready = [node for node in fleet if node.is_ready]
        for node in fleet:
            node.window(SLOW, STOLEN, values=1000 // len(ready) if node in ready else 0)
        assert len(ready) >= 6


def test_it_can_be_switched_off() -> None:
    """With a factor of 0 nothing is judged."""
    node = Played(factor=0)
    node.settle()
    assert (node.told, node.is_ready) == ([], True)
    assert SlowHost().slow_factor > 1


# --- what it is judged by --------------------------------------------------------------------------------------


def test_quantile() -> None:
    """Evenly within a bucket, the last bound beyond it, None without values."""
    assert quantile(0.5, (1, 2, 4), (0, 10, 0, 0)) == 1.5
    assert quantile(0.99, (1, 2, 4), (98, 0, 2, 0)) == 3
    assert quantile(1.0, (1, 2, 4), (1, 0, 0, 0)) == 1
    assert quantile(0.99, (1, 2, 4), (0, 0, 0, 5)) == 4
    assert quantile(0.99, (1, 2, 4), (0, 0, 0, 0)) is None


def test_the_pace_is_counted_by_document() -> None:
    """Small batches are left out: what they take is mostly not their documents."""
    clock = ManualClock()
    pace = Pace(clock)

    def process(batch: list[int]) -> int:
        clock.now += 0.5 if len(batch) < 10 else 0.001 * len(batch)
        return len(batch)

    measured = pace.of(process)  # type: ignore[arg-type]  # a list will do
    for size in (1, 9, 10, 100, 2000):
        assert measured([0] * size) == size
    assert sum(pace.seconds.counts) == 3
    assert quantile(0.99, pace.seconds.bounds, pace.seconds.counts) == pytest.approx(0.001, rel=0.2)
