"""What the Kafka client has to say, as log lines of ours: once, not at every one of its retries."""

import logging
from typing import Any

import structlog

from worker.clock import Clock, SystemClock
from worker.kafka.errors import ClientError

log = structlog.get_logger(__name__)

# A client that cannot connect says so several times a second, and each of a worker's clients does.
_AGAIN_SECONDS = 30.0


class Seldom:
    """Lets the same thing be said again only after a while."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}

    def allows(self, what: str) -> bool:
        """Whether `what` may be said now; if so, that is noted."""
        now = self._clock.monotonic()
        if now - self._said.get(what, -_AGAIN_SECONDS) < _AGAIN_SECONDS:
            return False
        self._said[what] = now
        return True


_seldom = Seldom(SystemClock())


def log_client_error(error: ClientError) -> None:
    """The client's error callback: what it reports here it works on by itself."""
    if _seldom.allows(error.name()):
        log.warning("kafka_client", error=error.name(), detail=error.str())


class _SeldomFilter(logging.Filter):
    """librdkafka's own lines are "FACILITY [client] text"; one a while of each facility is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        return _seldom.allows(record.getMessage().partition(" ")[0])


_librdkafka = logging.getLogger("librdkafka")
_librdkafka.addFilter(_SeldomFilter())

# Every client gets these, so that nothing comes out raw on standard error.
LOGGING: dict[str, Any] = {"error_cb": log_client_error, "logger": _librdkafka}
