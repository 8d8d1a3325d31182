"""One process under measurement: started, watched until its group has committed everything, and stopped."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.request import urlopen

import orjson
import psutil
from prometheus_client.parser import text_string_to_metric_families

from worker.clock import Clock
from worker.kafka.admin import Cluster

_POLL_SECONDS = 0.02
_STOP_SECONDS = 40


class ContenderError(Exception):
    """The process ended early or was not done in time."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run of one contender gave."""

    documents: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    stages: dict[str, float] = field(default_factory=dict)
    resident_bytes: dict[int, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Documents per second, from the assignment until the last commit."""
        return self.documents / self.seconds


class Contender:
    """A command, run in a directory of its own, that consumes `topic` as `group`."""

    def __init__(self, command: Sequence[str], directory: Path, cluster: Cluster, clock: Clock) -> None:
        """Start the process. What it prints goes to files in `directory`."""
        directory.mkdir(parents=True)
        self._directory = directory
        self._cluster = cluster
        self._clock = clock
        with (directory / "stdout").open("wb") as out, (directory / "stderr").open("wb") as err:
            self._process = subprocess.Popen(command, cwd=directory, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        self._watch = psutil.Process(self._process.pid)

    def measure(self, group: str, topic: str, documents: int, timeout: float, marks: Sequence[int] = ()) -> Measurement:
        """Wait until `group` has committed `documents` records; note the resident memory at each of `marks`.

        Raises:
            ContenderError: it ended before, or `timeout` seconds passed.
        """
        end = self._clock.monotonic() + timeout
        started = self._await_assignment(end)
        cpu_before = self._cpu_seconds()
        resident: dict[int, int] = {}
        while (done := self._cluster.committed(group, topic)) < documents:
            self._check(end)
            for mark in marks:
                if done >= mark and mark not in resident:
                    resident[mark] = self._watch.memory_info().rss
            self._clock.sleep(_POLL_SECONDS)
        seconds = self._clock.time() - started
        resident |= {mark: self._watch.memory_info().rss for mark in marks if mark not in resident}
        return Measurement(
            documents, seconds, self._cpu_seconds() - cpu_before, self._peak_bytes(), self._stages(), resident
        )

    def stop(self) -> None:
        """End the process, which this object started."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _await_assignment(self, end: float) -> float:
        while (assigned := self._assigned_at()) is None:
            self._check(end)
            self._clock.sleep(_POLL_SECONDS)
        return assigned

    def _assigned_at(self) -> float | None:
        """When its partitions were assigned: the loops print that, the worker logs it."""
        for name in ("stdout", "stderr"):
            for line in (self._directory / name).read_bytes().split(b"\n"):
                if b'"assigned"' in line and (found := _assignment_time(line)) is not None:
                    return found
        return None

    def _check(self, end: float) -> None:
        if self._process.poll() is not None:
            last = (self._directory / "stderr").read_text(errors="replace").strip().split("\n")[-1]
            raise ContenderError(f"{self._directory.name} ended with code {self._process.returncode}: {last}")
        if self._clock.monotonic() > end:
            raise ContenderError(f"{self._directory.name} was not done in time. Its output is in {self._directory}.")

    def _cpu_seconds(self) -> float:
        times = self._watch.cpu_times()
        return float(times.user + times.system)

    def _peak_bytes(self) -> int:
        for line in Path(f"/proc/{self._process.pid}/status").read_text().split("\n"):
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0

    def _stages(self) -> dict[str, float]:
        """Seconds per stage from its /metrics; empty when it has none."""
        service = self._directory / "service.json"
        if not service.exists():
            return {}
        address = orjson.loads(service.read_bytes())["services"]["clf-health"]
        with urlopen(f"http://{address}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return {
            sample.labels["stage"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "clf_stage_duration_seconds_sum"
        }


def worker_command(*options: str) -> list[str]:
    """The command line of a worker on a free port, logging JSON."""
    clf = [sys.executable, "-m", "worker"]
    return [*clf, "worker", "--http-port", "0", "--log-format", "json", *options]


def loop_command(kind: str, *arguments: str) -> list[str]:
    """The command line of one of the plain loops."""
    return [sys.executable, "-m", "worker.bench.plain_loops", kind, *arguments]


def _assignment_time(line: bytes) -> float | None:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None  # the line is still being written
    if isinstance(fields.get("assigned"), float):
        return float(fields["assigned"])
    if fields.get("event") == "rebalanced" and fields.get("change") == "assigned":
        return datetime.fromisoformat(fields["timestamp"]).timestamp()
    return None
