"""`clf bench stream`: the worker beside plain loops on one broker, end to end, in one run."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from schemas.document import Document
from worker.bench.backlog import Backlog
from worker.bench.contender import Contender, Measurement, loop_command, worker_command
from worker.clock import Clock
from worker.kafka.admin import Cluster
from worker.kafka.settings import Settings

_RUN_TIMEOUT = 900.0

Say = Callable[[str], None]
# From servers, topic, results topic and group to the command line of a contender.
Command = Callable[[str, str, str, str], list[str]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, and how much of it."""

    documents: int
    quick_documents: int
    partitions: int
    repeat: int


@dataclass(frozen=True, slots=True)
class Row:
    """The runs of one contender."""

    name: str
    runs: list[Measurement]

    @property
    def rate(self) -> float:
        """The median documents per second."""
        return statistics.median(run.rate for run in self.runs)

    @property
    def cpu_microseconds(self) -> float:
        """The median CPU time per document, the contender's process only."""
        return statistics.median(run.cpu_seconds / run.documents for run in self.runs) * 1e6

    @property
    def peak_bytes(self) -> int:
        """The largest resident memory of any run."""
        return max(run.peak_bytes for run in self.runs)

    @property
    def stage_shares(self) -> dict[str, float]:
        """The median time of each stage as a share of the run; stages overlap, so they may add up to more than 1."""
        stages = self.runs[0].stages
        return {
            stage: statistics.median(run.stages.get(stage, 0.0) / run.seconds for run in self.runs) for stage in stages
        }

    def as_json(self) -> dict[str, object]:
        """Medians and the single runs."""
        return {
            "name": self.name,
            "documents_per_second": round(self.rate, 1),
            "cpu_microseconds_per_document": round(self.cpu_microseconds, 2),
            "peak_bytes": self.peak_bytes,
            "stage_shares": {stage: round(share, 3) for stage, share in self.stage_shares.items()},
            "runs": [_as_json(run) for run in self.runs],
        }


class StreamBench:
    """Measures every contender `repeat` times, in turn, so that a drift of the machine meets them all."""

    def __init__(self, settings: Settings, plan: Plan, directory: Path, clock: Clock, say: Say) -> None:
        """`settings` are those common to all clients; logs and models go below `directory`."""
        self._servers = str(settings["bootstrap.servers"])
        self._settings = settings
        self._plan = plan
        self._directory = directory
        self._clock = clock
        self._say = say
        self._cluster = Cluster(settings, timeout_seconds=30)
        self._run = f"bench-{uuid4().hex[:8]}"

    def run(self, documents: Sequence[Document], models: Path, pipeline: Path) -> list[Row]:
        """Measure all contenders on `documents`, repeated with distinct urls as often as the plan needs."""
        plan = self._plan
        # The quick ones would be done with the number of the slow ones in half a second, before they are in full swing.
        with (
            self._backlog("input", documents, plan.documents) as few,
            self._backlog("long-input", documents, plan.quick_documents) as many,
        ):
            contenders: dict[str, tuple[str, int, Command]] = {
                "plain loop, one by one": (
                    few,
                    plan.documents,
                    lambda *run: loop_command("one-by-one", *run, str(pipeline)),
                ),
                "plain loop, batches of 500": (
                    few,
                    plan.documents,
                    lambda *run: loop_command("batched", *run, str(pipeline)),
                ),
                "clf worker, exactly once": (
                    many,
                    plan.quick_documents,
                    lambda *run: _worker(*run, "--models", str(models.absolute())),
                ),
                "bare loop, transactions of 2,000": (
                    many,
                    plan.quick_documents,
                    lambda *run: loop_command("bare", *run),
                ),
                "clf worker --no-scoring": (many, plan.quick_documents, lambda *run: _worker(*run, "--no-scoring")),
            }
            return self._rounds(contenders)

    def _rounds(self, contenders: Mapping[str, tuple[str, int, Command]]) -> list[Row]:
        rows = [Row(name, []) for name in contenders]
        for number in range(self._plan.repeat):
            for row, (name, task) in zip(rows, contenders.items(), strict=True):
                measurement = self._measure(f"{name.replace(' ', '-').replace(',', '')}-{number}", *task)
                row.runs.append(measurement)
                self._say(f"round {number + 1} of {self._plan.repeat}: {name}: {measurement.rate:,.0f} documents/s")
        return rows

    def _measure(self, name: str, topic: str, documents: int, command: Command) -> Measurement:
        group = f"{self._run}-{name}"
        results, dead = f"{group}-results", f"{group}-dead"
        self._create(results)
        self._create(dead)
        contender = Contender(
            command(self._servers, topic, results, group), self._directory / name, self._cluster, self._clock
        )
        try:
            return contender.measure(group, topic, documents, _RUN_TIMEOUT, marks=[20_000, documents])
        finally:
            contender.stop()
            self._cluster.delete([results, dead])

    def _create(self, name: str) -> None:
        self._cluster.create(name, self._plan.partitions, 1, {"max.message.bytes": "2000000"})

    def _backlog(self, name: str, documents: Sequence[Document], count: int) -> AbstractContextManager[str]:
        backlog = Backlog(f"{self._run}-{name}", self._plan.partitions, count)
        return backlog.sent(documents, self._settings, self._cluster, self._clock, self._say)


def _as_json(run: Measurement) -> dict[str, object]:
    return {**asdict(run), "resident_bytes": {str(mark): size for mark, size in run.resident_bytes.items()}}


def _worker(servers: str, topic: str, results: str, group: str, *options: str) -> list[str]:
    names = ["--documents", topic, "--classifications", results, "--dead-letters", f"{group}-dead"]
    return worker_command("--bootstrap-servers", servers, "--group", group, *names, *options)
