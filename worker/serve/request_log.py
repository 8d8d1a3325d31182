"""The request log: one JSON line per answered document, in hourly files, written off the path of the calls.

A call only appends to a queue in memory. A thread of its own wakes a few times a second, encodes what waits and appends
it, so a slow, hung or full disk costs entries, each of them counted, and never a call's time. Several processes may
share a directory. Nothing is forced to the disk: what the system has taken counts as written.
"""

import errno
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

import orjson
import structlog

from worker.clock import Clock
from worker.serve.request_files import Files, HourFile, RequestLogSettings, Sweeper, Trouble, hour_of, timestamp

log = structlog.get_logger(__name__)

_WAKE_SECONDS = 0.2  # waking the writer for every entry would cost each call a hand-over of the interpreter
_PORTION_ENTRIES = 500  # encoding so many holds the interpreter for some 2 ms
_PORTION_CHARS = 1_000_000  # of text; a portion that has as many is closed
_QUEUE_CHARS = 50_000_000  # of text that may wait: a hung disk must not cost the server its memory
_WRITES = 2  # the second one finishes what the first left out, or tells why that cannot be done
_DIRECTORY_MODE = 0o750
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


class RequestLogError(Exception):
    """The request log cannot be written. The text says what to do."""


class Drop(StrEnum):
    """Why an entry is not in the log."""

    QUEUE_FULL = "queue_full"
    """More came than the disk takes, or the log is closed."""
    WRITE_FAILED = "write_failed"
    """The disk is full or broken, or did not take the entry before the log was closed."""
    TOO_LARGE = "too_large"
    """The file of the hour alone has reached what the whole log may take."""


class Entry(NamedTuple):
    """One answered document.

    Attributes:
        time: Seconds since the Unix epoch; its hour chooses the file.
        classes: Names and probabilities, most probable first.
        model: `lang/version`, or None.
        seconds: How long the call took.
        text: What was classified; None unless it is asked for.
    """

    time: float
    url: str
    method: str
    lang: str
    status: str
    title_chars: int
    text_chars: int
    labels: tuple[str, ...]
    classes: tuple[tuple[str, float], ...]
    model: str | None
    seconds: float
    text: str | None = None


class RequestLog:
    """The queue, and the thread that writes what is in it. Any thread may add."""

    def __init__(
        self, settings: RequestLogSettings, clock: Clock, dropped: Callable[[str, int], None], files: Files = os
    ) -> None:
        """Nothing is written before `start`. `dropped` gets a `Drop` and a number of entries, from any thread."""
        self._settings, self._clock, self._dropped = settings, clock, dropped
        self._queue: deque[Entry] = deque()
        self._limit = settings.queue_entries
        self._chars = 0  # of text in the queue
        self._in_hand = 0  # entries taken from the queue that are neither written nor counted as dropped
        self._lock = threading.Lock()  # guards those numbers; never held while the disk is at work
        self._file = HourFile(settings.directory, files)
        self._sweeper = Sweeper(settings, clock)
        self._trouble = Trouble("request_log_cannot_write", "request_log_writes_again", settings.directory)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many entries are in the queue."""
        return len(self._queue)

    def start(self) -> None:
        """Make the directory, open this hour's file to prove that it can be written, and start the writer.

        A disk that is merely full must not keep a server from its work: the log starts, and counts what it drops.

        Raises:
            RequestLogError: the directory or the file cannot be made or opened.
        """
        directory = self._settings.directory
        try:
            directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            self._file.open(hour_of(self._clock.time()))
        except OSError as error:
            if error.errno not in _DISK_FULL or not directory.is_dir():
                raise RequestLogError(
                    f"The request log cannot be written: {error.filename or directory}: {error.strerror}. "
                    "Name a directory that this user can write to, or go without a request log."
                ) from error
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def add(self, entry: Entry) -> None:
        """Leave an entry to the writer, or count it as dropped if too many wait. Never waits, never raises."""
        if entry.text is not None and not self._has_room(len(entry.text)):
            self._count(Drop.QUEUE_FULL, 1)
            return
        self._queue.append(entry)
        # Looked at afterwards, so that `close`, which sets the limit to 0, misses none that is being added meanwhile.
        if len(self._queue) > self._limit:
            self._drop_newest()

    def drain(self) -> None:
        """Write what is in the queue, then remove old files if it is time to. The writer only repeats this."""
        left = len(self._queue)
        while left > 0 and (taken := self._write_portion()):
            left -= taken
        self._sweeper.sweep_when_due()

    def close(self, deadline_seconds: float) -> None:
        """Write what is in the queue and end. What a slow or hung disk has not taken in time counts as dropped."""
        self._limit = 0
        self._stop.set()
        if self._thread is None:
            self._file.close()
        else:
            self._thread.join(max(0.0, deadline_seconds))
        while self._take():
            pass
        if lost := self._settle(self._in_hand, Drop.WRITE_FAILED):
            log.warning("request_log_incomplete", entries=lost, reason="The disk did not take them in time.")

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(_WAKE_SECONDS)
            try:
                self.drain()
            except Exception:
                log.exception("request_log_failed", reason="This is a bug. The log goes on.")
        self._file.close()

    def _has_room(self, chars: int) -> bool:
        with self._lock:
            room = self._chars == 0 or self._chars + chars <= _QUEUE_CHARS
            self._chars += chars if room else 0
        return room

    def _drop_newest(self) -> None:
        try:
            dropped = self._queue.pop()
        except IndexError:  # the writer was faster
            return
        with self._lock:
            self._chars -= len(dropped.text or "")
        self._count(Drop.QUEUE_FULL, 1)

    def _take(self) -> list[Entry]:
        portion: list[Entry] = []
        chars = 0
        with self._lock, suppress(IndexError):  # it may have become empty
            while len(portion) < _PORTION_ENTRIES and chars < _PORTION_CHARS:
                portion.append(self._queue.popleft())
                self._in_hand += 1
                chars += len(portion[-1].text or "")
        with self._lock:
            self._chars -= chars
        return portion

    def _settle(self, entries: int, reason: Drop | None = None) -> int:
        """Let go of entries in hand: written, or dropped for a reason. Returns how many were not settled before."""
        with self._lock:
            entries = min(entries, self._in_hand)
            self._in_hand -= entries
        if entries and reason:
            self._count(reason, entries)
        return entries

    def _count(self, reason: Drop, entries: int) -> None:
        try:
            self._dropped(reason, entries)
        except Exception:
            log.exception("request_log_failed", reason="This is a bug: drops are not counted.")

    def _write_portion(self) -> int:
        portion = self._take()
        try:
            for hour, lines in self._by_hour(portion).items():
                self._append(hour, lines)
        finally:
            self._settle(len(portion), Drop.WRITE_FAILED)  # none is left, unless there is a bug above
        return len(portion)

    def _by_hour(self, portion: Sequence[Entry]) -> dict[str, list[bytes]]:
        hours: dict[str, list[bytes]] = {}
        for entry in portion:
            try:
                time = timestamp(entry.time)
                line = _encode(entry, time, with_text=self._settings.with_text)
                hours.setdefault(hour_of(entry.time), []).append(line)
            except (TypeError, ValueError, OverflowError, OSError):  # JSON has no such value, the calendar no such time
                self._settle(1, Drop.WRITE_FAILED)
        return hours

    def _append(self, hour: str, lines: list[bytes]) -> None:
        reason, why = Drop.WRITE_FAILED, "The disk takes less than was to be written."
        try:
            for _ in range(_WRITES):
                if self._file.open(hour) >= self._settings.max_bytes:
                    reason, why = Drop.TOO_LARGE, "The file of the hour alone has the size that all may have."
                    break
                landed = self._file.append(lines)
                self._settle(landed)
                lines = lines[landed:]
                if not lines:
                    self._trouble.now(None)
                    return
        except OSError as error:
            why = str(error.strerror)
        self._trouble.now(why)
        self._settle(len(lines), reason)


def _encode(entry: Entry, time: str, *, with_text: bool) -> bytes:
    fields: dict[str, object] = {
        "time": time,
        "url": entry.url,
        "method": entry.method,
        "lang": entry.lang,
        "status": entry.status,
        "title_chars": entry.title_chars,
        "text_chars": entry.text_chars,
        "labels": entry.labels,
        "classes": [{"name": name, "prob": prob} for name, prob in entry.classes],
        "model": entry.model,
        "ms": round(entry.seconds * 1000, 3),
    }
    if with_text and entry.text is not None:
        fields["text"] = entry.text
    try:
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half of a surrogate pair, which UTF-8 does not have
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace") + b"\n"
