"""`clf serve --processes N`: server processes with ports of their own, started, watched and stopped together.

One process uses little more than one core, because Python runs one thread at a time. Each of these is a whole server;
this one only keeps them running, tells their ports, and registers them.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path

import structlog

from models.opening import is_url
from models.store import StoreError
from worker import logs
from worker.clock import Clock, SystemClock
from worker.config import Scoring, ServeConfig
from worker.lifecycle import ExitCode, StopSignals
from worker.options import arguments
from worker.registration import RegistryError, registered
from worker.serve.scratch import ScratchError, scratch_directory
from worker.serve.service_file import (
    GRPC,
    HEALTH,
    ServiceFileError,
    read_service_file,
    remove_service_file,
    write_service_file,
)
from worker.serve_app import SUPERVISOR_VARIABLE
from worker.serving_models import store_of
from worker.stream.deadline import Deadline
from worker.systemd import Systemd

log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.1
_START_SECONDS = 120.0
_STOP_SECONDS = 15.0  # beyond what the servers themselves take
_LEAVE_SECONDS = 20.0  # for Consul, before that
_MOST_RESTARTS, _WITHIN_SECONDS = 5, 60.0
_RESTART_SECONDS = 1.0
# How a server ends that was told to: one that had not come as far as handling signals ends by SIGTERM itself.
_STOPPED = {ExitCode.CLEAN, -signal.SIGTERM}
# How one ends that will not start the next time either.
_CANNOT_START = {ExitCode.USAGE, ExitCode.CANNOT_START}


class SupervisorError(Exception):
    """The servers cannot be kept running. The text says why."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(slots=True)
class Child:
    """One server process."""

    number: int
    config: ServeConfig
    process: "subprocess.Popen[bytes]"
    ports: dict[str, str] | None = None


def run_servers(config: ServeConfig, clock: Clock | None = None) -> int:
    """Run `config.grpc.processes` servers until told to stop. Returns the exit code (`worker.lifecycle.ExitCode`).

    Their ports count up from those of `config`; 0 takes free ones.
    """
    logs.configure(config.logging)
    clock = clock or SystemClock()
    try:
        with scratch_directory(clock.time()) as directory:
            return _run(config, directory, clock)
    except ScratchError as error:
        log.error("cannot_start", reason=str(error))  # noqa: TRY400 - the sentence is the message, not the stack
        return ExitCode.CANNOT_START


def copy_models(scoring: Scoring) -> None:
    """Copy the models of a URL, if it is one: servers have a limited time to be ready, and a copy may take longer.

    Raises:
        StoreError: they cannot be had, or are refused.
    """
    if scoring.scoring and is_url(scoring.models):
        store_of(scoring).load_active()


def _run(config: ServeConfig, directory: Path, clock: Clock) -> int:
    supervisor = _Supervisor(config, directory, clock)
    with StopSignals(supervisor.force).installed() as signals:
        try:
            copy_models(config.scoring)
            return supervisor.run(signals)
        except (RegistryError, StoreError) as error:
            log.error("cannot_start", reason=str(error))  # noqa: TRY400 - the sentence is the message, not the stack
            return ExitCode.CANNOT_START
        except SupervisorError as error:
            log.error("cannot_start" if error.exit_code == ExitCode.CANNOT_START else "fatal", reason=str(error))  # noqa: TRY400 - as above
            return error.exit_code
        except Exception:
            log.exception("fatal", reason="This is a bug.")
            return ExitCode.FATAL
        finally:
            supervisor.stop()
            remove_service_file(config.serve_http.service_file)


class _Supervisor:
    def __init__(self, config: ServeConfig, directory: Path, clock: Clock) -> None:
        self._config = config
        self._directory = directory
        self._clock = clock
        self._systemd = Systemd.of(os.environ, clock)
        self._children: list[Child] = []
        self._restarts: list[float] = []

    def run(self, signals: StopSignals) -> int:
        """Start all, watch over them, stop all."""
        for number in range(self._config.grpc.processes):
            config = self._config_of(number)
            self._children.append(Child(number, config, self._start(number, config)))
        if not self._await_ready(signals):
            return self.stop()
        ports = self._ports()
        self._tell(ports)
        with registered(self._config, ports, lambda _: None):
            self._systemd.ready()
            while not signals.wait(_POLL_SECONDS):
                self._watch()
                self._systemd.alive()
            self._systemd.stopping(_LEAVE_SECONDS + self._stop_seconds)
        return self.stop()

    def stop(self) -> int:
        """SIGTERM to all, and wait: they drain at the same time. Returns the exit code."""
        running = [child for child in self._children if child.process.poll() is None]
        for child in running:
            child.process.send_signal(signal.SIGTERM)
        deadline = Deadline(self._clock, self._stop_seconds)
        clean = True
        for child in running:
            try:
                clean &= child.process.wait(deadline.remaining()) in _STOPPED
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
                clean = False
        return ExitCode.CLEAN if clean else ExitCode.FATAL

    @property
    def _stop_seconds(self) -> float:
        grpc = self._config.grpc
        return grpc.lame_duck + grpc.grace + _STOP_SECONDS

    def force(self) -> None:
        """A second signal: leave at once, and take the servers along."""
        for child in self._children:
            child.process.kill()
        os._exit(ExitCode.FATAL)

    # --- starting -----------------------------------------------------------------------------------------------

    def _config_of(self, number: int) -> ServeConfig:
        config = self._config
        grpc, http = config.grpc, config.serve_http
        return replace(
            config,
            grpc=replace(
                grpc,
                processes=1,
                grpc_port=grpc.grpc_port and grpc.grpc_port + number,
                core=(grpc.core or 0) + number,
            ),
            serve_http=replace(
                http,
                http_port=http.http_port and http.http_port + number,
                service_file=self._directory / f"{number}.json",
            ),
            registration=replace(config.registration, register=False),
            consul=replace(config.consul, consul_token=""),  # a command line is no place for it
        )

    def _start(self, number: int, config: ServeConfig) -> "subprocess.Popen[bytes]":
        config.serve_http.service_file.unlink(missing_ok=True)
        options = [argument for group in fields(config) for argument in arguments(getattr(config, group.name))]
        # A session of its own: Ctrl-C is for this process, which then stops the servers in order.
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "serve", *options],
            env={**os.environ, SUPERVISOR_VARIABLE: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        log.info("server_started", number=number, pid=process.pid)
        return process

    def _await_ready(self, signals: StopSignals) -> bool:
        """Wait for all; False when a signal came first."""
        deadline = Deadline(self._clock, _START_SECONDS)
        while any(child.ports is None for child in self._children):
            if signals.wait(_POLL_SECONDS):
                return False
            for child in self._children:
                self._look(child)
            if deadline.expired:
                raise SupervisorError(f"The servers were not ready within {_START_SECONDS:g} s.", ExitCode.FATAL)
        return True

    def _tell(self, ports: dict[str, str]) -> None:
        path = self._config.serve_http.service_file
        try:
            write_service_file(path, ports)
        except OSError as error:
            raise SupervisorError(
                f"{path} cannot be written: {error}. Name another with --service-file.", ExitCode.CANNOT_START
            ) from error
        log.info("started", services=ports)

    def _look(self, child: Child) -> None:
        if child.process.poll() is not None:
            code = ExitCode.CANNOT_START if child.process.returncode in _CANNOT_START else ExitCode.FATAL
            raise SupervisorError(
                f"Server {child.number} ended with exit code {child.process.returncode} before it was ready; its "
                "reason is above.",
                code,
            )
        if child.config.serve_http.service_file.exists():
            try:
                child.ports = read_service_file(child.config.serve_http.service_file)
            except ServiceFileError:
                return  # it has ended meanwhile; the next look finds that

    # --- watching -----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Start again whoever has ended, with the ports it had."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                now = self._clock.monotonic()
                self._restarts = [at for at in self._restarts if now - at < _WITHIN_SECONDS] + [now]
                if len(self._restarts) > _MOST_RESTARTS:
                    raise SupervisorError(
                        f"Servers ended {len(self._restarts)} times in {_WITHIN_SECONDS:g} s; the reasons are above.",
                        ExitCode.FATAL,
                    )
                log.error("server_ended", number=child.number, exit_code=code, advice="It is started again.")
                self._clock.sleep(_RESTART_SECONDS)
                child.config = _with_ports(child.config, child.ports or {})
                child.process = self._start(child.number, child.config)

    def _ports(self) -> dict[str, str]:
        """Those of the first process under the plain names, those of the others with their number behind."""
        return {
            name if child.number == 0 else f"{name}-{child.number}": address
            for child in self._children
            for name, address in (child.ports or {}).items()
        }


def _with_ports(config: ServeConfig, ports: dict[str, str]) -> ServeConfig:
    grpc, health = (int(ports[name].rpartition(":")[2]) for name in (GRPC, HEALTH))
    return replace(
        config,
        grpc=replace(config.grpc, grpc_port=grpc),
        serve_http=replace(config.serve_http, http_port=health),
    )
