"""What the parts of the local broker share: its error, its progress lines, its lock between processes."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.clock import Clock

Say = Callable[[str], None]
LOCK_POLL_S = 0.1


class BrokerError(Exception):
    """The local broker cannot do what was asked; the text says what, where and what to do."""


def silent(line: str) -> None:
    """Take a progress line and show it to nobody."""
    del line


@contextmanager
def locked(path: Path, clock: Clock, timeout_s: float, say: Say = silent) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`; the system releases it even when this process is killed.

    Raises:
        BrokerError: another process has held it for `timeout_s` seconds.
    """
    with path.open("a") as handle:
        deadline = clock.monotonic() + timeout_s
        waited = False
        while not _try_lock(handle.fileno()):
            if not waited:
                say(f"Another process holds {path}; waiting for it ...")
                waited = True
            if clock.monotonic() > deadline:
                raise BrokerError(f"Another process has held {path} for {timeout_s:.0f} s. End it, then try again.")
            clock.sleep(LOCK_POLL_S)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
