"""Traces of a server's calls, when the environment asks for them; see `worker.tracing`."""

from collections.abc import Mapping
from typing import Protocol

from worker.clock import Clock
from worker.serve.calls import CallPool
from worker.serve.grpc import Behaviour
from worker.tracing import if_wanted


class CallTracing(Protocol):
    """Puts spans around calls."""

    def behaviour(self, behaviour: Behaviour, method: str, pool: CallPool) -> Behaviour:
        """The same, with a span for each call of the books, the child of its caller's."""

    def close(self) -> None:
        """Send what is recorded, as far as that takes no more than a few seconds."""


def call_tracing(environment: Mapping[str, str], clock: Clock) -> CallTracing | None:
    """Tracing as the environment has it; None when nobody asks for it, or it cannot be had, which is a warning."""

    def opened(exporters: list[str]) -> CallTracing:
        from worker.serve.call_spans import CallSpans  # noqa: PLC0415 - imports OpenTelemetry, which may not be there
        from worker.spans import open_provider  # noqa: PLC0415 - as above

        return CallSpans(open_provider("clf-serve", exporters, environment), clock)

    return if_wanted(opened, environment)
