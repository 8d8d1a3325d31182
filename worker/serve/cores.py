"""One core for the threads that answer calls, the others for everything else.

Python runs one thread at a time, so the threads that answer gain nothing from several cores; but Linux wakes each of
them on whichever core is idle, and the interpreter with all its data moves along, call by call. Kept on one core they
answer twice as many calls, and gRPC's own threads, kept off it, go on reading, writing and shedding when Python is busy
(BENCHMARKS.md). More cores are for more processes (`--processes`).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores of one process; None and nothing where it has only one, or is not to choose."""

    calls: int | None
    others: frozenset[int]

    @classmethod
    def choose(cls, number: int | None) -> "Cores":
        """Choose among the cores that this process may use.

        Args:
            number: the core for calls, counted round; None takes one by chance, so that servers that know nothing of
                each other mostly take different ones.
        """
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) == 1:
            return FREE
        core = allowed[(os.getpid() if number is None else number) % len(allowed)]
        log.info("cores_chosen", calls=core)
        return cls(core, frozenset(allowed) - {core})

    def for_calls(self) -> None:
        """Keep the present thread on the core for calls."""
        if self.calls is not None:
            _keep_on({self.calls})

    def for_others(self) -> None:
        """Keep the present thread, and those that it starts, off that core."""
        if self.others:
            _keep_on(self.others)


FREE = Cores(None, frozenset())
Settle = Callable[[], None]


def _keep_on(cores: set[int] | frozenset[int]) -> None:
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        log.warning("cores_not_kept", reason=str(error), advice="Calls are answered all the same, fewer a second.")
