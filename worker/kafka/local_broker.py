"""A real single-node Apache Kafka on this machine: for the demo, the tests and for trying things out.

It listens on 127.0.0.1 only, keeps everything in one directory and is ready in about two seconds.
"""

import shutil
import socket
import struct
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from worker.clock import Clock, SystemClock
from worker.kafka.local_base import BrokerError, Say, locked, silent
from worker.kafka.local_jars import JarCache, find_java
from worker.kafka.local_launch import (
    HOST,
    Launch,
    Node,
    PortTakenError,
    SecondListener,
    check_space,
    explain_death,
    is_port_conflict,
    last_lines,
    log_since,
)
from worker.kafka.local_state import STATE_FILE, RunningBroker, find_running, read_state

if TYPE_CHECKING:
    import subprocess

__all__ = ["BrokerError", "LocalBroker", "PortTakenError", "RunningBroker", "answers", "delete_data", "find_running"]

READY_LINE = "Kafka Server started"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
PORT_ATTEMPTS = 5
POLL_S = 0.02
LOCK_FILE = "broker.lock"
OWN_FILES = ("broker.log", "broker.log.1", "server.properties", "formatting.properties", STATE_FILE, LOCK_FILE)
OWN_DIRECTORIES = ("data", "formatting", "tmp")


class LocalBroker:
    """Starts, stops and kills one broker. Usable again after `stop` and `kill`, on the same data."""

    def __init__(
        self,
        *,
        heap_mib: int = 256,
        jars: JarCache | None = None,
        say: Say = silent,
        clock: Clock | None = None,
        second: SecondListener | None = None,
        node: Node | None = None,
    ) -> None:
        """For tests: `second` is a listener behind a proxy, `node` makes this one of several brokers."""
        self.running: RunningBroker | None = None
        self._heap_mib = heap_mib
        self._jars = jars
        self._say = say
        self._clock = clock or SystemClock()
        self._second = second
        self._node = node
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, directory: Path, *, port: int = 0, follow_parent: bool = False) -> RunningBroker:
        """Start a broker that keeps its data in `directory`, or return the one that already runs there.

        Args:
            directory: made when missing; a broker that was stopped or killed here goes on with its data.
            port: of 127.0.0.1, for clients; 0 takes a free one.
            follow_parent: the broker ends when the calling thread does (Linux with `setpriv`; ignored elsewhere).

        Raises:
            BrokerError: no Java or Maven, port taken, disk full, or the broker died (with its last log lines).
        """
        directory = directory.absolute()
        if self.running is not None and self.running.directory != directory and self.running.process() is not None:
            raise BrokerError(f"This LocalBroker runs in {self.running.directory}; use another one for {directory}.")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with locked(directory / LOCK_FILE, self._clock, START_TIMEOUT_S + STOP_TIMEOUT_S, self._say):
                return self._reuse(directory, port) or self._start(directory, port, follow_parent=follow_parent)
        except OSError as error:
            raise BrokerError(
                f"The broker cannot work in {directory}: {error}. Make it writable, with space on its disk, or choose "
                "another --directory."
            ) from error

    def attach(self, directory: Path) -> RunningBroker | None:
        """Take over the broker that runs in `directory`, so that `stop` and `kill` mean it; None when none does."""
        self.running = find_running(directory.absolute())
        return self.running

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """End the broker (SIGTERM, after `timeout_s` SIGKILL); False when none ran. Its data stays."""
        broker = self.running
        ended = broker is not None and self._end(broker, timeout_s)
        if broker is not None and read_state(broker.directory) == broker:
            (broker.directory / STATE_FILE).unlink(missing_ok=True)
        self.running = None
        return ended

    def kill(self) -> bool:
        """End the broker with SIGKILL, as a crash would; False when none ran. Its data and broker.json stay."""
        ended = self.running is not None and self._end(self.running, 0)
        self.running = None
        return ended

    def _reuse(self, directory: Path, port: int) -> RunningBroker | None:
        running = self.attach(directory)
        if running is None:
            return None
        if port not in (0, running.port):
            raise BrokerError(
                f"A broker already runs in {directory}, on {running.bootstrap_servers} and not on port {port}. "
                "Stop it first (`clf kafka stop`), or choose another --directory."
            )
        self._wait_until_it_answers(running)
        return running

    def _wait_until_it_answers(self, broker: RunningBroker) -> None:
        deadline = self._clock.monotonic() + START_TIMEOUT_S
        while not answers(broker.port):
            if broker.process() is None or self._clock.monotonic() > deadline:
                raise BrokerError(
                    f"The broker in {broker.directory} (pid {broker.pid}) does not answer on "
                    f"{broker.bootstrap_servers}. Stop it (`clf kafka stop`), then start it again."
                )
            self._clock.sleep(POLL_S)

    def _start(self, directory: Path, port: int, *, follow_parent: bool) -> RunningBroker:
        check_space(directory)
        java = find_java()
        jars = self._jars or JarCache.default()
        installed = jars.ensure(self._say, self._clock)
        launch = Launch(java, installed, directory, self._heap_mib, follow_parent, self._second, self._node)
        for _ in range(PORT_ATTEMPTS - 1):
            try:
                return self._launch(launch, port, jars.version)
            except PortTakenError:
                if port:
                    raise
                # Between our choice and the broker's bind somebody else took a port: choose again.
        return self._launch(launch, port, jars.version)

    def _launch(self, launch: Launch, port: int, version: str) -> RunningBroker:
        ports = launch.choose_ports(port)
        launch.prepare(ports)
        token = uuid.uuid4().hex
        log_start = launch.roll_log()
        child = launch.spawn(token)
        try:
            started = psutil.Process(child.pid).create_time()
            broker = RunningBroker(launch.directory, ports.clients, child.pid, started, token, version)
            broker.write()
            self._wait_until_ready(child, broker, log_start)
        except BaseException:
            child.kill()
            child.wait()
            (launch.directory / STATE_FILE).unlink(missing_ok=True)
            raise
        self._child, self.running = child, broker
        return broker

    def _wait_until_ready(self, child: "subprocess.Popen[bytes]", broker: RunningBroker, log_start: int) -> None:
        """Wait for the broker's own word: a port that answers could be somebody else's."""
        deadline = self._clock.monotonic() + START_TIMEOUT_S
        while READY_LINE not in (said := log_since(broker.log_file, log_start)):
            if (code := child.poll()) is not None:
                raise _death(broker, code, log_since(broker.log_file, log_start))
            if self._clock.monotonic() > deadline:
                raise BrokerError(
                    f"The broker was not ready within {START_TIMEOUT_S:.0f} s and has been ended. "
                    f"The last lines of {broker.log_file}:\n{last_lines(said)}"
                )
            self._clock.sleep(POLL_S)

    def _end(self, broker: RunningBroker, timeout_s: float) -> bool:
        process = broker.process()
        if process is not None:
            _end_process(process, timeout_s)
        if self._child is not None and self._child.pid == broker.pid:
            self._child.wait()
            self._child = None
        return process is not None


def _death(broker: RunningBroker, code: int, said: str) -> BrokerError:
    kind = PortTakenError if is_port_conflict(said) else BrokerError
    return kind(explain_death(broker.directory, code, said))


def _end_process(process: psutil.Process, timeout_s: float) -> None:
    """Terminate, then kill. psutil compares the start time first: a recycled pid gets no signal."""
    try:
        if timeout_s > 0:
            process.terminate()
            try:
                process.wait(timeout_s)
            except psutil.TimeoutExpired:
                pass
            else:
                return
        process.kill()
        process.wait(STOP_TIMEOUT_S)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired as error:
        raise BrokerError(
            f"The broker (pid {process.pid}) does not end, not even by SIGKILL. Is a disk stuck?"
        ) from error


def answers(port: int, timeout_s: float = 1.0) -> bool:
    """Whether something on this port of 127.0.0.1 answers an ApiVersions request (version 0) as Kafka does."""
    correlation = 0x636C66
    body = struct.pack(">hhih", 18, 0, correlation, -1)  # api key, version, correlation id, no client id
    try:
        with socket.create_connection((HOST, port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            reply = connection.makefile("rb").read(8)
    except (OSError, OverflowError):
        return False
    return len(reply) == 8 and struct.unpack(">ii", reply)[1] == correlation  # noqa: PLR2004 - length and correlation id


def delete_data(directory: Path) -> None:
    """Remove what a broker wrote into `directory`, and the directory when nothing else is in it.

    Raises:
        BrokerError: a broker still runs there.
    """
    if find_running(directory) is not None:
        raise BrokerError(f"A broker runs in {directory}; its data cannot be removed. Stop it first.")
    for name in OWN_DIRECTORIES:
        shutil.rmtree(directory / name, ignore_errors=True)
    for name in OWN_FILES:
        (directory / name).unlink(missing_ok=True)
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()
