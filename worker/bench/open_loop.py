"""Calls at times fixed beforehand, whatever the server does: an open loop, in a process of its own.

A closed loop waits for an answer before it calls again, so a server that stalls is asked less while it stalls, and the
stall hardly shows ("coordinated omission", Gil Tene). Here each call has its time from the start, and its latency
counts from that time: what the generator itself, or a full connection, held up counts too.

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

from worker.bench.http2 import Connection, Http2Error, Request, request
from worker.clock import Clock, SystemClock

NOT_ANSWERED: Final = -1
_DEADLINE_EXCEEDED: Final = 4
_UNAVAILABLE: Final = 14
_CANNOT_RUN: Final = 3


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
        warmup_seconds: calls at the same rate before, which are not recorded.
    """

    targets: tuple[str, ...]
    path: str
    rate: float
    seconds: float
    timeout_ms: int = 100
    connections: int = 2
    seed: int = 0
    warmup_seconds: float = 1.0


class OpenLoop:
    """One run of one job."""

    def __init__(self, job: Job, messages: Sequence[bytes], clock: Clock) -> None:
        """Connect to every target.

        Raises:
            OSError: one of them does not listen.
        """
        self._clock = clock
        self._timeout = job.timeout_ms / 1000
        self._requests = [request(job.path, message, job.timeout_ms, job.targets[0]) for message in messages]
        self._connections: list[Connection] = []
        for _ in range(job.connections):
            for target in job.targets:
                host, _, port = target.rpartition(":")
                self._connections.append(Connection(host, int(port)))
        due = list(_poisson(job.rate, job.warmup_seconds + job.seconds, random.Random(job.seed)))  # noqa: S311 - no secret
        self._due = due
        self._first = sum(1 for at in due if at < job.warmup_seconds)
        self.due = np.array(due)
        self.sent = np.full(len(due), np.nan)
        self.done = np.full(len(due), np.nan)
        self.status = np.full(len(due), NOT_ANSWERED, dtype=np.int16)
        self._flying: dict[tuple[int, int], int] = {}
        self._deadlines: deque[tuple[float, int, int, int]] = deque()

    def run(self) -> None:
        """Make all calls and wait for the last answers, no longer than their deadlines."""
        clock, connections, due = self._clock, self._connections, self._due
        start = clock.monotonic() + 0.05
        number = 0
        while number < len(due) or self._flying:
            now = clock.monotonic() - start
            while number < len(due) and due[number] <= now:
                self._begin(number, now)
                number += 1
            self._expire(now)
            self._wait(connections, due[number] - (clock.monotonic() - start) if number < len(due) else 0.01, start)
        for connection in connections:
            connection.close()

    def recorded(self) -> dict[str, NDArray[Any]]:
        """The calls after the warm-up: times in seconds from the start of the run, status codes as numbers."""
        kept = slice(self._first, None)
        return {"due": self.due[kept], "sent": self.sent[kept], "done": self.done[kept], "status": self.status[kept]}

    def _begin(self, number: int, now: float) -> None:
        call: Request = self._requests[number % len(self._requests)]
        index = number % len(self._connections)
        try:
            stream = self._connections[index].send(call)
        except Http2Error:
            self._end(number, now, _UNAVAILABLE)
            return
        self.sent[number] = now
        self._flying[index, stream] = number
        self._deadlines.append((self._due[number] + self._timeout, index, stream, number))

    def _expire(self, now: float) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            _, index, stream, number = self._deadlines.popleft()
            if self._flying.pop((index, stream), None) is not None:
                self._connections[index].cancel(stream)
                self._end(number, now, _DEADLINE_EXCEEDED)

    def _wait(self, connections: Sequence[Connection], seconds: float, start: float) -> None:
        """Until something arrives or the next call is due."""
        if self._deadlines:
            seconds = min(seconds, self._timeout)
        writers = [connection for connection in connections if connection.wants_to_write]
        readable, writable, _ = select.select(connections, writers, (), max(0.0, seconds))
        for connection in writable:
            connection.flush()
        for connection in readable:
            index = connections.index(connection)
            for stream, status in connection.receive():
                found = self._flying.pop((index, stream), None)
                if found is not None:
                    self._end(found, self._clock.monotonic() - start, status)

    def _end(self, number: int, now: float, status: int) -> None:
        self.done[number] = now
        self.status[number] = status


def _poisson(rate: float, seconds: float, source: random.Random) -> Iterator[float]:
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


def main(job_file: str, messages_file: str, result_file: str) -> None:
    """Run the job and leave its record."""
    fields = orjson.loads(Path(job_file).read_bytes())
    job = Job(**{**fields, "targets": tuple(fields["targets"])})
    loop = OpenLoop(job, read_messages(Path(messages_file)), SystemClock())
    gc.collect()
    gc.freeze()
    gc.disable()  # a search for garbage would be a pause of the generator, not of the server
    loop.run()
    np.savez(result_file, allow_pickle=False, **loop.recorded())


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, Http2Error) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(_CANNOT_RUN)
