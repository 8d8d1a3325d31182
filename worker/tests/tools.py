"""What the tests of the tools share: calling a command, a cluster in memory, a small model store."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from models.content import BundleContent, Calibration, Fallback, VectorizerConfig
from models.store import Store
from models.writer import write_bundle
from schemas.dead_letter import Headers
from worker.cli import main
from worker.kafka.consumer import Bounds
from worker.kafka.producer import Rejected
from worker.stream.deadline import Deadline
from worker.stream.errors import StreamError
from worker.stream.records import Outgoing, Record, TopicPartition

PARTITIONS = 2
NO_CLUSTER = ("--bootstrap-servers", "nowhere.invalid:1")


def clf(*arguments: str | Path, given: str | bytes = b"") -> Result:
    """Call `clf` in this process, without its log configuration, which would outlive the test."""
    with patch("worker.logs.configure"), capture_logs():
        return CliRunner().invoke(main, [str(argument) for argument in arguments], input=given)


def record(
    topic: str,
    partition: int,
    offset: int,
    value: bytes | None,
    key: bytes | None = None,
    headers: Headers = (),
    timestamp_ms: int = 1_700_000_000_000,
) -> Record:
    """A record as it is read."""
    return Record(TopicPartition(topic, partition), offset, timestamp_ms, key, value, headers)


class MemoryReader:
    """Stands in for `TopicReader`: what was assigned comes out once, in one batch."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = list(records)
        self._starts: dict[TopicPartition, int] = {}
        self._polled = False

    def bounds(self, topic: str, partitions: int) -> dict[TopicPartition, Bounds]:
        """What the records say; an end lies behind the last one."""
        found: dict[TopicPartition, Bounds] = {}
        for source in (TopicPartition(topic, number) for number in range(partitions)):
            offsets = [item.offset for item in self.records if item.source == source]
            found[source] = Bounds(min(offsets), max(offsets) + 1) if offsets else Bounds(0, 0)
        return found

    def assign_at(self, starts: Mapping[TopicPartition, int]) -> None:
        """Where to begin."""
        self._starts = dict(starts)

    def assign(self, topic: str, partitions: int, *, from_beginning: bool) -> dict[TopicPartition, int]:
        """As the real one."""
        bounds = self.bounds(topic, partitions)
        self.assign_at({source: found.first if from_beginning else found.end for source, found in bounds.items()})
        return {source: found.end for source, found in bounds.items()}

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """All at once, then nothing."""
        del max_records, timeout
        polled, self._polled = self._polled, True
        return [] if polled else self._assigned({})

    def batches_to(self, ends: Mapping[TopicPartition, int]) -> Iterator[list[Record]]:
        """All at once."""
        yield []
        yield self._assigned(ends)

    def _assigned(self, ends: Mapping[TopicPartition, int]) -> list[Record]:
        return [
            item
            for item in self.records
            if item.source in self._starts
            and self._starts[item.source] <= item.offset < ends.get(item.source, item.offset + 1)
        ]

    def close(self) -> None:
        """Nothing to let go."""


class MemorySender:
    """Stands in for `Sender`: keeps what it is given; fails at record number `fails_at`, counted from 0."""

    def __init__(self, fails_at: int | None = None, rejects: Iterable[bytes] = ()) -> None:
        self.sent: list[Outgoing] = []
        self.rejected: list[Rejected] = []
        self._fails_at = fails_at
        self._rejects = set(rejects)
        self.finished = 0

    @property
    def delivered(self) -> int:
        """What it was given."""
        return len(self.sent)

    def send(self, outgoing: Iterable[Outgoing]) -> None:
        """Keep the records, but for those that are to be rejected."""
        for item in outgoing:
            if len(self.sent) == self._fails_at:
                raise StreamError("The cluster stopped taking records.")
            if item.key in self._rejects:
                self.rejected.append(Rejected(item.key, "Message size too large"))
            else:
                self.sent.append(item)

    def finish(self, deadline: Deadline) -> None:
        """Count the call."""
        assert deadline.remaining() > 0
        self.finished += 1

    def close(self) -> None:
        """Nothing to let go."""


def with_cluster(
    command: str, *arguments: str | Path, records: Iterable[Record] = (), sender: MemorySender | None = None
) -> Result:
    """Call `clf COMMAND` on a cluster in memory that has every topic, with `PARTITIONS` partitions each."""
    module = f"worker.commands.{command.replace('-', '_')}"
    replaced = {
        "TopicReader": lambda _settings: MemoryReader(records),
        "Sender": lambda _settings: sender,
        "partitions_of": lambda _cluster, _topic: PARTITIONS,
        "sender_settings": lambda _cluster, _topic: {},
        "client_settings": lambda _cluster, _scope: {},
    }
    with ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(patch(f"{module}.{name}", value, create=True))
        return clf(command, *arguments)


def small_bundle(root: Path, lang: str = "en", version: str = "v1", slope: float = -2.0) -> None:
    """Write a model that knows four words and two classes; the steeper the slope, the surer it is of them."""
    content = BundleContent(
        lang=lang,
        classes=("business", "sport"),
        vectorizer=VectorizerConfig(use_idf=False),
        terms=("bank", "football", "goal", "money"),
        idf=None,
        weights=np.array([[2, -2], [-2, 2], [-2, 2], [2, -2]], dtype=np.float32),
        intercept=np.zeros(2, dtype=np.float32),
        calibration=Calibration(slope=(slope, slope), intercept=(0.0, 0.0)),
        thresholds=(0.5, 0.5),
        fallback=Fallback.BEST,
        golden_texts=("football goal", "bank money"),
        training={"documents": 2},
        metrics={"micro_f1": 1.0},
    )
    write_bundle(root / lang / version, version, content)


def small_store(root: Path) -> Path:
    """A store with one such model, English."""
    small_bundle(root)
    Store(root).activate("en", "v1")
    return root
