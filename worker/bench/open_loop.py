"""Calls at times fixed beforehand, whatever the server does: an open loop, in a process of its own.

A closed loop waits for an answer before it calls again, so a server that stalls is asked less while it stalls, and the
stall hardly shows ("coordinated omission", Gil Tene). Here each call has its time from the start, and its latency
counts from that time: what the generator itself, or a full connection, held up counts too. For throughput alone there
is a closed loop as well.

Run as `python -m worker.bench.open_loop JOB.json MESSAGES RESULT.npz`; `worker.bench.load` does.
"""

import gc
import random
import select
import struct
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from worker.bench.http2 import Connection, Ended, Http2Error, request
from worker.clock import Clock, SystemClock

NOT_ANSWERED: Final = -1
_DEADLINE_EXCEEDED: Final = 4
_UNAVAILABLE: Final = 14
_CANNOT_RUN: Final = 3
_SOON: Final = 0.05


@dataclass(frozen=True, slots=True)
class Job:
    """What to call, how often, for how long.

    Attributes:
        targets: "host:port" of each server; calls go round all connections in turn.
        path: the method, such as "/clf.v1.Classifier/Classify".
        rate: calls a second on average; their times are those of a Poisson process, as many independent callers make.
        seconds: for how long.
        timeout_ms: the deadline of each call.
        connections: per target.
        seed: of the times.
        warmup_seconds: calls of the same kind before, which are not recorded.
        in_flight: instead of a rate, that many calls are kept under way (a closed loop): for throughput, not latency.
    """

    targets: tuple[str, ...]
    path: str
    rate: float
    seconds: float
    timeout_ms: int = 100
    connections: int = 2
    seed: int = 0
    warmup_seconds: float = 1.0
    in_flight: int = 0


class Generator:
    """The connections, and the calls under way."""

    def __init__(self, job: Job, messages: Sequence[bytes], clock: Clock) -> None:
        """Connect to every target.

        Raises:
            OSError: one of them does not listen.
        """
        self.job = job
        self._clock = clock
        self._requests = [request(job.path, message, job.timeout_ms, job.targets[0]) for message in messages]
        self._connections: list[Connection] = []
        for _ in range(job.connections):
            for target in job.targets:
                host, _, port = target.rpartition(":")
                self._connections.append(Connection(host, int(port)))
        self._flying: dict[tuple[int, int], int] = {}
        self._start = 0.0

    def begin(self, number: int) -> bool:
        """Send call `number`; False when its connection is gone."""
        index = number % len(self._connections)
        try:
            stream = self._connections[index].send(self._requests[number % len(self._requests)])
        except Http2Error:
            return False
        self._flying[index, stream] = number
        self._sent(number, index, stream)
        return True

    def now(self) -> float:
        """Seconds since the start."""
        return self._clock.monotonic() - self._start

    def start(self) -> None:
        """The time is 0 a moment from now."""
        self._start = self._clock.monotonic() + _SOON

    def await_events(self, seconds: float) -> None:
        """Until something arrives, or that long."""
        connections = self._connections
        writers = [connection for connection in connections if connection.wants_to_write]
        readable, writable, _ = select.select(connections, writers, (), max(0.0, seconds))
        for connection in writable:
            connection.flush()
        for connection in readable:
            index = connections.index(connection)
            for ended in connection.receive():
                number = self._flying.pop((index, ended.stream), None)
                if number is not None:
                    self._ended(number, ended)

    def close(self) -> None:
        """Hang up."""
        for connection in self._connections:
            connection.close()

    def _sent(self, number: int, index: int, stream: int) -> None:
        """A call is on its way."""

    def _ended(self, number: int, ended: Ended) -> None:
        """A call is over."""
        raise NotImplementedError


class OpenLoop(Generator):
    """Calls at the times of a Poisson process."""

    def __init__(self, job: Job, messages: Sequence[bytes], clock: Clock) -> None:
        """Fix the times, and connect. Raises what `Generator` raises."""
        super().__init__(job, messages, clock)
        self._timeout = job.timeout_ms / 1000
        self._due = list(poisson(job.rate, job.warmup_seconds + job.seconds, random.Random(job.seed)))  # noqa: S311 - no secret
        self._times = np.full((2, len(self._due)), np.nan)
        self._status = np.full(len(self._due), NOT_ANSWERED, dtype=np.int16)
        self._deadlines: deque[tuple[float, int, int, int]] = deque()

    def run(self) -> None:
        """Make all calls and wait for the last answers, no longer than their deadlines."""
        due, number = self._due, 0
        self.start()
        while number < len(due) or self._flying:
            now = self.now()
            while number < len(due) and due[number] <= now:
                if not self.begin(number):
                    self._end(number, now, _UNAVAILABLE)
                number += 1
            self._expire(now)
            self.await_events(min(due[number] - self.now(), self._timeout) if number < len(due) else _SOON)
        self.close()

    def record(self) -> dict[str, NDArray[Any]]:
        """The calls after the warm-up: when each was due, sent and over, in seconds, and its status as a number."""
        due = np.array(self._due)
        kept = due >= self.job.warmup_seconds
        sent, done = self._times[:, kept]
        return {"due": due[kept], "sent": sent, "done": done, "status": self._status[kept]}

    def _sent(self, number: int, index: int, stream: int) -> None:
        self._times[0, number] = self.now()
        self._deadlines.append((self._due[number] + self._timeout, index, stream, number))

    def _ended(self, number: int, ended: Ended) -> None:
        self._end(number, self.now(), ended.status)

    def _expire(self, now: float) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            _, index, stream, number = self._deadlines.popleft()
            if self._flying.pop((index, stream), None) is not None:
                self._connections[index].cancel(stream)
                self._end(number, now, _DEADLINE_EXCEEDED)

    def _end(self, number: int, now: float, status: int) -> None:
        self._times[1, number] = now
        self._status[number] = status


class ClosedLoop(Generator):
    """Keeps a number of calls under way."""

    def __init__(self, job: Job, messages: Sequence[bytes], clock: Clock) -> None:
        """Connect. Raises what `Generator` raises."""
        super().__init__(job, messages, clock)
        self._next = 0
        self._results: list[tuple[float, int]] = []

    def run(self) -> None:
        """Call until the time is over."""
        self.start()
        for _ in range(self.job.in_flight):
            self._begin_next()
        while self.now() < self.job.warmup_seconds + self.job.seconds:
            self.await_events(_SOON)
        self.close()

    def record(self) -> dict[str, NDArray[Any]]:
        """The answers after the warm-up: when each came, in seconds, and its status."""
        done = np.array([at for at, _ in self._results])
        status = np.array([status for _, status in self._results], dtype=np.int16)
        kept = done >= self.job.warmup_seconds
        return {"done": done[kept], "status": status[kept]}

    def _begin_next(self) -> None:
        if not self.begin(self._next):
            raise Http2Error("the server closed a connection")
        self._next += 1

    def _ended(self, number: int, ended: Ended) -> None:
        del number
        self._results.append((self.now(), ended.status))
        self._begin_next()


def poisson(rate: float, seconds: float, source: random.Random) -> Iterator[float]:
    """Times within `seconds`, `rate` a second on average, each independent of the others."""
    at = source.expovariate(rate)
    while at < seconds:
        yield at
        at += source.expovariate(rate)


def write_messages(messages: Sequence[bytes], path: Path) -> None:
    """Messages for a job, each with its length before it."""
    path.write_bytes(b"".join(struct.pack(">I", len(message)) + message for message in messages))


def read_messages(path: Path) -> list[bytes]:
    """What `write_messages` wrote."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def write_job(job: Job, path: Path) -> None:
    """A job as JSON."""
    path.write_bytes(orjson.dumps(asdict(job)))


def read_job(path: Path) -> Job:
    """What `write_job` wrote."""
    fields = orjson.loads(path.read_bytes())
    return Job(**{**fields, "targets": tuple(fields["targets"])})


def main(job_file: str, messages_file: str, result_file: str) -> None:
    """Run the job and leave its record."""
    job = read_job(Path(job_file))
    kind = ClosedLoop if job.in_flight else OpenLoop
    loop = kind(job, read_messages(Path(messages_file)), SystemClock())
    gc.collect()
    gc.freeze()
    gc.disable()  # a search for garbage would be a pause of the generator, not of the server
    loop.run()
    np.savez(result_file, allow_pickle=False, **loop.record())


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, Http2Error) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(_CANNOT_RUN)
