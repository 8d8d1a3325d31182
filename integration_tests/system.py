"""A whole system under test: topics of its own, workers as processes, documents in, results out."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson
import pytest

from integration_tests.broker import Kafka, Record, ToSend
from schemas.document import Document, decode_document
from worker.clock import SystemClock
from worker.kafka.admin import HEADROOM_BYTES

CLF = (sys.executable, "-m", "worker")
# For what takes minutes and changes seldom.
THOROUGH = pytest.mark.skipif(os.environ.get("CLF_THOROUGH") != "1", reason="only by `make thorough` (CLF_THOROUGH=1)")
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 40.0
CLOCK = SystemClock()
SAMPLE = sorted((Path(__file__).parent.parent / "training" / "sample").glob("*.jsonl"))  # a file for each language


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Look again and again until `condition` holds; fails with `what` when it does not in time."""
    end = CLOCK.monotonic() + timeout_s
    while not condition():
        if CLOCK.monotonic() > end:
            raise AssertionError(f"Not within {timeout_s:g} s: {what}")
        CLOCK.sleep(0.02)


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class System:
    """Three topics and a group."""

    kafka: Kafka
    directory: Path
    documents: str
    classifications: str
    dead_letters: str
    group: str

    @property
    def topics(self) -> tuple[str, str, str]:
        """All three."""
        return self.documents, self.classifications, self.dead_letters

    @contextmanager
    def with_topics(self, partitions: int = 4, max_bytes: int = 1_048_588) -> Iterator["System"]:
        """The system with its topics, empty at first, for documents of `max_bytes`; they are deleted at the end."""
        outcome = max_bytes + HEADROOM_BYTES
        for topic, size in zip(self.topics, (max_bytes, outcome, outcome), strict=True):
            self.kafka.create_topic(topic, partitions, {"max.message.bytes": str(size)})
        try:
            yield self
        finally:
            self.kafka.delete_topics(*self.topics)

    def options(self) -> list[str]:
        """The options that make a worker work on this system."""
        return [
            "--bootstrap-servers",
            self.kafka.bootstrap_servers,
            "--documents",
            self.documents,
            "--classifications",
            self.classifications,
            "--dead-letters",
            self.dead_letters,
            "--group",
            self.group,
        ]

    def send(self, documents: Iterable[Document]) -> list[Document]:
        """Send documents, keyed by url; returns them."""
        sent = list(documents)
        self.kafka.produce(self.documents, (ToSend(d.to_json(), d.url.encode()) for d in sent))
        return sent

    def settled(self) -> int:
        """How many input records the group has committed, the first offset of a partition being 0."""
        return sum(max(0, offset) for offset in self.kafka.committed_offsets(self.group, self.documents).values())

    def await_settled(self, count: int, timeout_s: float = 60.0) -> None:
        """Wait until the group has committed `count` input records."""
        wait_until(lambda: self.settled() >= count, f"{count} records are settled", timeout_s)

    def results(self) -> list[Record]:
        """Every committed result, by partition and offset."""
        return self.kafka.read(self.classifications)

    def letters(self) -> list[Record]:
        """Every committed dead letter."""
        return self.kafka.read(self.dead_letters)

    @contextmanager
    def worker(self, *options: str, name: str = "worker") -> Iterator["WorkerProcess"]:
        """A worker for the time of the block; it is killed at the end when it still runs."""
        process = WorkerProcess([*CLF, "worker", *self.options(), *options], self.directory / name)
        try:
            yield process
        finally:
            process.kill()


class ClfProcess:
    """A `clf` that serves, as a process in a directory of its own."""

    def __init__(
        self,
        directory: Path,
        command: Sequence[str],
        service_file: str = "service.json",
        log_name: str = "log",
        **environment: str,
    ) -> None:
        """Start it, with these variables added to the environment; `command` says where its service file is."""
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self._log = directory / log_name
        self._service_file = directory / service_file
        self._service_file.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=directory, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **environment}
            )

    @property
    def services(self) -> dict[str, str]:
        """Name -> "host:port" of all that it opened."""
        found: dict[str, str] = orjson.loads(self._service_file.read_bytes())["services"]
        return found

    @property
    def health(self) -> str:
        """The "host:port" for health and metrics."""
        return self.services["clf-health"]

    def get(self, path: str) -> tuple[int, str]:
        """One answer of its health port: status and body."""
        try:
            with urlopen(f"http://{self.health}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, line_start: str) -> float:
        """The sum of all samples whose line starts with `line_start`."""
        lines = self.get("/metrics")[1].split("\n")
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(line_start))

    def log(self) -> str:
        """Everything it logged."""
        return self._log.read_text("utf-8", errors="replace")

    def events(self, name: str) -> list[dict[str, object]]:
        """Its log lines of one event."""
        lines = (line for line in self.log().split("\n") if line.startswith("{"))
        return [fields for fields in map(orjson.loads, lines) if fields["event"] == name]

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL, when it still runs; frozen or not."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ready(self) -> bool:
        """Whether it may take traffic; fails when it has ended."""
        if self.process.poll() is not None:
            raise AssertionError(f"It ended with {self.process.returncode}:\n{self.log()}")
        try:
            return self._service_file.exists() and self.get("/ready")[0] == 200
        except OSError:
            return False  # it is just going; the next look finds its exit code


class WorkerProcess(ClfProcess):
    """One `clf worker` process."""

    def __init__(self, command: list[str], directory: Path, **environment: str) -> None:
        """Start it, with these variables added to the environment."""
        super().__init__(directory, [*command, "--http-port", "0", "--log-format", "json"], **environment)

    def await_ready(self) -> None:
        """Wait until it says that it may take traffic."""
        wait_until(self.ready, f"the worker is ready; its log:\n{self.log()}")


def sample_documents() -> list[Document]:
    """The documents of the sample corpus, all languages in turn."""
    by_language = [[decode_document(line) for line in path.read_bytes().split(b"\n") if line] for path in SAMPLE]
    return [document for group in zip(*by_language, strict=False) for document in group]


def train(path: Path, models: Path, *options: str) -> None:
    """Train a model on a file of the sample corpus; it becomes the active one of its language."""
    command = [*CLF, "train", "--data", str(path), "--lang", path.stem, "--models", str(models), "--search", "none"]
    subprocess.run([*command, *options], check=True, capture_output=True)


def numbered(documents: Iterable[Document], count: int, prefix: str = "https://site.example/") -> Iterator[Document]:
    """`count` documents with distinct urls, made by going round `documents`."""
    texts = list(documents)
    for number in range(count):
        document = texts[number % len(texts)]
        yield Document(f"{prefix}{number}", document.title, document.text, document.lang)
