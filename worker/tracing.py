"""Traces, when the environment asks for them: OpenTelemetry is imported then, and not at all otherwise."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import structlog

from worker.stream.loop import Process
from worker.stream.ports import Publisher

log = structlog.get_logger(__name__)

_EXPORTERS = "OTEL_TRACES_EXPORTER"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_DISABLED = "OTEL_SDK_DISABLED"

Opened = TypeVar("Opened")


class StreamTracing(Protocol):
    """Puts spans around what a worker does."""

    def process(self, process: Process, topic: str, group: str) -> Process:
        """The same, with a span for each batch that links to the contexts of its documents."""

    def publisher(self, publisher: Publisher, topic: str) -> Publisher:
        """The same, with a span from the beginning of each transaction to its end, with the same links."""

    def close(self) -> None:
        """Send what is recorded, as far as that takes no more than a few seconds."""


def stream_tracing(environment: Mapping[str, str], most_links: int) -> StreamTracing | None:
    """Tracing as the environment has it; None when nobody asks for it, or it cannot be had, which is a warning.

    Args:
        environment: The variables of the process.
        most_links: How many documents a span may link to, unless the environment says that.
    """

    def opened(exporters: list[str]) -> StreamTracing:
        from worker import spans  # noqa: PLC0415 - imports OpenTelemetry, which may not be there

        return spans.StreamSpans(spans.open_provider("clf-worker", exporters, environment, most_links))

    return if_wanted(opened, environment)


def wanted_exporters(environment: Mapping[str, str]) -> list[str]:
    """The exporters that the standard variables ask for; none without any."""
    if environment.get(_DISABLED, "").strip().lower() == "true":
        return []
    names = environment.get(_EXPORTERS, "").strip()
    if not names and any(environment.get(name) for name in _ENDPOINTS):
        names = "otlp"
    return [name for name in (part.strip() for part in names.split(",")) if name not in {"", "none"}]


def if_wanted(opened: Callable[[list[str]], Opened], environment: Mapping[str, str]) -> Opened | None:
    """What `opened` makes of the wanted exporters, if there are any; a warning says what keeps it from that."""
    exporters = wanted_exporters(environment)
    if not exporters:
        return None
    try:
        return opened(exporters)
    except ImportError as error:
        reason = f"{error}. pip install 'clf-worker[tracing]'"
    except ValueError as error:
        reason = str(error)
    # The variables are often set for a whole cluster: no reason not to work.
    log.warning("tracing_off", reason=reason)
    return None
