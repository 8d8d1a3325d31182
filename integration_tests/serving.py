"""`clf serve` as a process in a directory of its own."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson

from integration_tests.system import CLF, STOP_TIMEOUT_S, wait_until

DEFAULTS = ("--grpc-port", "0", "--http-port", "0", "--lame-duck", "0.5", "--log-format", "json")


class ServeProcess:
    """One `clf serve`, from its start until the end of the `with` block, where it is killed when it still runs."""

    def __init__(self, directory: Path, options: Sequence[str]) -> None:
        """Start it; the block begins when it may take traffic. What `options` say counts more than `DEFAULTS`."""
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self._log = directory / "log"
        self._service_file = directory / "service.json"
        self._service_file.unlink(missing_ok=True)
        command = [*CLF, "serve", *DEFAULTS, *options]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=directory, stderr=log, stdin=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        try:
            wait_until(self._ready, "the server is ready")
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def services(self) -> dict[str, str]:
        """Name -> "host:port" of all that it opened."""
        found: dict[str, str] = orjson.loads(self._service_file.read_bytes())["services"]
        return found

    @property
    def grpc(self) -> str:
        """The "host:port" for calls."""
        return self.services["clf-grpc"]

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

    def freeze(self) -> None:
        """SIGSTOP: its connections stay, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"The server ended with {self.process.returncode}:\n{self.log()}")
        try:
            return self._service_file.exists() and self.get("/ready")[0] == 200
        except OSError:
            return False  # it is just going; the next look finds its exit code
