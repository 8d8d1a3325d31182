"""Load on gRPC servers from processes of their own, and the servers under it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import orjson
import psutil

from schemas.classification import Classification
from worker.bench.latency import Latencies
from worker.bench.open_loop import Job, write_job, write_messages
from worker.bench.trained import BenchError
from worker.clock import Clock

METHOD = "/clf.v1.Classifier/Classify"
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.02


class Load:
    """Runs jobs on messages that are the same for all of them."""

    def __init__(self, directory: Path, messages: Sequence[bytes]) -> None:
        """Files go below `directory`."""
        self.messages = messages
        self.directory = directory
        self._messages = directory / "messages"
        write_messages(messages, self._messages)
        self._runs = 0

    def latencies(self, job: Job) -> Latencies:
        """Run an open loop.

        Raises:
            BenchError: the generator could not run.
        """
        with np.load(self._run("worker.bench.open_loop", job)) as record:
            due, sent, done = record["due"], record["sent"], record["done"]
            return Latencies(done - due, record["status"], sent - due)

    def throughput(self, job: Job) -> float:
        """Run a closed loop; answers a second.

        Raises:
            BenchError: the generator could not run, or a call was not answered.
        """
        with np.load(self._run("worker.bench.open_loop", job)) as record:
            bad = int((record["status"] != 0).sum())
            if bad:
                raise BenchError(f"{bad} of {len(record['status'])} calls of a closed loop were not answered.")
            return len(record["status"]) / job.seconds

    @contextmanager
    def hedged(self, job: Job) -> Iterator["HedgedRun"]:
        """Run the hedging client on an open loop, beside what the `with` block does."""
        self._runs += 1
        files = self._files()
        write_job(job, files[0])
        process = _generator("worker.bench.hedged_load", files)
        try:
            yield HedgedRun(process, files[2], files[3])
        finally:
            _end(process)

    def _files(self) -> tuple[Path, Path, Path, Path]:
        base = self.directory / f"run-{self._runs}"
        return base.with_suffix(".json"), self._messages, base.with_suffix(".npz"), base.with_suffix(".metrics.json")

    def _run(self, module: str, job: Job) -> Path:
        self._runs += 1
        files = self._files()
        write_job(job, files[0])
        process = _generator(module, files[:3])
        _, errors = process.communicate(timeout=job.warmup_seconds + job.seconds + _START_SECONDS)
        if process.returncode:
            raise BenchError(f"The load generator failed: {errors.decode().strip()}")
        return files[2]


class HedgedRun:
    """The hedging client at work."""

    def __init__(self, process: "subprocess.Popen[bytes]", result: Path, metrics: Path) -> None:
        self._process = process
        self._result = result
        self._metrics = metrics

    @property
    def running(self) -> bool:
        """Whether calls are still being made."""
        return self._process.poll() is None

    def finish(self, since: float = 0.0) -> tuple[Latencies, Mapping[str, float]]:
        """Wait for the end; the latencies of the calls due `since` that time (epoch), and the client's own metrics.

        Raises:
            BenchError: it failed.
        """
        _, errors = self._process.communicate()
        if self._process.returncode:
            raise BenchError(f"The hedging client failed: {errors.decode().strip()}")
        with np.load(self._result) as record:
            kept = record["due"] + record["began"] >= since
            due, sent, done, status = (record[name][kept] for name in ("due", "sent", "done", "status"))
            return Latencies(done - due, status, sent - due), orjson.loads(self._metrics.read_bytes())


class Served:
    """A server process under load."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, health: str | None = None) -> None:
        self.process = process
        self.port = port
        self.health = health

    @property
    def target(self) -> str:
        """Where to call."""
        return f"127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """What the process has used so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def metric(self, line_start: str) -> float:
        """The sum of all samples whose line starts so."""
        with urlopen(f"http://{self.health}/metrics", timeout=5) as answer:
            lines = answer.read().decode().split("\n")
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(line_start))

    def freeze(self) -> None:
        """SIGSTOP: it answers nothing, and its connections stay open."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        _end(self.process)


@contextmanager
def serving(models: Path, directory: Path, clock: Clock, *options: str) -> Iterator[Served]:
    """A `clf serve` on a free port, or on the one in `options`, ready when the block begins.

    Raises:
        BenchError: it did not become ready.
    """
    served = start_server(models, directory, clock, *options)
    try:
        yield served
    finally:
        served.stop()


def start_server(models: Path, directory: Path, clock: Clock, *options: str) -> Served:
    """The same, to be stopped by the caller. Raises what `serving` raises."""
    directory.mkdir(parents=True, exist_ok=True)
    service = directory / "service.json"
    service.unlink(missing_ok=True)
    own = ["--models", str(models.absolute()), "--http-port", "0", "--service-file", str(service)]
    ports = [] if "--grpc-port" in options else ["--grpc-port", "0"]
    command = [sys.executable, "-m", "worker", "serve", *own, *ports, *options]
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL)
    end = clock.monotonic() + _START_SECONDS
    while not service.exists():
        if process.poll() is not None or clock.monotonic() > end:
            _end(process)
            last = (directory / "log").read_text(errors="replace").strip().split("\n")[-1]
            raise BenchError(f"A server did not become ready: {last}")
        clock.sleep(_POLL_SECONDS)
    services = orjson.loads(service.read_bytes())["services"]
    return Served(process, int(services["clf-grpc"].rpartition(":")[2]), services["clf-health"])


@contextmanager
def bare_servicer(reply: Classification, directory: Path) -> Iterator[Served]:
    """The reference: a plain grpcio servicer that returns `reply` whatever it is asked."""
    file = directory / "reply"
    file.write_bytes(reply.to_protobuf())
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.bench.bare_servicer", str(file)],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        yield Served(process, int(process.stdout.readline()))
    finally:
        _end(process)


def job_for(served: Sequence[Served], rate: float, seconds: float) -> Job:
    """A job of the method that all servers here have."""
    return Job(tuple(server.target for server in served), METHOD, rate, seconds)


def closed(job: Job, in_flight: int) -> Job:
    """The same servers in a closed loop, whose calls wait as long as they must."""
    return replace(job, in_flight=in_flight, timeout_ms=10_000)


def _generator(module: str, files: Sequence[Path]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", module, *map(str, files)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env={**os.environ})


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)  # a frozen one would not even hear that it is to end
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
