"""Something that is done every second, beside the work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)

_CLOSE_SECONDS = 2.0


@contextmanager
def every(seconds: float, *calls: Callable[[], None]) -> Iterator[None]:
    """Make these calls every so many seconds for the time of the block, on a thread of their own."""
    stopping = threading.Event()

    def repeat() -> None:
        while not stopping.wait(seconds):
            for call in calls:
                try:
                    call()
                except Exception:
                    log.exception("diagnosis_failed", reason="This is a bug. The work itself goes on.")

    thread = threading.Thread(target=repeat, name="diagnosis", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(_CLOSE_SECONDS)
