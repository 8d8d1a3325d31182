"""The slot of a worker: a name that stays the same after every restart and that no other worker has meanwhile.

The transactional id is made of it. A restarted worker thereby takes over its own open transaction at once; with a new
name for every start, readers would wait until the broker times the old one out.
"""

import fcntl
import os
import re
import socket
import stat
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

AUTO = "auto"
_MOST_SLOTS = 1000
_WRITABLE_BY_OTHERS = 0o022
_LONGEST_WORD = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class SlotError(Exception):
    """The slot cannot be had. The text says what to do."""


class Slot:
    """A slot, held by a lock on a file until this object is closed or the process ends in whatever way.

    The lock guards one host. Across hosts the broker does: the later of two workers with one slot fences the earlier.
    """

    def __init__(self, group: str, name: str, directory: Path | None = None) -> None:
        """Take the slot `name` of `group`, or with `auto` the first free one of this host.

        Raises:
            SlotError: another process on this host has it.
        """
        self._group = group
        self._directory = directory or Path(tempfile.gettempdir()) / f"clf-slots-{os.getuid()}"
        self._file: int | None = None
        self.word = ""
        """What this slot's last holder left for the next one."""
        self.name = self._take_free() if name == AUTO else self._take_named(name)

    @property
    def transactional_id(self) -> str:
        """The transactional id of this slot's producer."""
        return f"{self._group}-{self.name}"

    def leave(self, word: str) -> None:
        """Leave a word for the next holder, in the place of the last one.

        Raises:
            OSError: it could not be written.
        """
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, word.encode(), 0)

    def close(self) -> None:
        """Let go of the slot."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take_named(self, name: str) -> str:
        if not self._lock(name):
            raise SlotError(
                f"Slot {name} of group {self._group} is in use by another worker on this host. "
                "Stop that one, give this one another --slot, or leave the option out to take a free one."
            )
        return name

    def _take_free(self) -> str:
        host = socket.gethostname() or "localhost"
        for number in range(_MOST_SLOTS):
            name = f"{host}-{number}"
            if self._lock(name):
                return name
        raise SlotError(f"All {_MOST_SLOTS} slots of group {self._group} on this host are in use.")

    def _lock(self, name: str) -> bool:
        path = self._directory / _UNSAFE.sub("_", f"{self._group}-{name}.lock")
        try:
            self._prepare_directory()
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise SlotError(f"The slot's lock file {path} cannot be opened: {error.strerror}.") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            if isinstance(error, BlockingIOError):
                return False
            raise SlotError(f"The slot's lock file {path} cannot be locked: {error.strerror}.") from error
        self._file = file
        self.word = os.pread(file, _LONGEST_WORD, 0).decode(errors="replace")
        return True

    def _prepare_directory(self) -> None:
        """Make the directory, or check that nobody else can put anything there: it lies where everybody may write."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        found = self._directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & _WRITABLE_BY_OTHERS:
            raise SlotError(
                f"{self._directory} is not a directory that only this user can write, so its locks prove nothing. "
                "Remove it, or set TMPDIR to a directory of your own."
            )
