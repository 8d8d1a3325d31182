"""Which local broker runs in a directory: broker.json, and the process it names, never one that took over its pid."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

STATE_FILE = "broker.json"


@dataclass(frozen=True, slots=True)
class RunningBroker:
    """One broker process and how to reach it.

    `token` is random per start and stands in the process's command line: it tells the broker from a stranger that
    got the same pid later, even when the system's clock was turned. `started` is the start time in Unix seconds.
    """

    directory: Path
    port: int
    pid: int
    started: float
    token: str
    kafka_version: str

    @property
    def bootstrap_servers(self) -> str:
        """What clients connect to."""
        return f"127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        """What the broker says about itself."""
        return self.directory / "broker.log"

    def process(self) -> psutil.Process | None:
        """The live process, or None when it has ended (also when another process has its pid by now).

        psutil checks the start time again before it sends a signal, so the pid cannot be recycled in between.
        """
        try:
            process = psutil.Process(self.pid)
            ours = f"-Dclf.broker={self.token}" in process.cmdline()
            return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except (psutil.Error, ValueError, OverflowError):  # the last two: a pid that no system gives
            return None

    def memory_bytes(self) -> int:
        """Resident memory of the broker in bytes; 0 when it has ended."""
        process = self.process()
        try:
            return process.memory_info().rss if process else 0
        except psutil.Error:
            return 0

    def write(self) -> None:
        """Replace the directory's broker.json in one step."""
        document = {
            **asdict(self),
            "directory": str(self.directory),
            "bootstrap_servers": self.bootstrap_servers,
        }
        part = self.directory / f"{STATE_FILE}.part"
        with part.open("w", encoding="utf-8") as handle:
            json.dump(document, handle, indent=2)
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(self.directory / STATE_FILE)


def read_state(directory: Path) -> RunningBroker | None:
    """What broker.json says, whether or not that process lives; None without a file that makes sense."""
    try:
        found = json.loads((directory / STATE_FILE).read_text("utf-8"))
        return RunningBroker(
            directory=directory,
            port=int(found["port"]),
            pid=int(found["pid"]),
            started=float(found["started"]),
            token=str(found["token"]),
            kafka_version=str(found["kafka_version"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_running(directory: Path) -> RunningBroker | None:
    """The broker that runs in `directory`; None when none does."""
    state = read_state(directory)
    return state if state is not None and state.process() is not None else None
