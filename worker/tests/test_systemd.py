"""What systemd hears, on real sockets: with a path, and with an abstract name."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from worker.systemd import Systemd
from worker.tests.fakes import ManualClock


@pytest.fixture(params=["path", "abstract"])
def heard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of systemd, played."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
        own.bind(str(tmp_path / "notify") if request.param == "path" else f"\0clf-test-{os.getpid()}")
        own.settimeout(0)
        yield own


def address(own: socket.socket) -> str:
    """As NOTIFY_SOCKET has it."""
    name = own.getsockname()
    return f"@{name[1:].decode()}" if isinstance(name, bytes) else str(name)


def messages(own: socket.socket) -> list[str]:
    """All that came, oldest first."""
    found = []
    while True:
        try:
            found.append(own.recv(4096).decode())
        except BlockingIOError:
            return found


def test_a_life(heard: socket.socket) -> None:
    """Ready, what it does whenever that changes, and that it stops and how long that may take."""
    systemd = Systemd.of({"NOTIFY_SOCKET": address(heard)}, ManualClock())
    systemd.ready()
    for partitions in (0, 4, 4):
        systemd.status(f"Partitions assigned: {partitions}")
    systemd.alive()  # nobody watches
    systemd.stopping(45)
    assert messages(heard) == [
        "READY=1",
        "STATUS=Partitions assigned: 0",
        "STATUS=Partitions assigned: 4",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=45000000",
    ]


def test_pings(heard: socket.socket) -> None:
    """Four for each WatchdogSec, however often it is said to be alive."""
    clock = ManualClock()
    watched = {"NOTIFY_SOCKET": address(heard), "WATCHDOG_USEC": "8000000", "WATCHDOG_PID": str(os.getpid())}
    systemd = Systemd.of(watched, clock)
    for _ in range(8):
        systemd.alive()
        clock.now += 1
    assert messages(heard) == ["WATCHDOG=1"] * 4


@pytest.mark.parametrize("variables", [{"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
def test_no_pings(heard: socket.socket, variables: dict[str, str]) -> None:
    """For a watchdog of another process, or one that cannot be understood, there are none."""
    Systemd.of({"NOTIFY_SOCKET": address(heard), **variables}, ManualClock()).alive()
    assert messages(heard) == []


def test_children_hear_nothing_of_it() -> None:
    """The variables are gone afterwards: a server that `--processes` starts must not speak for all of them."""
    environment = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
    Systemd.of(environment, ManualClock())
    assert environment == {"HOME": "/"}


def test_without_systemd() -> None:
    """Nothing is sent, and nothing is said about that."""
    systemd = Systemd.of({"WATCHDOG_USEC": "8000000"}, ManualClock())
    with capture_logs() as entries:
        systemd.ready()
        systemd.alive()
        systemd.stopping(1)
    assert entries == []


@pytest.mark.parametrize("name", ["/nowhere/notify", "/" + 200 * "x", "/null\0byte"])
def test_a_socket_that_cannot_be_had(name: str) -> None:
    """Work goes on, with one warning."""
    systemd = Systemd.of({"NOTIFY_SOCKET": name}, ManualClock())
    with capture_logs() as entries:
        systemd.ready()
        systemd.stopping(1)
    assert [entry["event"] for entry in entries] == ["systemd_not_told"]


def test_another_kind_of_socket() -> None:
    """What is neither a path nor an abstract name is said, and left alone."""
    with capture_logs() as entries:
        Systemd.of({"NOTIFY_SOCKET": "vsock:2:1234"}, ManualClock()).ready()
    assert [entry["event"] for entry in entries] == ["systemd_not_told"]
