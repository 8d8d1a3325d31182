"""deploy/systemd: the units are right and safe by systemd's own word, and clf speaks with it as they say."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration_tests.system import STOP_TIMEOUT_S, System, wait_until
from worker.config import Guarantee
from worker.lifecycle import ExitCode

ROOT = Path(__file__).parents[1]
UNITS = {"clf-worker@1.service": "clf-worker@.service", "clf-serve.service": "clf-serve.service"}
PROGRAM = "/opt/clf/bin/clf"
# Of ten times the points that `systemd-analyze security` gives; what remains is the network, and the host's own /usr.
MOST_EXPOSED = 14
START_SECONDS = 100.0
# prctl(2): no memory that is both writable and executable (MemoryDenyWriteExecute), no new privileges.
CONFINED = """
import ctypes, os, sys
for option in (65, 38):
    ctypes.CDLL(None).prctl(option, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def text_of(unit: str) -> str:
    """One unit as it is shipped."""
    return (ROOT / "deploy" / "systemd" / UNITS[unit]).read_text("utf-8")


def setting(unit: str, name: str) -> str:
    """The last value of a setting."""
    return str(re.findall(rf"^{name}=(.*)$", text_of(unit), re.MULTILINE)[-1])


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Ask systemd-analyze."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("There is no systemd-analyze here (Debian: apt install systemd).")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def verify(directory: Path, unit: str, text: str) -> str:
    """What `systemd-analyze verify` has to say of a unit; nothing when all is well."""
    program = directory / "clf"
    program.write_text("#!/bin/sh\n", "utf-8")
    program.chmod(0o755)
    path = directory / unit
    path.write_text(text.replace(PROGRAM, str(program)), "utf-8")
    done = analyze("verify", str(path))
    # Other units of the host are not ours to judge.
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "clf" in line]
    return "\n".join(lines)


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_is_right(tmp_path: Path, unit: str) -> None:
    """Every setting exists and has a value that it may have."""
    assert verify(tmp_path, unit, text_of(unit)) == ""


@pytest.mark.parametrize("wrong", ["WatchdogSecs=30", "RestartSec=soon", "ProtectSystem=strictly", "Type=notifying"])
def test_a_wrong_unit(tmp_path: Path, wrong: str) -> None:
    """Misspelt settings and values are found, so the test above says something."""
    name = wrong.partition("=")[0]
    text = text_of("clf-serve.service")
    text = (
        re.sub(rf"^{name}=.*$", wrong, text, flags=re.MULTILINE)
        if f"\n{name}=" in text
        else f"{text}\n[Service]\n{wrong}\n"
    )
    assert verify(tmp_path, "clf-serve.service", text)


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_is_safe(tmp_path: Path, unit: str) -> None:
    """Its exposure stays below the limit; without the sandbox it does not."""
    for text, safe in ((text_of(unit), True), (text_of(unit).partition("DynamicUser=yes")[0], False)):
        (tmp_path / unit).write_text(text, "utf-8")
        done = analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", str(tmp_path / unit))
        assert (done.returncode == 0) is safe, done.stdout


def test_the_numbers_fit_the_code() -> None:
    """A stuck worker ends by itself before systemd ends it; wrong usage is not tried again, and all else is."""
    worker = "clf-worker@1.service"
    assert float(setting(worker, "WatchdogSec")) > 2 * Guarantee().stuck_after
    assert float(setting(worker, "TimeoutStopSec")) > Guarantee().drain_timeout
    for unit in UNITS:
        assert setting(unit, "RestartPreventExitStatus") == str(int(ExitCode.USAGE))
        assert setting(unit, "Restart") == "on-failure"


class Manager:
    """systemd, played: starts a unit's own command with a socket, and hears what comes."""

    def __init__(self, directory: Path, unit: str, **environment: str) -> None:
        """Start it, asking for a ping every half second at least."""
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0clf-systemd-{os.getpid()}")
        self._socket.settimeout(0)
        self._log = directory / "log"
        line = re.sub(r"/run/[^/ ]+", str(directory), setting(unit, "ExecStart")).replace("%l-%i", "host-1")
        command = [sys.executable, "-c", CONFINED, sys.executable, "-m", "worker", *shlex.split(line)[1:]]
        variables = {
            "NOTIFY_SOCKET": f"@clf-systemd-{os.getpid()}",
            "WATCHDOG_USEC": "500000",
            "PYTHONPATH": str(ROOT),
            **dict(item.split("=") for item in setting(unit, "Environment").split()),
            **environment,
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=directory, env={**os.environ, **variables}, stderr=log)

    def has_heard(self, start: str) -> int:
        """How many messages began so."""
        while True:
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return sum(message.startswith(start) for message in self.heard)

    def awaits(self, start: str, times: int = 1) -> None:
        """Wait for messages that begin so."""
        what = f"{start}, {times} times"

        def came() -> bool:
            assert self.process.poll() is None, self._log.read_text("utf-8")
            return self.has_heard(start) >= times

        wait_until(came, what, START_SECONDS)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self._socket.close()


@contextmanager
def managed(directory: Path, unit: str, environment: Mapping[str, str]) -> Iterator[Manager]:
    """A unit that runs for the time of the block."""
    manager = Manager(directory, unit, **environment)
    try:
        yield manager
    finally:
        manager.close()


@pytest.mark.broker
@pytest.mark.timeout(300)  # on a busy machine the broker alone takes a minute
def test_a_worker(system: System, tmp_path: Path) -> None:
    """Ready, its partitions, pings while it gets on, none while it stands still, and how long its stop may take."""
    settings = {
        "CLF_BOOTSTRAP_SERVERS": system.kafka.bootstrap_servers,
        "CLF_DOCUMENTS": system.documents,
        "CLF_CLASSIFICATIONS": system.classifications,
        "CLF_DEAD_LETTERS": system.dead_letters,
        "CLF_GROUP": system.group,
        "CLF_SCORING": "false",
    }
    with managed(tmp_path, "clf-worker@1.service", settings) as manager:
        manager.awaits("READY=1")
        manager.awaits("STATUS=Partitions assigned: 4")
        manager.awaits("WATCHDOG=1", 2)
        manager.process.send_signal(signal.SIGTERM)
        assert manager.process.wait(STOP_TIMEOUT_S) == 0
        assert manager.has_heard("STOPPING=1\nEXTEND_TIMEOUT_USEC=45000000") == 1


def test_servers(tmp_path: Path) -> None:
    """One process speaks for all: ready once when every server is, pings, and a stop with the time it takes."""
    settings = {"CLF_SCORING": "false", "CLF_GRPC_PORT": "0", "CLF_HTTP_PORT": "0", "CLF_LAME_DUCK": "0"}
    with managed(tmp_path, "clf-serve.service", {**settings, "CLF_PROCESSES": "2"}) as manager:
        manager.awaits("READY=1")
        manager.awaits("WATCHDOG=1", 3)
        manager.process.send_signal(signal.SIGTERM)
        assert manager.process.wait(STOP_TIMEOUT_S) == 0
        assert manager.has_heard("READY=1") == 1
        assert manager.has_heard("STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000") == 1
