"""What systemd is told, where it started this process with Type=notify: see sd_notify(3). Elsewhere nobody is told.

One datagram for each message, to the socket that NOTIFY_SOCKET names.
"""

import os
import socket
import threading
from collections.abc import MutableMapping
from typing import Self

import structlog

from worker.clock import Clock

log = structlog.get_logger(__name__)

_SEND_SECONDS = 1.0  # systemd that does not read its socket must not hold up the work
_PINGS_PER_LIMIT = 4  # systemd asks for two at least
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Systemd:
    """The messages of one process; any thread may send them. What cannot be sent is no reason to stop working."""

    def __init__(self, address: str | None, ping_seconds: float, clock: Clock) -> None:
        """`address` is a path, or with @ an abstract name; None tells nobody. A `ping_seconds` of 0 sends no pings."""
        self._address = address
        self._ping_seconds = ping_seconds
        self._clock = clock
        self._pinged: float | None = None
        self._status = ""
        self._failing = False
        self._lock = threading.Lock()

    @classmethod
    def of(cls, environment: MutableMapping[str, str], clock: Clock) -> Self:
        """As the variables of systemd say. They are taken out: what this process starts must not speak for it."""
        address, limit, pid = (environment.pop(name, "") for name in _VARIABLES)
        if address and not address.startswith(("/", "@")):
            log.warning("systemd_not_told", reason="NOTIFY_SOCKET is neither a path nor an abstract name.")
            address = ""
        watched = address and limit.isdecimal() and pid in {"", str(os.getpid())}
        return cls(address or None, int(limit) / 1e6 / _PINGS_PER_LIMIT if watched else 0, clock)

    def ready(self) -> None:
        """The process has started: others that wait for it may."""
        self._send("READY=1")

    def stopping(self, seconds: float) -> None:
        """It begins to stop, and may take that long whatever TimeoutStopSec says."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def status(self, text: str) -> None:
        """One line about what it does, which `systemctl status` shows; told when it changes."""
        with self._lock:
            changed, self._status = text != self._status, text
        if changed:
            self._send(f"STATUS={text}")

    def alive(self) -> None:
        """It gets on with its work. To be called far more often than WatchdogSec; most calls send nothing."""
        if not self._ping_seconds:
            return
        now = self._clock.monotonic()
        with self._lock:
            due = self._pinged is None or now - self._pinged >= self._ping_seconds
            self._pinged = now if due else self._pinged
        if due:
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        name = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(_SEND_SECONDS)
                out.sendto(message.encode(), name)
        except (OSError, ValueError) as error:
            if not self._failing:
                log.warning("systemd_not_told", reason=f"{type(error).__name__}: {error}")
            self._failing = True
        else:
            self._failing = False
