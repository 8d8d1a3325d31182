"""The watchdog, one look at a time: a clock that is turned by hand, and a worker that is played."""

import threading

import pytest
from structlog.testing import capture_logs

from worker import watchdog
from worker.config import Guarantee
from worker.tests.fakes import ManualClock
from worker.watchdog import Seen, Watchdog, stacks

AFTER = 60.0


class Played:
    """A worker with a watchdog. By itself it polls, has work, and commits nothing."""

    def __init__(self, after: float = AFTER) -> None:
        self.clock = ManualClock()
        self.commits = self.turns = 0
        self.assigned, self.waiting = 4, True
        self.polls = True
        self.alarms: list[bool] = []
        self.ends = 0
        self.pings = 0
        self.watchdog = Watchdog(self.see, self, self.end, self.clock, after, self.alive)

    def see(self) -> Seen:
        """What the watchdog sees."""
        return Seen(self.commits, self.turns, self.assigned, self.waiting)

    def stuck(self, *, is_so: bool) -> None:
        """Note it."""
        self.alarms.append(is_so)

    def end(self) -> None:
        """Count it."""
        self.ends += 1

    def alive(self) -> None:
        """Count it."""
        self.pings += 1

    def live(self, seconds: float) -> None:
        """Let seconds pass, with a look at the end of each."""
        for _ in range(round(seconds)):
            self.clock.now += 1
            self.turns += self.polls
            self.watchdog.look()

    @property
    def is_stuck(self) -> bool:
        """Whether it is said to be."""
        return self.watchdog.reason is not None


def test_work_and_no_commit() -> None:
    """After the time the worker is stuck, which is told once; after twice the time it is ended."""
    worker = Played()
    worker.live(AFTER - 1)
    assert not worker.is_stuck
    worker.polls = False  # one long turn is no hang
    with capture_logs() as entries:
        worker.live(1)
        worker.polls = True
        assert worker.alarms == [True]
        worker.live(AFTER - 1)
    assert [entry["event"] for entry in entries] == ["stuck"]
    assert "stack" in entries[0]
    assert worker.watchdog.reason == "Nothing was committed for 60 s (--stuck-after), although records wait"
    assert (worker.alarms, worker.ends) == ([True], 0)
    with capture_logs() as entries:
        worker.live(1)
    assert worker.ends == 1
    assert [(entry["event"], entry["kind"]) for entry in entries] == [("fatal", "Stuck")]


def test_a_commit_takes_it_back() -> None:
    """One commit, and it is ready again and has its full time anew."""
    worker = Played()
    worker.live(2 * AFTER - 1)
    worker.commits += 1
    worker.live(1)
    assert (worker.alarms, worker.is_stuck) == ([True, False], False)
    worker.live(AFTER - 1)
    assert not worker.is_stuck
    worker.live(1)
    assert (worker.alarms, worker.ends) == ([True, False, True], 0)


def test_a_worker_that_commits_is_never_stuck() -> None:
    """However long it has work: a backlog is no fault."""
    worker = Played()
    for _ in range(10):
        worker.live(AFTER - 1)
        worker.commits += 1
        worker.live(1)
    assert (worker.alarms, worker.ends) == ([], 0)


def test_a_worker_without_work_is_never_stuck() -> None:
    """Nor does the time before the first record count, or that before the first partition."""
    worker = Played()
    worker.waiting = False
    worker.live(10 * AFTER)
    worker.waiting, worker.assigned = True, 0
    worker.live(10 * AFTER)
    worker.assigned = 1
    worker.live(AFTER - 1)
    assert (worker.alarms, worker.ends) == ([], 0)


def test_a_polling_thread_that_hangs() -> None:
    """It cannot say whether there is work, and nobody else knows: that counts as stuck, and says so."""
    worker = Played()
    worker.waiting = worker.polls = False
    worker.live(AFTER)
    assert "the polling thread hangs" in str(worker.watchdog.reason)
    worker.polls = True
    worker.live(1)
    assert (worker.alarms, worker.ends) == ([True, False], 0)


def test_a_slow_turn_is_no_hang() -> None:
    """A turn may take longer than the time between two looks."""
    worker = Played()
    worker.waiting = False
    for _ in range(100):
        worker.polls = False
        worker.live(2)
        worker.polls = True
        worker.live(1)
    assert worker.alarms == []


def test_losing_all_partitions_takes_it_back() -> None:
    """Somebody else does that work now."""
    worker = Played()
    worker.live(AFTER)
    worker.assigned = 0
    worker.live(1)
    assert worker.alarms == [True, False]


def test_an_outage_of_half_a_minute() -> None:
    """At the default the worker is left alone, its commit and the time for getting going again included."""
    worker = Played(Guarantee().stuck_after)
    worker.live(30 + 25)
    assert (worker.alarms, worker.ends) == ([], 0)


@pytest.mark.parametrize("frozen", [4.0, 3600.0])
def test_frozen_time_does_not_count(frozen: float) -> None:
    """After a SIGSTOP, or a suspended machine, it has its full time anew."""
    worker = Played()
    worker.live(AFTER - 1)
    worker.clock.now += frozen
    worker.watchdog.look()
    worker.live(AFTER - 1)
    assert (worker.alarms, worker.ends) == ([], 0)
    worker.live(1)
    assert worker.alarms == [True]


def test_frozen_while_stuck() -> None:
    """It stays what it was, since nothing was committed, and is not ended for the time it did not have."""
    worker = Played()
    worker.live(AFTER)
    worker.clock.now += 3600
    worker.watchdog.look()
    worker.live(AFTER - 1)
    assert (worker.alarms, worker.ends, worker.is_stuck) == ([True], 0, True)


def test_a_log_that_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be what the worker hangs on, so it must not keep the watchdog from ending it."""
    forever = threading.Event()

    class Blocked:
        def error(self, *_: object, **__: object) -> None:
            forever.wait()

    monkeypatch.setattr(watchdog, "log", Blocked())
    monkeypatch.setattr(watchdog, "_LOG_SECONDS", 0.01)
    worker = Played()
    worker.live(2 * AFTER)
    forever.set()
    assert (worker.alarms, worker.ends) == ([True], 1)


def test_it_can_be_switched_off() -> None:
    """With 0 it is never stuck and never ended; who watches from outside still hears whether it polls."""
    worker = Played(0)
    worker.live(3600)
    assert (worker.alarms, worker.ends, worker.pings) == ([], 0, 3600)
    worker.polls = False
    worker.live(3600)
    assert (worker.alarms, worker.ends, worker.pings) == ([], 0, 3600)


def test_it_looks_from_a_thread_of_its_own() -> None:
    """For the time of the block."""
    with Played().watchdog.running():
        assert "watchdog" in {thread.name for thread in threading.enumerate()}


def test_who_hears_that_it_is_alive() -> None:
    """It is told at every turn of the polling thread; not while that hangs, nor while the worker is stuck."""
    worker = Played()
    worker.live(AFTER - 1)
    assert worker.pings == AFTER - 1
    worker.live(10)  # stuck now, although it polls
    assert worker.pings == AFTER - 1
    worker.commits += 1
    worker.live(1)
    assert worker.pings == AFTER
    worker.polls = False
    worker.live(10)
    assert worker.pings == AFTER


def test_the_stacks_name_functions_and_no_values() -> None:
    """Every thread is there with the function it is in; what it works on is not."""
    reached, released = threading.Event(), threading.Event()

    def hang(document: str) -> None:
        del document
        reached.set()
        released.wait()

    thread = threading.Thread(target=hang, args=("private text",), name="processing")
    thread.start()
    reached.wait()
    text = stacks()
    released.set()
    thread.join()
    own = text.partition("Thread processing:")[2].partition("Thread ")[0]
    assert "test_watchdog.py" in own
    assert "hang" in own
    assert own.index("hang") < own.index("wait"), "the innermost comes last"
    assert "private" not in text
