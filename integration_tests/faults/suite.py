"""Runs faults one after the other, each on topics of its own."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby
from pathlib import Path

from integration_tests.broker import Kafka
from integration_tests.faults.cluster import LocalCluster
from integration_tests.faults.disk import Disk, NoDiskError, mounted
from integration_tests.faults.fault import Fault
from integration_tests.faults.proxy import Proxy
from integration_tests.faults.stage import Place, Stage, Surroundings, Verdict, staged
from integration_tests.system import SAMPLE, free_port, sample_documents, train
from worker.clock import Clock, SystemClock
from worker.kafka.local_broker import LocalBroker, delete_data
from worker.kafka.local_launch import SecondListener

KEPT = Path(".clf") / "faults"
_BROKER_DISK_MIB = 512


def trained(directory: Path) -> Path:
    """A store with two models of each language of the sample corpus; what is there already is left as it is."""
    for path in SAMPLE if not directory.exists() else ():
        train(path, directory, "--c", "0.3")  # the version that `reload` changes to and fro
        train(path, directory)
    return directory


def verdicts_of(
    faults: Iterable[Fault], seed: int, models: Path, directory: Path, begins: Callable[[Fault], None]
) -> Iterator[Verdict]:
    """Run them all, after `begins` was told of each; neighbours at one kind of place share its brokers."""
    for place, group in groupby(faults, key=lambda fault: fault.setting.place):
        there = list(group)
        try:
            with surroundings(models, directory, SystemClock(), place) as around:
                for fault in there:
                    begins(fault)
                    yield Suite(around).run(fault, seed)
        except NoDiskError as error:
            yield from (Verdict(fault.name, seed, skipped=str(error)) for fault in there)


class Suite:
    """The faults share a broker and the models."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def run(self, fault: Fault, seed: int, rounds: int | None = None) -> Verdict:
        """All phases of one fault."""
        verdict = Verdict(fault.name, seed)
        try:
            with staged(self._around, fault.setting, f"{fault.name}.{seed}", seed) as stage:
                self._go_through(stage, fault, fault.rounds if rounds is None else rounds, verdict)
        except NoDiskError as error:
            verdict.skipped = str(error)
        return verdict

    def _go_through(self, stage: Stage, fault: Fault, rounds: int, verdict: Verdict) -> None:
        broke_off = False
        try:
            if fault.warm:
                stage.warm_up()
            fault.inject(stage, verdict, rounds)
            stage.finish(verdict, steady_fleet=fault.steady_fleet)
        except AssertionError as error:
            verdict.broken.append(f"broke off: {error}")
            broke_off = True
        if verdict.findings or broke_off:
            data = [broker.running.directory for broker in self._around.brokers if broker.running is not None]
            kept = keep(KEPT / stage.system.directory.name, stage.system.directory, *data)
            verdict.broken.append(f"kept for a closer look: {kept}")


def keep(where: Path, *directories: Path) -> Path:
    """Copy what brokers and workers wrote, before the topics are deleted. `clf kafka start` serves such data again."""
    shutil.rmtree(where, ignore_errors=True)
    for directory in directories:
        shutil.copytree(directory, where / directory.name, ignore=shutil.ignore_patterns("tmp", "broker.json", "disk"))
    return where.absolute()


@contextmanager
def surroundings(
    models: Path, directory: Path, clock: Clock, place: Place = Place.ONE_BROKER
) -> Iterator[Surroundings]:
    """The brokers of a kind of place, for the time of the block.

    Raises:
        NoDiskError: a small disk cannot be had.
    """
    with _PLACES[place](directory) as (brokers, kafka, proxy, disk):
        yield Surroundings(brokers, kafka, proxy, disk, models, sample_documents(), directory, clock)


_Parts = tuple[Sequence[LocalBroker], Kafka, Proxy | None, Disk | None]


@contextmanager
def _one_broker(directory: Path) -> Iterator[_Parts]:
    """With a proxy in front of a port of its own."""
    second = SecondListener(free_port(), free_port())
    broker = LocalBroker(say=print, second=second)
    proxy = Proxy(second.advertised, second.port)
    try:
        running = broker.start(directory / "broker", follow_parent=True)
        yield [broker], Kafka(running.bootstrap_servers), proxy, None
    finally:
        broker.kill()
        proxy.close()
        delete_data(directory / "broker")


@contextmanager
def _three_brokers(directory: Path) -> Iterator[_Parts]:
    cluster = LocalCluster(directory)
    try:
        kafka = cluster.start()
        yield cluster.brokers, kafka, None, None
    finally:
        cluster.close()


@contextmanager
def _small_disk(directory: Path) -> Iterator[_Parts]:
    """One broker whose data has a file system of its own."""
    broker = LocalBroker(say=print)
    with mounted(directory / "small", _BROKER_DISK_MIB) as disk:
        try:
            running = broker.start(disk.path / "broker", follow_parent=True)
            yield [broker], Kafka(running.bootstrap_servers), None, disk
        finally:
            broker.kill()


_PLACES: Mapping[Place, Callable[[Path], AbstractContextManager[_Parts]]] = {
    Place.ONE_BROKER: _one_broker,
    Place.THREE_BROKERS: _three_brokers,
    Place.SMALL_DISK: _small_disk,
}
