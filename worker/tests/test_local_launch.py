"""The parts of the local broker that need no process: ports, state, logs, ids."""

import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from worker.kafka.local_broker import LocalBroker, PortTakenError, answers
from worker.kafka.local_launch import choose_ports, cluster_id, explain_death, log_since
from worker.kafka.local_state import RunningBroker, find_running, read_state


def test_ports_are_free_and_different() -> None:
    """Chosen ports differ and can be bound."""
    ports = choose_ports(0)
    assert ports.clients != ports.controller
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", ports.clients))


def test_port_taken() -> None:
    """A port on which somebody listens is refused."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"Port {port} .* is taken"):
            choose_ports(port)


@pytest.mark.parametrize("port", [-1, 65536, 10**12])
def test_port_out_of_range(port: int) -> None:
    """A number that is no port is refused with the range."""
    with pytest.raises(PortTakenError, match="1024 to 65535"):
        choose_ports(port)


def test_recycled_pid_is_never_touched(tmp_path: Path) -> None:
    """A stranger with the pid of a dead broker is neither found nor signalled."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        started = psutil.Process(stranger.pid).create_time()
        RunningBroker(tmp_path, 9092, stranger.pid, started, "0" * 32, "4.4.0").write()
        broker = LocalBroker()
        assert broker.attach(tmp_path) is None
        broker.running = read_state(tmp_path)
        assert broker.stop() is False
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"pid": 1}', '{"pid": "x", "port": 1}', "\udcff", '{"pid": []}']
)
def test_state_that_makes_no_sense(tmp_path: Path, text: str) -> None:
    """A damaged broker.json means that nothing runs."""
    (tmp_path / "broker.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert read_state(tmp_path) is None
    assert find_running(tmp_path) is None


@pytest.mark.parametrize("pid", [-1, 0, 10**30])
def test_state_with_an_impossible_pid(tmp_path: Path, pid: int) -> None:
    """A number that is no process means that nothing runs."""
    RunningBroker(tmp_path, 9092, pid, 0.0, "t", "4.4.0").write()
    assert find_running(tmp_path) is None


def test_answers_means_kafka() -> None:
    """Neither a closed port nor a server of something else counts as a broker."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        assert answers(port) is False
        thread.join(10)
    assert answers(port) is False
    assert answers(10**6) is False


def test_log_since(tmp_path: Path) -> None:
    """Only what was added counts; bytes that are no text and a missing log are fine."""
    (tmp_path / "log").write_bytes(b"old\nnew \xff\n")
    assert log_since(tmp_path / "log", 4) == "new \ufffd\n"
    assert log_since(tmp_path / "none", 0) == ""


def test_death_by_signal(tmp_path: Path) -> None:
    """The kernel's out-of-memory killer leaves no words; the signal is named."""
    assert "ended by signal 9" in explain_death(tmp_path, -signal.SIGKILL, "")


def test_cluster_ids() -> None:
    """Ids are 22 characters, differ, and never look like an option."""
    ids = {cluster_id() for _ in range(500)}
    assert len(ids) == 500
    assert all(len(name) == 22 and name[0] != "-" for name in ids)


def test_state_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    """No part file stays, and what is there is plain JSON for other programs."""
    RunningBroker(tmp_path, 9092, 1, 2.0, "t", "4.4.0").write()
    assert [path.name for path in tmp_path.iterdir()] == ["broker.json"]
    assert json.loads((tmp_path / "broker.json").read_text())["bootstrap_servers"] == "127.0.0.1:9092"
