"""The resident memory of workers, looked at while they work."""

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

import psutil

from integration_tests.faults.fleet import Fleet
from worker.clock import Clock

MIB = 2**20
_LOOK_SECONDS = 0.5
_SETTLED_SECONDS = 240.0


class Look(NamedTuple):
    """One look at one process: seconds since the first one at it, and bytes."""

    age: float
    memory: int


class Memory:
    """Looks at every worker of a fleet, from one thread. A worker that is started anew is another life."""

    def __init__(self, fleet: Fleet, clock: Clock) -> None:
        self._fleet = fleet
        self._clock = clock
        self._lives: dict[int, list[Look]] = defaultdict(list)  # by process
        self._began: dict[int, float] = {}
        self._stopping = threading.Event()

    @contextmanager
    def watched(self) -> Iterator["Memory"]:
        """Look for the time of the block."""
        thread = threading.Thread(target=self._run, name="memory", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            thread.join()

    @property
    def peak(self) -> int:
        """The most that any process held."""
        return max((look.memory for life in self._lives.values() for look in life), default=0)

    @property
    def longest_life(self) -> float:
        """Seconds that the one that lived longest was seen for."""
        return max((life[-1].age for life in self._lives.values()), default=0.0)

    def growth(self) -> float:
        """Bytes a second; see `growth`."""
        return growth(self._lives.values())

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            for worker in list(self._fleet.workers.values()):
                pid = worker.process.pid
                with suppress(psutil.Error):
                    memory = psutil.Process(pid).memory_info().rss
                    now = self._clock.monotonic()
                    self._lives[pid].append(Look(now - self._began.setdefault(pid, now), memory))


def growth(lives: Iterable[Sequence[Look]]) -> float:
    """Bytes a second that memory grew by: the slope that fits all lives best, each with a level of its own.

    The first minutes of a life, in which pools fill, are left out.
    """
    together, spread = 0.0, 0.0
    for life in lives:
        looks = [look for look in life if look.age >= _SETTLED_SECONDS]
        if not looks:
            continue
        age = sum(look.age for look in looks) / len(looks)
        memory = sum(look.memory for look in looks) / len(looks)
        together += sum((look.age - age) * (look.memory - memory) for look in looks)
        spread += sum((look.age - age) ** 2 for look in looks)
    return together / spread if spread else 0.0
