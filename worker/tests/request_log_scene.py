"""What the tests of the request log share: a log, its clock and its disk."""

import errno
import os
import threading
from collections import Counter
from collections.abc import MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from worker.serve.request_files import RequestLogSettings
from worker.serve.request_log import Entry, RequestLog
from worker.tests.fakes import ManualClock

NOW = datetime(2026, 11, 26, 10, 18, 3, 123456, UTC).timestamp()
HOUR, END = 3600.0, ',"ms":0.412}'  # the end of a line that is whole
THIS, NEXT = "request-2026-11-26T10.log", "request-2026-11-26T11.log"
PATIENCE = 20.0  # seconds until a test that waits for another thread has failed
FULL = OSError(errno.ENOSPC, "No space left on device")
Logs = list[MutableMapping[str, Any]]


class Disk:
    """The real one, but for what a test says of the next writes: so many bytes are taken, or it fails."""

    open = staticmethod(os.open)

    def __init__(self) -> None:
        self.takes: list[int | OSError] = []
        self.writes: list[bytes] = []
        self.asked, self.answers = threading.Event(), threading.Event()
        self.answers.set()

    def write(self, file: int, data: bytes) -> int:
        """Hang while `answers` is not set, then write or fail."""
        self.asked.set()
        assert self.answers.wait(PATIENCE)
        self.writes.append(data)
        taken = self.takes.pop(0) if self.takes else len(data)
        if isinstance(taken, OSError):
            raise taken
        return os.write(file, data[:taken])


class Scene:
    """A log and all that it is built on."""

    def __init__(self, directory: Path, **changes: Any) -> None:  # noqa: ANN401 - any setting
        some: dict[str, Any] = {"directory": directory, "max_age_seconds": 24 * HOUR, "max_bytes": 10**9}
        self.directory, self.clock, self.disk = directory, ManualClock(NOW), Disk()
        self.drops, self._lock = Counter[str](), threading.Lock()
        self.log = RequestLog(RequestLogSettings(**some | changes), self.clock, self.dropped, self.disk)

    def dropped(self, reason: str, entries: int) -> None:
        """Count them; any thread may call."""
        with self._lock:
            self.drops[reason] += entries

    def write(self, *urls: str, **changes: Any) -> None:  # noqa: ANN401 - any field
        """Add an entry for each URL, and drain."""
        for url in urls:
            self.log.add(entry(url, **changes))
        self.log.drain()

    def lines(self, name: str = THIS) -> list[str]:
        """What is in a file."""
        return (self.directory / name).read_text().splitlines()

    def urls(self, name: str = THIS) -> list[str]:
        """The URLs in a file, whose lines are all whole."""
        return [orjson.loads(line)["url"] for line in self.lines(name)]

    def make(self, *names: str, size: int = 100) -> None:
        """Files of earlier."""
        for name in names:
            (self.directory / name).write_bytes(b"x" * size)

    def names(self) -> set[str]:
        """What is in the directory."""
        return {path.name for path in self.directory.iterdir()}


def entry(url: str = "a", time: float = NOW, **changes: Any) -> Entry:  # noqa: ANN401 - any field
    """An entry like most."""
    some = Entry(time, url, "Classify", "en", "classified", 9, 42, ("sport",), (("sport", 0.93),), "en/v1", 0.0004123)
    return some._replace(**changes)
