"""Runs faults one after the other, each on topics of its own."""

import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from integration_tests.broker import Kafka
from integration_tests.faults.faults import Fault
from integration_tests.faults.stage import Verdict, staged
from integration_tests.system import CLF
from schemas.document import Document, decode_document
from worker.clock import Clock
from worker.kafka.local_broker import LocalBroker, delete_data

SAMPLE = Path(__file__).parents[2] / "training" / "sample"


@contextmanager
def broker_in(directory: Path) -> Iterator[LocalBroker]:
    """A broker for the time of the block."""
    broker = LocalBroker(say=print)
    try:
        broker.start(directory, follow_parent=True)
        yield broker
    finally:
        broker.kill()
        delete_data(directory)


def trained(directory: Path) -> Path:
    """A store with a model of each language of the sample corpus."""
    for path in sorted(SAMPLE.glob("*.jsonl")):
        command = [*CLF, "train", "--data", str(path), "--lang", path.stem, "--models", str(directory)]
        subprocess.run([*command, "--search", "none"], check=True, capture_output=True)
    return directory


def sample_documents() -> list[Document]:
    """The documents of the sample corpus."""
    paths = sorted(SAMPLE.glob("*.jsonl"))
    return [decode_document(line) for path in paths for line in path.read_bytes().split(b"\n") if line]


class Suite:
    """The faults share a broker and the models."""

    def __init__(
        self, broker: LocalBroker, models: Path, documents: Sequence[Document], directory: Path, clock: Clock
    ) -> None:
        assert broker.running is not None, "the broker runs"
        self._broker = broker
        self._kafka = Kafka(broker.running.bootstrap_servers)
        self._models = models
        self._documents = documents
        self._directory = directory
        self._clock = clock

    def run(self, fault: Fault, seed: int, rounds: int | None = None) -> Verdict:
        """All phases of one fault."""
        verdict = Verdict(fault.name, seed)
        directory = self._directory / fault.name
        directory.mkdir()
        with staged(
            self._kafka,
            directory,
            self._models,
            fault.setting,
            self._documents,
            self._clock,
            name=f"{fault.name}.{seed}",
            seed=seed,
        ) as stage:
            stage.warm_up()
            fault.inject(stage, verdict, self._broker, fault.rounds if rounds is None else rounds)
            stage.finish(verdict, steady_fleet=fault.steady_fleet)
        return verdict

    def run_all(self, faults: Iterable[Fault], seed: int, say: Callable[[Verdict], None]) -> list[Verdict]:
        """All of them; `say` hears of each verdict."""
        verdicts = []
        for fault in faults:
            verdicts.append(self.run(fault, seed))
            say(verdicts[-1])
        return verdicts
