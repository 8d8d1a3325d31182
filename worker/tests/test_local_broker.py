"""The local broker without Kafka: a shell script plays Java, so that every way to fail can be played."""

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from worker.commands.kafka import kafka
from worker.kafka import local_broker, local_launch
from worker.kafka.local_base import BrokerError
from worker.kafka.local_broker import LocalBroker, PortTakenError, delete_data
from worker.kafka.local_jars import JarCache
from worker.kafka.local_launch import choose_ports
from worker.kafka.local_state import find_running, read_state
from worker.tests.played import JumpClock, script

# Answers -version, formats when asked to (the settings are the last argument), and otherwise plays the broker.
JAVA = """#!/bin/sh
case "$*" in
  -version) echo 'openjdk version "21.0.2" 2024-01-16' >&2; exit 0 ;;
  *StorageTool*) [ -z "$FORMAT_FAILS" ] || { echo "$FORMAT_FAILS"; exit 1; }
    for settings; do :; done
    mkdir "${settings%%/*}/formatting"
    touch "${settings%%/*}/formatting/meta.properties"; exit 0 ;;
esac
%s
"""
SERVES = "echo 'Kafka Server started'; trap 'exit 0' TERM; while :; do sleep 0.02; done"
DEAF = "echo 'Kafka Server started'; trap '' TERM; while :; do sleep 0.05; done"


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A java that serves until it is told to stop."""
    path = script(tmp_path / "jdk/bin/java", JAVA % SERVES)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    return path


@pytest.fixture
def broker(java: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalBroker]:
    """A broker on the shell script, ended after the test."""
    del java
    monkeypatch.setattr(JarCache, "ensure", lambda *_: tmp_path / "jars")
    broker = LocalBroker()
    yield broker
    broker.kill()


def test_start_stop(broker: LocalBroker, tmp_path: Path) -> None:
    """A start reports what runs, a stop ends it and takes broker.json away; the data stays."""
    running = broker.start(tmp_path / "b")
    assert psutil.pid_exists(running.pid)
    assert read_state(tmp_path / "b") == running
    assert running.bootstrap_servers == f"127.0.0.1:{running.port}"
    assert running.memory_bytes() > 0
    assert broker.stop() is True
    assert running.process() is None
    assert not (tmp_path / "b/broker.json").exists()
    assert (tmp_path / "b/data/meta.properties").exists()
    assert broker.stop() is False


def test_settings_written(broker: LocalBroker, tmp_path: Path) -> None:
    """The broker listens on the loopback address only and keeps its data in its directory."""
    running = broker.start(tmp_path / "b")
    text = (tmp_path / "b/server.properties").read_text()
    assert f"listeners=PLAINTEXT://127.0.0.1:{running.port},CONTROLLER://127.0.0.1:" in text
    assert f"log.dirs={tmp_path}/b/data\n" in text
    assert "0.0.0.0" not in text  # noqa: S104 - that it is absent is the point


def test_stop_ends_what_ignores_sigterm(broker: LocalBroker, java: Path, tmp_path: Path) -> None:
    """After the deadline SIGKILL follows."""
    script(java, JAVA % DEAF)
    running = broker.start(tmp_path / "b")
    assert broker.stop(timeout_s=0.2) is True
    assert running.process() is None


def test_kill_and_start_on_the_same_port(broker: LocalBroker, tmp_path: Path) -> None:
    """After a kill the stale broker.json means nothing, and the port can be had again."""
    first = broker.start(tmp_path / "b")
    assert broker.kill() is True
    assert read_state(tmp_path / "b") == first
    assert find_running(tmp_path / "b") is None
    second = broker.start(tmp_path / "b", port=first.port)
    assert second.port == first.port
    assert second.token != first.token


def test_start_twice(broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second start, here by another object, finds the first; another port is refused."""
    first = broker.start(tmp_path / "b")
    monkeypatch.setattr(local_broker, "answers", lambda port: port == first.port)
    other = LocalBroker()
    assert other.start(tmp_path / "b") == first
    assert other.start(tmp_path / "b", port=first.port) == first
    with pytest.raises(BrokerError, match="already runs"):
        other.start(tmp_path / "b", port=first.port + 1)


def test_one_object_one_broker(broker: LocalBroker, tmp_path: Path) -> None:
    """An object that runs a broker does not forget it for another."""
    broker.start(tmp_path / "a")
    with pytest.raises(BrokerError, match="use another one"):
        broker.start(tmp_path / "b")


def test_running_but_mute(broker: LocalBroker, tmp_path: Path) -> None:
    """A broker that lives and does not answer is reported, not reused."""
    broker.start(tmp_path / "b")
    with pytest.raises(BrokerError, match="does not answer"):
        LocalBroker(clock=JumpClock()).start(tmp_path / "b")


def test_port_lost_to_another_program(broker: LocalBroker, java: Path, tmp_path: Path) -> None:
    """When a chosen port is gone before the broker binds it, other ports are tried."""
    once = f"[ -e {tmp_path}/tried ] || {{ touch {tmp_path}/tried; echo 'Address already in use'; exit 1; }}\n"
    script(java, JAVA % (once + SERVES))
    assert broker.start(tmp_path / "b").process() is not None
    assert (tmp_path / "tried").exists()


def test_wanted_port_lost_to_another_program(broker: LocalBroker, java: Path, tmp_path: Path) -> None:
    """A port that the user named is not replaced by another."""
    script(java, JAVA % "echo 'Address already in use'; exit 1")
    with pytest.raises(PortTakenError, match="Address already in use"):
        broker.start(tmp_path / "b", port=choose_ports(0).clients)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("java.io.IOException: No space left on device", "The disk is full"),
        ("java.lang.UnsupportedClassVersionError: kafka/Kafka", "JAVA_HOME"),
        ("Could not reserve enough space for object heap", "--heap"),
        ("java.nio.file.AccessDeniedException: data", "may not write"),
        ("something new", "stop --delete-data"),
    ],
)
def test_broker_dies_at_start(broker: LocalBroker, java: Path, tmp_path: Path, said: str, advice: str) -> None:
    """A broker that dies is explained with its own last words, and leaves no broker.json."""
    script(java, JAVA % f"echo '{said}'; exit 3")
    with pytest.raises(BrokerError, match=advice) as caught:
        broker.start(tmp_path / "b")
    assert "exit code 3" in str(caught.value)
    assert said in str(caught.value)
    assert not (tmp_path / "b/broker.json").exists()


def test_old_words_are_not_blamed(broker: LocalBroker, java: Path, tmp_path: Path) -> None:
    """The log of an earlier start neither makes a broker ready nor explains its death."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b/broker.log").write_text("No space left on device\nKafka Server started\n")
    script(java, JAVA % "echo new words; exit 1")
    with pytest.raises(BrokerError) as caught:
        broker.start(tmp_path / "b")
    assert "disk" not in str(caught.value)
    assert "new words" in str(caught.value)


def test_never_ready(broker: LocalBroker, java: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that says nothing is ended after the deadline."""
    script(java, JAVA % f"echo $$ > {tmp_path}/pid; exec sleep 60")
    monkeypatch.setattr(local_broker, "START_TIMEOUT_S", 0.5)
    with pytest.raises(BrokerError, match="not ready within"):
        broker.start(tmp_path / "b")
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_format_fails(broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed format is explained, counts as none, and the next start formats again."""
    monkeypatch.setenv("FORMAT_FAILS", "No space left on device")
    with pytest.raises(BrokerError, match="The disk is full"):
        broker.start(tmp_path / "b")
    monkeypatch.delenv("FORMAT_FAILS")
    broker.start(tmp_path / "b")
    assert (tmp_path / "b/data/meta.properties").exists()


def test_foreign_data_is_left_alone(broker: LocalBroker, tmp_path: Path) -> None:
    """A directory called data that is not a broker's stays as it is."""
    (tmp_path / "b/data").mkdir(parents=True)
    (tmp_path / "b/data/thesis.txt").write_text("precious")
    with pytest.raises(BrokerError, match="not a broker's data"):
        broker.start(tmp_path / "b")
    assert (tmp_path / "b/data/thesis.txt").read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "written"),
    [("a b", "a b"), ("größe", "gr\\u00f6\\u00dfe"), ("a=b#c", "a=b#c"), ("a\\b", "a\\\\b"), ("𝄞", "\\ud834\\udd1e")],
)
def test_odd_directories(broker: LocalBroker, tmp_path: Path, name: str, written: str) -> None:
    """Names that a Java properties file would misread are escaped as its specification says."""
    broker.start(tmp_path / name)
    text = (tmp_path / name / "server.properties").read_text("ascii")
    assert f"log.dirs={tmp_path}/{written}/data\n" in text


def test_impossible_directories(broker: LocalBroker, tmp_path: Path) -> None:
    """A comma would make two data directories; a file cannot be one."""
    with pytest.raises(BrokerError, match="no commas"):
        broker.start(tmp_path / "a,b")
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match="choose another --directory"):
        broker.start(tmp_path / "file")


def test_disk_nearly_full(broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little space is said before anything is written."""
    monkeypatch.setattr(local_launch, "MIN_FREE_BYTES", 2**60)
    with pytest.raises(BrokerError, match="Free some space"):
        broker.start(tmp_path / "b")
    assert not (tmp_path / "b/data").exists()


def test_log_is_bounded(broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that has grown is set aside once, not kept growing."""
    monkeypatch.setattr(local_launch, "MAX_LOG_BYTES", 10)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/broker.log").write_text("x" * 11)
    broker.start(tmp_path / "b")
    assert (tmp_path / "b/broker.log.1").read_text() == "x" * 11
    assert "x" not in (tmp_path / "b/broker.log").read_text()


def test_delete_data(broker: LocalBroker, tmp_path: Path) -> None:
    """Only what the broker wrote is removed, and never under a running broker."""
    broker.start(tmp_path / "b")
    (tmp_path / "b/notes.txt").write_text("mine")
    with pytest.raises(BrokerError, match="Stop it first"):
        delete_data(tmp_path / "b")
    broker.stop()
    delete_data(tmp_path / "b")
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["notes.txt"]
    (tmp_path / "b/notes.txt").unlink()
    delete_data(tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_command_without_a_broker(tmp_path: Path) -> None:
    """Status exits 1 in both forms; stop is content."""
    arguments = ["--directory", str(tmp_path / "b")]
    run = CliRunner().invoke
    assert run(kafka, ["status", *arguments]).exit_code == 1
    as_json = run(kafka, ["status", "--json", *arguments])
    assert (as_json.exit_code, json.loads(as_json.stdout)["running"]) == (1, False)
    assert run(kafka, ["stop", "--delete-data", *arguments]).exit_code == 0


def test_command_without_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start exits 3 and tells what is missing, without a traceback."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(kafka, ["start", "--directory", str(tmp_path / "b")])
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: The local broker needs Java 17")


def test_command_fetches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fetch tells where the jars are, and exits 3 when there are none to be had."""
    monkeypatch.setattr(JarCache, "ensure", lambda *_: tmp_path)
    assert CliRunner().invoke(kafka, ["fetch"]).stdout == f"{tmp_path}\n"
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MAVEN_HOME", raising=False)
    result = CliRunner().invoke(kafka, ["fetch"])
    assert result.exit_code == 3
    assert "there is no `mvn`" in result.stderr


def test_command_shows_the_running_broker(broker: LocalBroker, tmp_path: Path) -> None:
    """Start and status of a running broker name the same address, and how to stop that one."""
    running = broker.start(tmp_path / "b")
    arguments = ["--directory", str(tmp_path / "b")]
    for command in ("start", "status"):
        result = CliRunner().invoke(kafka, [command, *arguments])
        assert result.exit_code == 0
        assert f"export CLF_BOOTSTRAP_SERVERS={running.bootstrap_servers}\n" in result.stdout
        assert f"clf kafka stop --directory {tmp_path / 'b'}\n" in result.stdout
    facts = json.loads(CliRunner().invoke(kafka, ["status", "--json", *arguments]).stdout)
    assert (facts["pid"], facts["bootstrap_servers"]) == (running.pid, running.bootstrap_servers)
    stopped = CliRunner().invoke(kafka, ["stop", "--delete-data", *arguments])
    assert stopped.exit_code == 0
    assert not (tmp_path / "b").exists()
