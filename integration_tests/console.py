"""What an operator types the runbook's commands into: a shell beside a cluster, with `clf` and Kafka's scripts."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration_tests.broker import Kafka
from integration_tests.kafka_scripts import write_scripts
from integration_tests.runbook import section
from integration_tests.system import ClfProcess, System, free_port, wait_until
from schemas.document import Document
from worker.kafka.local_broker import LocalBroker, delete_data
from worker.tests.tools import small_bundle, small_store

RUN_TIMEOUT_S = 120.0
# The runbook begins where workers run already: this is the one that it calls HOST:9464.
FIRST = "clf worker --slot w1 --http-port 9464 --service-file w1.json"
GOAL = Document("https://site.example/goal", "Football", "goal", "en")
# The runbook's ports: health of three workers and of a server, and the calls of that server.
_PORT = re.compile(r"\b(?:946[4-9]|50051)\b")
_SERVICE_FILE = re.compile(r"--service-file (\S+)")


class Console:
    """Runs command lines as they stand in the runbook, in a directory and on the topics and the group that it names."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.directory = system.directory
        self._ports: dict[str, int] = {}
        self.stands_for = {
            " ... ": " --bootstrap-server kafka-1:9092 --group clf ",  # said once, in "The first look"
            "kafka-1:9092": system.kafka.bootstrap_servers,
            "HOST": "127.0.0.1",
            "VERSION": "v1",
            "DIRECTORY": ".",
        }
        programs = self.directory / "bin"
        programs.mkdir()
        write_scripts(programs)
        (programs / "clf").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m worker "$@"\n', "utf-8")
        (programs / "clf").chmod(0o755)
        self.environment = {"PATH": f"{programs}:{os.environ['PATH']}", "CLF_LOG_FORMAT": "json"}

    def filled(self, line: str) -> str:
        """The line with what is ours in place of what the runbook can only name; nothing else is changed."""
        for name, value in self.stands_for.items():
            line = line.replace(name, value)
        return _PORT.sub(lambda port: str(self._ports.setdefault(port[0], free_port())), line)

    def run(self, line: str, code: int = 0) -> str:
        """Run a line to its end, which must have that exit code; returns what it printed on standard output."""
        done = self.try_run(line)
        assert done.returncode == code, f"`{line}` ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def try_run(self, line: str) -> "subprocess.CompletedProcess[str]":
        """Run a line to its end, whatever its exit code."""
        with self.begin(line) as process:
            try:
                out, err = process.communicate(timeout=RUN_TIMEOUT_S)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)  # the shell, and what it waits for
                raise
        return subprocess.CompletedProcess(line, process.returncode, out, err)

    def begin(self, line: str) -> "subprocess.Popen[str]":
        """Begin to run a line that ends by itself."""
        return subprocess.Popen(
            self._shell(line),
            cwd=self.directory,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    @contextmanager
    def start(self, line: str) -> Iterator[ClfProcess]:
        """What a line starts, from the moment it is ready until the end of the block; it names a `--service-file`."""
        found = _SERVICE_FILE.search(line)
        assert found is not None, f"`{line}` must say where it tells its ports, or two of them would use one file"
        command, log_name = self._shell(f"exec {line}"), f"{found[1].replace('/', '-')}.log"
        process = ClfProcess(self.directory, command, service_file=found[1], log_name=log_name, **self.environment)
        try:
            wait_until(process.ready, f"`{line}` is ready", 60)
            yield process
        finally:
            process.kill()

    def _shell(self, line: str) -> list[str]:
        """As in a terminal where the runbook's `export` was typed first."""
        export = section("Runbook").commands[0]
        return ["bash", "-o", "pipefail", "-c", self.filled(f"{export}\n{line}")]


@contextmanager
def on_cluster(kafka: Kafka, directory: Path, partitions: int = 4) -> Iterator[Console]:
    """A console with the topics and the group that the runbook takes for granted, and two versions of a model."""
    small_bundle(small_store(directory / "model-store"), version="v2", slope=-3.0)
    system = System(kafka, directory, "documents", "classifications", "documents.dead-letter", "clf")
    with system.with_topics(partitions):
        yield Console(system)


@contextmanager
def on_own_broker(directory: Path) -> Iterator[Console]:
    """The same on a broker of its own, where topics may have any name."""
    broker = LocalBroker(say=print)
    try:
        running = broker.start(directory / "kafka", follow_parent=True)
        with on_cluster(Kafka(running.bootstrap_servers), directory) as console:
            yield console
    finally:
        broker.kill()
        delete_data(directory / "kafka")


def send(system: System, counts: dict[int, int], timestamp_ms: int = 0, value: bytes = GOAL.to_json()) -> None:
    """Send as many documents to each partition as `counts` says; a timestamp of 0 is now."""
    producer = system.kafka.producer()
    for partition, count in counts.items():
        for _ in range(count):
            producer.produce(system.documents, value, GOAL.url.encode(), partition, timestamp=timestamp_ms)
    assert producer.flush(30) == 0


def even(count: int, partitions: int = 4) -> dict[int, int]:
    """`count` for each partition."""
    return dict.fromkeys(range(partitions), count)
