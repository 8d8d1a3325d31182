"""The demo, step by step. Every process it starts it also ends."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple, Self
from urllib.error import URLError
from urllib.request import urlopen

import orjson

from schemas.classification import decode_classification
from schemas.document import Document
from worker.clock import Clock
from worker.config import Topics
from worker.demo.corpus import Held, divide
from worker.demo.screen import Screen
from worker.kafka import settings as kafka_settings
from worker.kafka.admin import Cluster
from worker.kafka.bootstrap import LOCAL_DIRECTORY
from worker.kafka.consumer import TopicReader
from worker.kafka.local_broker import LocalBroker, delete_data, find_running
from worker.kafka.producer import Sender
from worker.kafka.settings import Settings
from worker.stream.deadline import Deadline
from worker.stream.records import Outgoing

_TIMEOUT = 60.0
_SLOW_RATE = 100  # documents a second, so that an eye can follow
_CLF = (sys.executable, "-m", "worker")

Say = Callable[[str], None]


class DemoError(Exception):
    """A step did not succeed. The text says which, and why."""


class Addresses(NamedTuple):
    """Where everything is, for whoever plays with it."""

    bootstrap_servers: str
    http: str
    models: Path


class _Way(NamedTuple):
    """Into the system and out of it."""

    sender: Sender
    reader: TopicReader


class Demo:
    """Holds what is running; leaving the `with` block ends all of it."""

    def __init__(self, directory: Path, bootstrap_servers: str, clock: Clock, say: Say) -> None:
        """`directory` keeps models and logs; an empty `bootstrap_servers` means the local broker."""
        self._directory = directory
        self._servers = bootstrap_servers
        self._clock = clock
        self._say = say
        self._stack = ExitStack()
        self._topics = Topics()
        self._held: list[Held] = []
        self._sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def start(self) -> Addresses:
        """Broker, models, topics, worker."""
        self._directory.mkdir(parents=True, exist_ok=True)
        models = self._directory / "models"
        training, self._held = divide(self._directory)
        trainings = self._stack.enter_context(self._trainings(training, models))
        self._servers = self._servers or self._stack.enter_context(self._broker())
        self._await_trainings(trainings)
        self._create_topics()
        return Addresses(self._servers, self._stack.enter_context(self._worker(models)), models)

    def stream(self, screen: Screen, documents: int) -> str:
        """Send documents, first at a pace one can read, then all at once. Returns what came of it, in sentences."""
        slow = min(documents, 4 * _SLOW_RATE)
        with self._way() as way:
            right = self._exchange(way, screen, slow, _SLOW_RATE)
            started = self._clock.monotonic()
            right += self._exchange(way, screen, documents - slow, 0)
            seconds = self._clock.monotonic() - started
        burst = f"{documents - slow:,} documents in {seconds:.1f} s: {(documents - slow) / seconds:,.0f} a second, "
        return (
            f"{burst}sent, classified and read back, exactly once.\n"
            f"{right / documents:.0%} of the documents, none of which the models were trained on, got the label that "
            "their author gave them."
        )

    # --- starting -----------------------------------------------------------------------------------------------

    @contextmanager
    def _broker(self) -> Iterator[str]:
        directory = LOCAL_DIRECTORY.absolute()
        running = find_running(directory)
        if running is not None:
            self._say(f"Using the local broker that already runs, at {running.bootstrap_servers}")
            yield running.bootstrap_servers
            return
        began_empty = not directory.exists()
        broker = LocalBroker(say=self._say)
        started = broker.start(directory, follow_parent=True)
        self._say(f"Apache Kafka {started.kafka_version} runs at {started.bootstrap_servers}")
        try:
            yield started.bootstrap_servers
        finally:
            broker.stop()
            if began_empty:
                delete_data(directory)

    @contextmanager
    def _trainings(self, training: Mapping[str, Path], models: Path) -> Iterator[dict[str, "subprocess.Popen[str]"]]:
        """`clf train` for each language, all at once, while the broker starts."""
        self._say(f"Training models for {', '.join(training)} ...")
        began = {
            lang: subprocess.Popen(
                [*_CLF, "train", "--data", str(path), "--lang", lang, "--models", str(models)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for lang, path in training.items()
        }
        try:
            yield began
        finally:
            for process in began.values():
                _end(process)

    def _await_trainings(self, trainings: Mapping[str, "subprocess.Popen[str]"]) -> None:
        for lang, process in trainings.items():
            _, errors = process.communicate()
            if process.returncode:
                raise DemoError(f"Training the model for {lang} failed:\n{errors}")
            self._say(f"Trained a model for {lang}")

    def _create_topics(self) -> None:
        command = [*_CLF, "topics", "create", "--bootstrap-servers", self._servers]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DemoError(f"The topics cannot be used:\n{done.stderr}")
        topics = self._topics
        self._say(f"Topics: {topics.documents} -> {topics.classifications}, and {topics.dead_letters}")

    @contextmanager
    def _worker(self, models: Path) -> Iterator[str]:
        service = (self._directory / "service.json").absolute()
        service.unlink(missing_ok=True)
        options = ["--models", str(models), "--http-port", "0", "--service-file", str(service), "--log-format", "json"]
        command = [*_CLF, "worker", "--bootstrap-servers", self._servers, *options]
        log = self._directory / "worker.log"
        with log.open("wb") as file:
            # A session of its own: Ctrl-C is for the demo, which then stops the worker in order.
            worker = subprocess.Popen(command, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            address = self._await_ready(worker, service, log)
            self._say(f"A worker is ready; its log is {log}")
            yield address
        finally:
            _end(worker)

    def _await_ready(self, worker: "subprocess.Popen[bytes]", service: Path, log: Path) -> str:
        deadline = Deadline(self._clock, _TIMEOUT)
        while not deadline.expired:
            if worker.poll() is not None:
                last = log.read_text("utf-8", errors="replace").strip().split("\n")[-1]
                raise DemoError(f"The worker ended with exit code {worker.returncode}: {last}")
            address = _address(service)
            if address is not None and _answers(f"{address}/ready"):
                return address
            self._clock.sleep(0.05)
        raise DemoError(f"The worker was not ready within {_TIMEOUT:g} s. Its log is {log}.")

    # --- streaming ----------------------------------------------------------------------------------------------

    def _settings(self, scope: str) -> Settings:
        # The broker is stopped under clients that are still closing; that is no news.
        return {"log_level": 2, **kafka_settings.common(self._servers, {}, scope)}

    @contextmanager
    def _way(self) -> Iterator[_Way]:
        cluster = Cluster(self._settings("admin"))
        results = self._topics.classifications
        sender = Sender(kafka_settings.producer(self._settings("producer")))
        reader = TopicReader(self._settings("consumer"))
        try:
            reader.assign(results, cluster.topics([results])[results].partitions, from_beginning=False)
            yield _Way(sender, reader)
        finally:
            reader.close()
            sender.close()

    def _exchange(self, way: _Way, screen: Screen, count: int, rate: float) -> int:
        """Send `count` documents, `rate` a second (0: at once), and read their results. Returns how many are right."""
        waiting = self._outgoing(count)
        labels = {item.document.url: item.label for item in self._held}
        began, sent, read, right = self._clock.monotonic(), 0, 0, 0
        deadline = Deadline(self._clock, _TIMEOUT + (count / rate if rate else 0))
        while read < count:
            due = count if not rate else min(count, 1 + int((self._clock.monotonic() - began) * rate))
            way.sender.send(islice(waiting, due - sent))
            sent = due
            for record in way.reader.poll(2000, 0.05):
                result = decode_classification(record.value or b"")
                screen.result(result)
                right += result.labels == (labels[result.url.partition("#")[0]],)
                read += 1
            screen.progress(f"{sent:,} sent, {read:,} classified")
            if deadline.expired:
                raise DemoError(f"Only {read} of {count} results came within {_TIMEOUT:g} s.")
        return right

    def _outgoing(self, count: int) -> Iterator[Outgoing]:
        """The held-out documents, again and again, with urls that stay distinct."""
        for item in islice(cycle(self._held), count):
            original = item.document
            url = f"{original.url}#{self._sent}"
            self._sent += 1
            value = Document(url, original.title, original.text, original.lang).to_json()
            yield Outgoing(self._topics.documents, -1, url.encode(), value, ())


def _address(service: Path) -> str | None:
    """Where the worker answers; None before it has said so, and after it ended."""
    try:
        return f"http://{orjson.loads(service.read_bytes())['services']['clf-health']}"
    except OSError:
        return None


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2):  # noqa: S310 - our own worker on loopback
            return True
    except (URLError, OSError):
        return False


def _end(process: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> None:
    """SIGTERM, which makes a worker drain; SIGKILL when even that takes too long."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
