"""Runs faults one after the other, each on topics of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration_tests.broker import Kafka
from integration_tests.faults.faults import Fault
from integration_tests.faults.proxy import Proxy, free_port
from integration_tests.faults.stage import Surroundings, Verdict, staged
from integration_tests.system import SAMPLE, sample_documents, train
from worker.clock import Clock
from worker.kafka.local_broker import LocalBroker, delete_data
from worker.kafka.local_launch import SecondListener


def trained(directory: Path) -> Path:
    """A store with two models of each language of the sample corpus."""
    for path in SAMPLE:
        train(path, directory, "--c", "0.3")  # the version that `reload` changes to and fro
        train(path, directory)
    return directory


class Suite:
    """The faults share a broker and the models."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def run(self, fault: Fault, seed: int, rounds: int | None = None) -> Verdict:
        """All phases of one fault."""
        verdict = Verdict(fault.name, seed)
        with staged(self._around, fault.setting, f"{fault.name}.{seed}", seed) as stage:
            stage.warm_up()
            fault.inject(stage, verdict, fault.rounds if rounds is None else rounds)
            stage.finish(verdict, steady_fleet=fault.steady_fleet)
        return verdict


@contextmanager
def surroundings(models: Path, directory: Path, clock: Clock) -> Iterator[Surroundings]:
    """A broker, with a proxy in front of a port of its own, for the time of the block."""
    second = SecondListener(free_port(), free_port())
    broker = LocalBroker(say=print, second=second)
    proxy = Proxy(second.advertised, second.port)
    try:
        running = broker.start(directory / "kafka", follow_parent=True)
        kafka = Kafka(running.bootstrap_servers)
        yield Surroundings(broker, kafka, proxy, models, sample_documents(), directory, clock)
    finally:
        broker.kill()
        proxy.close()
        delete_data(directory / "kafka")
