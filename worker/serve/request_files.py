"""The files of the request log: the one of the present hour, and those that have been there long enough."""

import errno
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from worker.clock import Clock

log = structlog.get_logger(__name__)

_SWEEP_SECONDS = 60.0
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_FILE_MODE = 0o640
_NAME = re.compile(r"request-([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2})\.log")
_HOUR = slice(len("2026-11-26T10"))  # the part of a time that names the file
_CLOSED = -1


@dataclass(frozen=True, kw_only=True)
class RequestLogSettings:
    """Where the log is, and how much of it is kept.

    Attributes:
        directory: Made when it is missing.
        max_age_seconds: A file goes when all of its hour is older than this.
        max_bytes: The oldest files go while all have more. The present hour's stays, and takes nothing beyond it.
        with_text: Whether texts are written; if not, none is, whatever the entries hold.
        queue_entries: How many entries may wait for the disk.
    """

    directory: Path
    max_age_seconds: float
    max_bytes: int
    with_text: bool = False
    queue_entries: int = 10_000


class Files(Protocol):
    """How the log writes: two functions of `os`, which is what it gets outside tests."""

    def open(self, path: Path, flags: int, mode: int, /) -> int:
        """Open, and return the descriptor."""

    def write(self, file: int, data: bytes, /) -> int:
        """Write, and return how many bytes were taken."""


class HourFile:
    """The file of one hour. It stays open until another hour is asked for, or it lost its name."""

    def __init__(self, directory: Path, files: Files) -> None:
        self._directory, self._files = directory, files
        self._path, self._file, self._start = directory, _CLOSED, b""  # the last is what the next write begins with

    def open(self, hour: str) -> int:
        """Have the file of this hour open, and return its size."""
        path = self._directory / f"request-{hour}.log"
        if self._file != _CLOSED and path == self._path and self._has_its_name():
            return os.fstat(self._file).st_size
        self.close()
        self._file, self._path, self._start = self._files.open(path, _FLAGS, _FILE_MODE), path, b"\n"
        found = os.fstat(self._file)
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        # Whoever wrote last may have died, or found the disk full, in the middle of a line.
        if found.st_size == 0 or os.pread(self._file, 1, found.st_size - 1) == b"\n":
            self._start = b""
        return found.st_size

    def append(self, lines: Sequence[bytes]) -> int:
        """Append with one write, for others append too. Returns how many lines the file has whole."""
        data = self._start + b"".join(lines)
        first, written = len(self._start), 0
        try:
            written = self._files.write(self._file, data)
        finally:
            if written < len(data):
                self.close()  # how it ends is looked at when it is opened again
        self._start = b""
        # A line that lacks only its end is whole: the next write begins with that.
        return data.count(b"\n", first, written + 1)

    def close(self) -> None:
        """Let go of the file; `open` opens it again."""
        file, self._file = self._file, _CLOSED
        with suppress(OSError):  # it was closed already, or is so all the same
            os.close(file)

    def _has_its_name(self) -> bool:
        """Whether neither retention nor whoever rotates logs has removed or renamed the open file."""
        with suppress(FileNotFoundError):
            return os.path.samestat(self._path.lstat(), os.fstat(self._file))
        return False


class Sweeper:
    """Removes files that are too old or too many; those that are not named like a file of the log are not touched."""

    def __init__(self, settings: RequestLogSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._swept_in, self._swept_at = "", 0.0
        self._trouble = Trouble("request_log_cannot_remove", "request_log_removes_again", settings.directory)

    def sweep_when_due(self) -> None:
        """At start, in a new hour, and a minute after the last time."""
        hour, now = hour_of(self._clock.time()), self._clock.monotonic()
        if hour == self._swept_in and now - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_in, self._swept_at = hour, now
        try:
            self._trouble.now(self._sweep(hour))
        except OSError as error:
            self._trouble.now(str(error.strerror))

    def _sweep(self, present: str) -> str | None:
        """Returns why a file could not be removed, if so."""
        # Hours sort as their names do, and one begins at the time that names it and ends where the next begins.
        oldest = hour_of(max(0.0, self._clock.time() - self._settings.max_age_seconds))
        sizes = self._sizes()
        total = sum(sizes.values())
        why: str | None = None
        for hour in sorted(sizes.keys() - {present}):
            if hour < oldest or total > self._settings.max_bytes:
                try:
                    with suppress(FileNotFoundError):  # another process was faster
                        (self._settings.directory / f"request-{hour}.log").unlink()
                    total -= sizes[hour]
                except OSError as error:
                    why = str(error.strerror)
        return why

    def _sizes(self) -> dict[str, int]:
        sizes = {}
        with os.scandir(self._settings.directory) as found:
            for item in found:
                if (match := _NAME.fullmatch(item.name)) and item.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        sizes[match[1]] = item.stat(follow_symlinks=False).st_size
        return sizes


class Trouble:
    """Says once that something fails, and once that it is over."""

    def __init__(self, beginning: str, end: str, directory: Path) -> None:
        self._beginning, self._end, self._directory = beginning, end, str(directory)
        self._lasts = False

    def now(self, why: str | None) -> None:
        """Why it fails now; None when it works."""
        if why is not None and not self._lasts:
            log.warning(self._beginning, reason=why, directory=self._directory)
        elif why is None and self._lasts:
            log.info(self._end, directory=self._directory)
        self._lasts = why is not None


def timestamp(time: float) -> str:
    """A time as entries have it, in UTC and always of one length."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


def hour_of(time: float) -> str:
    """The part of it that names a file."""
    return timestamp(time)[_HOUR]
