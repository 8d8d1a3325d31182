"""Workers as processes, each in a slot of its own and started again when it ends, as a supervisor does."""

import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

from integration_tests.system import CLF, System, WorkerProcess, wait_until
from worker.clock import Clock

_RESTART_SECONDS = 0.5
_LOOK_SECONDS = 0.02


class Exit(NamedTuple):
    """A worker that ended; `code` is negative for a signal."""

    time: float
    slot: int
    code: int


class Footprint(NamedTuple):
    """What a process holds."""

    memory: int
    threads: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Point:
    """Where a worker is to die next; see `points`."""

    name: str
    nth: int


class Fleet:
    """Keeps the slots that were started occupied, until they are told to stop."""

    def __init__(
        self, system: System, options: Sequence[str], clock: Clock, directory: Path, program: Sequence[str] = CLF
    ) -> None:
        """`program` stands in for `clf`."""
        self._system = system
        self._program = program
        self.options = tuple(options)
        self._clock = clock
        self._directory = directory
        self.workers: dict[int, WorkerProcess] = {}
        self.exits: list[Exit] = []
        self.points: dict[int, list[Point]] = {}
        self._wanted: set[int] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="fleet", daemon=True)
        self._thread.start()

    def start(self, slot: int) -> WorkerProcess:
        """Occupy a slot, now and whenever its worker ends."""
        with self._lock:
            self._wanted.add(slot)
            self.workers[slot] = self._launch(slot)
            return self.workers[slot]

    def await_ready(self, *slots: int) -> None:
        """Wait until these workers have partitions."""
        for slot in slots:
            wait_until(partial(self._is_ready, slot), f"worker {slot} has partitions", 120)

    def _is_ready(self, slot: int) -> bool:
        with suppress(OSError, KeyError, ValueError):
            return self.workers[slot].get("/ready")[0] == 200
        return False

    def terminate(self, slot: int) -> int:
        """Stop one as an operator does, for good; returns its exit code."""
        with self._lock:
            self._wanted.discard(slot)
            worker = self.workers.pop(slot)
        code = worker.terminate()
        self.exits.append(Exit(self._clock.monotonic(), slot, code))
        return code

    def signal(self, slot: int, number: signal.Signals) -> None:
        """Send a signal to a worker."""
        self.workers[slot].process.send_signal(number)

    def partitions_of(self, slot: int) -> list[int]:
        """The partitions that a worker has, by its own word, once its statistics know them all."""
        found: list[int] = []

        def known() -> bool:
            worker = self.workers[slot]
            count = worker.metric("clf_assigned_partitions{")
            lines = worker.get("/metrics")[1].split("\n")
            lags = [line for line in lines if line.startswith("clf_consumer_lag_records{")]
            found[:] = sorted(int(line.partition('partition="')[2].partition('"')[0]) for line in lags)
            return len(found) == count > 0

        wait_until(known, f"worker {slot} knows its partitions")
        return found

    def footprints(self) -> dict[int, Footprint]:
        """What each worker holds now."""
        found = {}
        for slot, worker in self.workers.items():
            process = psutil.Process(worker.process.pid)
            found[slot] = Footprint(process.memory_info().rss, process.num_threads(), process.num_fds())
        return found

    def stop(self) -> list[int]:
        """Stop all, one after the other; returns their exit codes."""
        codes = [self.terminate(slot) for slot in list(self.workers)]
        self._end()
        return codes

    def kill(self) -> None:
        """End everything at once, for the case that a test failed."""
        self._end()
        for worker in self.workers.values():
            worker.process.send_signal(signal.SIGCONT)
            worker.kill()

    def _end(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            with self._lock:
                ended = [(s, w) for s, w in self.workers.items() if s in self._wanted and w.process.poll() is not None]
            for slot, worker in ended:
                code = worker.process.returncode
                self.exits.append(Exit(self._clock.monotonic(), slot, code))
                self._clock.sleep(_RESTART_SECONDS)
                with self._lock:
                    if slot in self._wanted and not self._stopping.is_set():
                        self.workers[slot] = self._launch(slot)

    def _launch(self, slot: int) -> WorkerProcess:
        points = self.points.get(slot, [])
        command = [*self._program]
        if points:
            point = points.pop(0)
            command = [sys.executable, "-m", "integration_tests.faults.points", point.name, str(point.nth)]
        command += ["worker", *self._system.options(), "--slot", f"{slot}", *self.options]
        return WorkerProcess(command, self._directory / f"worker-{slot}")
