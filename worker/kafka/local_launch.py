"""How the local broker's Java process is set up, started and, when it dies, understood."""

import base64
import errno
import os
import re
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from worker.kafka.local_base import BrokerError
from worker.kafka.local_jars import settings_directory

HOST = "127.0.0.1"
MIN_FREE_BYTES = 100 * 2**20
MAX_LOG_BYTES = 10 * 2**20
FORMAT_TIMEOUT_S = 60.0
LAST_LINES = 12
JVM_OPTIONS = (
    "-Xms48m",  # the JVM would begin with all of -Xmx and use it before it collects anything
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",  # no file under the system's temporary directory
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)


class PortTakenError(BrokerError):
    """Another program listens on the port."""


class Ports(NamedTuple):
    """Two different ports of 127.0.0.1."""

    clients: int
    controller: int


class SecondListener(NamedTuple):
    """A further port for clients, which are told another one: that of a proxy in front of it."""

    port: int
    advertised: int


class Node(NamedTuple):
    """One of several brokers that make a cluster; each of them is a controller too.

    `number` counts from 1, `controllers` are the ports of all controllers in that order, and `cluster` is the id that
    all share.
    """

    number: int
    controllers: Sequence[int]
    cluster: str
    settings: Mapping[str, str] = {}


def choose_ports(port: int) -> Ports:
    """Free ports; `port` itself for the clients unless it is 0. Raises PortTakenError when that one is taken."""
    with socket.socket() as clients, socket.socket() as controller:
        # As Kafka does: a port in TIME_WAIT after a kill is free, one that somebody listens on is not.
        clients.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            clients.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise PortTakenError(_explain_port(port, error)) from error
        controller.bind((HOST, 0))
        return Ports(clients.getsockname()[1], controller.getsockname()[1])


def _explain_port(port: int, error: OSError | OverflowError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"Port {port} of {HOST} is taken by another program. Choose another --port, or leave it out."
    return f"Port {port} of {HOST} cannot be used ({error}). Choose one from 1024 to 65535, or leave it out."


@dataclass(frozen=True, slots=True)
class Launch:
    """One way to run Kafka's Java classes with everything they write kept in `directory`."""

    java: str
    jars: Path
    directory: Path
    heap_mib: int
    follow_parent: bool
    second: SecondListener | None = None
    node: Node | None = None

    @property
    def log_file(self) -> Path:
        """Standard output of the broker, Java's own messages included."""
        return self.directory / "broker.log"

    def choose_ports(self, port: int) -> Ports:
        """Free ones, as far as nobody else needs to know them beforehand."""
        ports = choose_ports(port)
        return ports if self.node is None else ports._replace(controller=self.node.controllers[self.node.number - 1])

    def prepare(self, ports: Ports) -> None:
        """Write the settings and, the first time, format the storage."""
        (self.directory / "tmp").mkdir(exist_ok=True)
        self._write_settings(ports, "data")
        data = self.directory / "data"
        if not (data / "meta.properties").is_file():
            if data.exists() and any(data.iterdir()):
                raise BrokerError(f"{data} holds something that is not a broker's data. Choose another --directory.")
            self._format(ports)

    def _write_settings(self, ports: Ports, data: str) -> Path:
        """Write server.properties (or its twin for formatting) for these ports and that data directory."""
        fixed = (settings_directory() / "server.properties").read_text("utf-8")
        name = "server.properties" if data == "data" else f"{data}.properties"
        path = self.directory / name
        path.write_text(
            f"{fixed}\n# Written by `clf kafka start`; changes here are lost.\n"
            f"{self._listeners(ports)}"
            f"{self._quorum(ports)}"
            f"log.dirs={_escape(self.directory / data)}\n",
            "utf-8",
        )
        return path

    def _quorum(self, ports: Ports) -> str:
        if self.node is None:
            return f"controller.quorum.voters=1@{HOST}:{ports.controller}\n"
        voters = ",".join(f"{number}@{HOST}:{port}" for number, port in enumerate(self.node.controllers, start=1))
        own = {"node.id": str(self.node.number), "controller.quorum.voters": voters, **self.node.settings}
        return "".join(f"{key}={value}\n" for key, value in own.items())  # the last line of a name is what counts

    def _listeners(self, ports: Ports) -> str:
        own = f"listeners=PLAINTEXT://{HOST}:{ports.clients},CONTROLLER://{HOST}:{ports.controller}"
        if self.second is None:
            return f"{own}\n"
        port, advertised = self.second
        return (
            f"{own},SECOND://{HOST}:{port}\n"
            f"advertised.listeners=PLAINTEXT://{HOST}:{ports.clients},SECOND://{HOST}:{advertised}\n"
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECOND:PLAINTEXT\n"
        )

    def _format(self, ports: Ports) -> None:
        """Format beside the final place and rename, so that an interrupted format never counts as done."""
        part = self.directory / "formatting"
        shutil.rmtree(part, ignore_errors=True)
        settings = self._write_settings(ports, "formatting")
        cluster = self.node.cluster if self.node else cluster_id()
        arguments = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings)]
        code, said = _run(self._command(*arguments))
        if code != 0:
            raise BrokerError(explain_death(self.directory, code, said))
        shutil.rmtree(self.directory / "data", ignore_errors=True)
        part.rename(self.directory / "data")
        settings.unlink()

    def spawn(self, token: str) -> "subprocess.Popen[bytes]":
        """Start the broker in a session of its own: Ctrl-C and a closed terminal do not reach it."""
        command = self._command(f"-Dclf.broker={token}", "kafka.Kafka", str(self.directory / "server.properties"))
        setpriv = shutil.which("setpriv") if self.follow_parent and sys.platform == "linux" else None
        if setpriv is not None:
            command = [setpriv, "--pdeathsig", "TERM", "--", *command]
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, start_new_session=True
            )

    def roll_log(self) -> int:
        """Keep broker.log within bounds; return its length, which is where this start's lines begin."""
        if not self.log_file.exists():
            return 0
        if self.log_file.stat().st_size > MAX_LOG_BYTES:
            self.log_file.replace(self.directory / "broker.log.1")
            return 0
        return self.log_file.stat().st_size

    def _command(self, *arguments: str) -> list[str]:
        scratch = self.directory / "tmp"
        return [
            self.java,
            f"-Xmx{self.heap_mib}m",
            *JVM_OPTIONS,
            f"-XX:ErrorFile={scratch / 'java_error_%p.log'}",
            f"-Djava.io.tmpdir={scratch}",
            f"-Dlog4j2.configurationFile={(settings_directory() / 'log4j2.properties').as_uri()}",
            "-cp",
            f"{self.jars}/*",
            *arguments,
        ]


def _run(command: list[str]) -> tuple[int, str]:
    """Exit code and words of a short-lived program."""
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=FORMAT_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BrokerError(
            f"Kafka did not format its storage within {FORMAT_TIMEOUT_S:.0f} s. Is the machine very busy? Try again."
        ) from error
    return result.returncode, result.stdout + result.stderr


def cluster_id() -> str:
    """A random Kafka cluster id (22 characters of base64), never one that looks like an option."""
    while True:
        name = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        if not name.startswith("-"):
            return name


def _escape(path: Path) -> str:
    """A path as the value of a Java properties file; Kafka splits log.dirs at commas."""
    text = str(path)
    if "," in text or text != text.strip() or "\n" in text:
        raise BrokerError(
            f"Kafka cannot keep data in {text!r}: no commas or outer spaces, please. Choose another place."
        )
    return "".join(c if c.isascii() and c != "\\" else _escape_character(c) for c in text)


def _escape_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def last_lines(text: str) -> str:
    """The end of a log, indented, for an error message."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(f"    {line[:300]}" for line in lines[-LAST_LINES:]) or "    (it said nothing)"


def log_since(path: Path, start: int) -> str:
    """What was added to a log after byte `start`, at most its last 256 KiB; empty without a log."""
    try:
        with path.open("rb") as handle:
            handle.seek(max(start, os.fstat(handle.fileno()).st_size - 2**18))
            return handle.read().decode("utf-8", "replace")
    except OSError:
        return ""


def explain_death(directory: Path, code: int, said: str) -> str:
    """Say why a broker ended before it was ready, from its exit code and its words."""
    unknown = "Its last lines may tell why; `clf kafka stop --delete-data` makes the next start begin from nothing"
    advice = next((advice for pattern, advice in _CAUSES if re.search(pattern, said)), unknown)
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"The broker in {directory} {how} before it was ready. {advice}. Its last log lines:\n{last_lines(said)}"


def is_port_conflict(said: str) -> bool:
    """Whether the broker died because one of its ports was taken."""
    return re.search(r"Address already in use|BindException", said) is not None


_CAUSES = (
    (
        r"No space left on device|Disk quota exceeded",
        "The disk is full: free some space, or choose another --directory",
    ),
    (r"UnsupportedClassVersionError", "This Java is too old: point JAVA_HOME at Java 17 or newer"),
    (
        r"OutOfMemoryError|Could not reserve enough space|insufficient memory|Cannot allocate memory",
        "There is not enough memory for it: close something, or change --heap",
    ),
    (r"Permission denied|AccessDenied", "It may not write there: choose another --directory"),
    (r"Failed to acquire lock", "Another broker uses this data: end it, or choose another --directory"),
    (
        r"InvalidConfigurationException|metadata\.version|InconsistentClusterId|CorruptRecord",
        "The data does not fit this version of Kafka: `clf kafka stop --delete-data` removes it",
    ),
)


def check_space(directory: Path) -> None:
    """Raise BrokerError when the disk has no room for a broker."""
    free = shutil.disk_usage(directory).free
    if free < MIN_FREE_BYTES:
        raise BrokerError(
            f"The disk that holds {directory} has {free // 2**20} MB left, a broker needs {MIN_FREE_BYTES // 2**20}. "
            "Free some space, or choose another --directory."
        )
