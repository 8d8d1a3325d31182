"""What a store behind a URL has to tell: how far a copy has come, and that the store is away."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

Advance = Callable[[int], None]

log = logging.getLogger(__name__)


class Watch(Protocol):
    """Told of what takes its time and of what is not as it should be."""

    def copying(self, what: str, total_bytes: int) -> AbstractContextManager[Advance]:
        """A copy begins; the result is called with the bytes that came since the last call."""

    def warn(self, sentence: str) -> None:
        """Something went wrong and did no harm yet."""


class Logged:
    """Tells the log."""

    @contextmanager
    def copying(self, what: str, total_bytes: int) -> Iterator[Advance]:
        """One line when it begins, one when it has ended."""
        log.info("copying %s (%s bytes)", what, f"{total_bytes:,}")
        yield lambda _: None
        log.info("copied %s", what)

    def warn(self, sentence: str) -> None:
        """One line."""
        log.warning(sentence)


LOGGED: Final = Logged()
