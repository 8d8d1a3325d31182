"""One system under one fault, from the first document to the audit."""

import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import orjson

from integration_tests.broker import Kafka
from integration_tests.faults.disk import Disk, mounted
from integration_tests.faults.fleet import Fleet, Footprint
from integration_tests.faults.generator import Generator, Plan
from integration_tests.faults.proxy import Proxy
from integration_tests.faults.timeline import Timeline
from integration_tests.system import CLF, System, wait_until
from schemas.document import Document
from worker.clock import Clock
from worker.kafka.local_broker import LocalBroker

WARM_SECONDS = 2.0
STEADY_SECONDS = 4.0
DRAIN_SECONDS = 120.0
_START_SECONDS = 120.0  # on a machine with much else to do
_THREADS_SLACK, _DESCRIPTORS_SLACK = 2, 8
_OPTIONS = ("--log-level", "info", "--group-protocol", "classic")


@dataclass(slots=True)
class Verdict:
    """What came of one fault.

    Attributes:
        rounds: how often it was injected.
        documents: sent in all.
        findings: of the audit, by kind; empty when all holds.
        broken: sentences about what else did not hold.
        longest_gap: seconds between two results of one partition, by what the partitions had to do with the fault.
        recovery: seconds from the end of the fault until each partition had settled a document sent after it.
        skipped: why it could not be tried here; empty when it was.
    """

    fault: str
    seed: int
    rounds: int = 0
    documents: int = 0
    findings: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    longest_gap: dict[str, float] = field(default_factory=dict)
    recovery: float | None = None
    facts: dict[str, float] = field(default_factory=dict)
    skipped: str = ""

    @property
    def holds(self) -> bool:
        """Whether everything does."""
        return not self.findings and not self.broken

    def must(self, holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Note a promise that does not hold."""
        if not holds:
            self.broken.append(otherwise)

    def gap(self, of: str, seconds: float, *, most: float | None = None) -> None:
        """Note a gap, and that it may be `most` seconds."""
        self.longest_gap[of] = max(seconds, self.longest_gap.get(of, 0.0))
        self.must(most is None or seconds <= most, f"a gap of {seconds:.1f} s on {of} partitions, {most} s allowed")

    def most(self, fact: str, value: float) -> None:
        """Note the largest of some values."""
        self.facts[fact] = max(value, self.facts.get(fact, value))


class Place(StrEnum):
    """Where a fault can happen; faults of one place share its brokers."""

    ONE_BROKER = "one broker, and a proxy before it"
    THREE_BROKERS = "three brokers"
    SMALL_DISK = "one broker on a small disk"


@dataclass(frozen=True, slots=True)
class Setting:
    """How a system is set up for a fault.

    `{disk}` in an option stands for a small disk of its own, and `{models}` for the directory of the models.
    """

    place: Place = Place.ONE_BROKER
    partitions: int = 6
    workers: int = 3
    rate: float = 1200.0
    odd: float = 0.0
    """The share of records that are odd, most of them no documents; see `odd`."""
    max_record_bytes: int = 1_048_588
    options: tuple[str, ...] = ()
    memory_slack: int = 64 * 2**20
    """What a worker may have grown by, where none was started anew."""
    disk_mib: int = 0
    own_models: bool = False
    """Whether this system has a model store of its own, on its small disk."""
    through_proxy: bool = False
    """Whether the workers, and nobody else, reach the broker through the proxy."""
    program: tuple[str, ...] = CLF
    """What the workers run."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all runs share."""

    brokers: Sequence[LocalBroker]
    kafka: Kafka
    proxy: Proxy | None
    disk: Disk | None
    models: Path
    documents: Sequence[Document]
    directory: Path
    clock: Clock

    @property
    def broker(self) -> LocalBroker:
        """The only one, or the first."""
        return self.brokers[0]


class Stage:
    """The parts of one run. Use `staged`."""

    def __init__(
        self,
        system: System,
        around: Surroundings,
        setting: Setting,
        seed: int,
        disk: Disk | None,
    ) -> None:
        clock = around.clock
        self.models = around.models
        self.system = system
        self.around = around
        self.setting = setting
        self._disk = disk
        if setting.own_models:
            self.models = Path(shutil.copytree(around.models, self.disk.path / "store"))
        self.clock = clock
        self.random = random.Random(seed)  # noqa: S311 - no secret
        servers = system.kafka.bootstrap_servers
        plan = Plan(setting.partitions, setting.rate, setting.odd, seed)
        self.generator = Generator(servers, system.documents, plan, around.documents, clock)
        topics = dict.fromkeys((system.classifications, system.dead_letters), setting.partitions)
        self.timeline = Timeline(servers, topics, system.dead_letters, clock)
        filled = [option.format(disk=disk and disk.path, models=self.models) for option in setting.options]
        options = (*_OPTIONS, "--models", str(self.models), *filled)
        if setting.through_proxy:
            options = (*options, "--bootstrap-servers", f"127.0.0.1:{self.proxy.port}")
        self.fleet = Fleet(system, options, clock, system.directory, setting.program)
        self.footprints: dict[int, Footprint] = {}
        self.steady_rate = 0.0

    @property
    def proxy(self) -> Proxy:
        """What the workers' network goes through."""
        assert self.around.proxy is not None, "this place has a proxy"
        return self.around.proxy

    @property
    def disk(self) -> Disk:
        """The small disk of this fault, or that of the broker."""
        disk = self._disk or self.around.disk
        assert disk is not None, "this fault has a small disk"
        return disk

    def warm_up(self) -> None:
        """The first two phases: all workers at work, then some seconds to compare with."""
        for slot in range(self.setting.workers):
            self.fleet.start(slot)
        self.fleet.await_ready(*range(self.setting.workers))
        self.timeline.start()
        self.generator.start()
        partitions = self.setting.partitions
        wait_until(lambda: len(self.timeline.arrivals) == partitions, "every partition is at work", _START_SECONDS)
        self.clock.sleep(WARM_SECONDS)
        began = self.clock.monotonic()
        self.clock.sleep(STEADY_SECONDS)
        self.steady_rate = self.timeline.settled(began, self.clock.monotonic()) / STEADY_SECONDS
        self.footprints = self.fleet.footprints()

    def longest_gap(self, since: float) -> float:
        """The longest time between two results of any partition, from then until now."""
        return self.timeline.longest_gap(range(self.setting.partitions), since, self.clock.monotonic())

    def progress(self, since: float) -> float:
        """Documents a second from then until now, as a share of what they were in the steady phase."""
        now = self.clock.monotonic()
        return self.timeline.settled(since, now) / (now - since) / self.steady_rate

    def await_recovery(self, verdict: Verdict, healed: float, *, within: float) -> None:
        """Wait until each partition has settled a document that was sent after `healed`."""

        def recovered() -> bool:
            found = self.timeline.arrived_by(self.generator.sent, healed)
            if found is not None:
                verdict.recovery = max(found - healed, verdict.recovery or 0.0)
            return found is not None

        try:
            wait_until(recovered, "every partition is at work again", within)
        except AssertionError:
            verdict.must(False, f"no recovery in {within:g} s")  # noqa: FBT003 - reads as a sentence

    def finish(self, verdict: Verdict, *, steady_fleet: bool) -> None:
        """The last phase: no more documents, everything settled, and then whatever must hold after any fault.

        `steady_fleet` says that no worker was started anew, so that their metrics and footprints can be compared.
        """
        verdict.documents = self.generator.stop()
        try:
            wait_until(lambda: self.system.settled() >= verdict.documents, "lag 0", DRAIN_SECONDS)
        except AssertionError:
            verdict.must(False, f"{verdict.documents - self.system.settled()} documents still wait")  # noqa: FBT003 - as above
        if steady_fleet:
            self._compare_with_before(verdict)
        codes = self.fleet.stop()
        verdict.must(set(codes) <= {0}, f"exit codes {codes} of workers that were asked to stop")
        with suppress(AssertionError):  # on a busy machine the reader may be behind; what it lacks is told below
            wait_until(lambda: self.timeline.total >= verdict.documents, "the reader has seen all", DRAIN_SECONDS)
        self.clock.sleep(0.5)
        self.timeline.stop()
        self._compare_readers(verdict)
        self._audit(verdict)

    def close(self) -> None:
        """End whatever runs, also when this run broke off."""
        self.fleet.kill()
        self.generator.close()
        self.timeline.close()

    def _compare_with_before(self, verdict: Verdict) -> None:
        for slot, now in self.fleet.footprints().items():
            before = self.footprints[slot]
            verdict.must(
                now.memory <= before.memory + self.setting.memory_slack
                and now.threads <= before.threads + _THREADS_SLACK
                and now.descriptors <= before.descriptors + _DESCRIPTORS_SLACK,
                f"worker {slot} held {before} before and {now} after",
            )
        told = sum(worker.metric("clf_records_total{") for worker in self.fleet.workers.values())
        verdict.must(told == verdict.documents, f"/metrics tell of {told:.0f} settled documents")

    def _compare_readers(self, verdict: Verdict) -> None:
        """The reader that was there and one that comes now see the same records in the same order."""
        now: dict[tuple[str, int], list[int]] = {}
        for topic in (self.system.classifications, self.system.dead_letters):
            for record in self.system.kafka.stream(topic, timeout_s=self._patience(verdict)):
                now.setdefault((topic, record.partition), []).append(record.offset)
        verdict.must(self.timeline.seen == now, "two readers saw different records")

    @staticmethod
    def _patience(verdict: Verdict) -> float:
        """Seconds for whatever reads everything, on a busy machine."""
        return 300.0 + verdict.documents / 2000

    def _audit(self, verdict: Verdict) -> None:
        options = ("--json", "--recompute", "1", "--models", str(self.models), "--patience", "15")
        command = [*CLF, "verify", *self.system.options(), *options]
        found = subprocess.run(command, capture_output=True, check=False, timeout=self._patience(verdict))
        assert found.returncode in {0, 1}, f"clf verify ended with {found.returncode}: {found.stderr.decode()}"
        report = orjson.loads(found.stdout)
        verdict.findings = {kind: count for kind, count in report["findings"].items() if count}
        verdict.broken += [f"{e['finding']}: {e['place']} {e['detail']}" for e in report["examples"]]
        audited = sum(partition["documents"] for partition in report["partitions"])
        verdict.must(audited == verdict.documents, f"{audited} documents audited, {verdict.documents} sent")


@contextmanager
def staged(around: Surroundings, setting: Setting, name: str, seed: int) -> Iterator[Stage]:
    """Topics of its own, and nothing left running or lying about afterwards."""
    kafka, directory = around.kafka, around.directory / name
    directory.mkdir()
    system = System(kafka, directory, f"documents.{name}", f"results.{name}", f"dead.{name}", f"group.{name}")
    with ExitStack() as stack:
        disk = stack.enter_context(mounted(directory / "disk", setting.disk_mib)) if setting.disk_mib else None
        stack.enter_context(system.with_topics(setting.partitions, setting.max_record_bytes))
        stage = Stage(system, around, setting, seed, disk)
        try:
            yield stage
        finally:
            stage.close()
