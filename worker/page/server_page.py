"""What a server shows of itself."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.clock import Clock
from worker.diagnosis.slow_node import SlowNode
from worker.page.page import Fact, Page
from worker.page.parts import build, counted, duration, host, models, moment, number, rate
from worker.page.snapshots import Growth, Snapshots


@dataclass(frozen=True, slots=True)
class ServerPage:
    """Makes the page.

    Attributes:
        address: where it answers calls; "" before it does.
        not_ready_because: as `/ready` has it.
        snapshots: of its metrics.
        slow_node: what the host does; None before it is looked at.
        watched: whether that is looked at.
        clock: the time.
    """

    address: Callable[[], str]
    not_ready_because: Callable[[], str | None]
    snapshots: Snapshots
    slow_node: Callable[[], SlowNode | None]
    watched: bool
    clock: Clock

    def __call__(self) -> Page:
        """As it is now."""
        growth = self.snapshots.growth()
        now, slow_node = growth.now, self.slow_node()
        about = f"gRPC at {self.address() or 'no address yet'}. {build(now)}. {moment(self.clock.time())}."
        sections = [
            counted("Calls", "code", "grpc_server_handled_total", "grpc_code", growth),
            counted("Refused before any work", "reason", "clf_refused_calls_total", "reason", growth),
            counted("Documents", "status", "clf_answered_documents_total", "status", growth),
            models(now),
            counted("Calls that keep it warm", "outcome", "clf_keep_warm_calls_total", "outcome", growth),
            counted("Entries that the request log lost", "reason", "clf_request_log_dropped_total", "reason", growth),
        ]
        if slow_node is not None:
            sections.append(host(slow_node.diagnosis, watched=self.watched))
        return Page("clf serve", self.not_ready_because(), about, _facts(growth), sections)


def _facts(growth: Growth) -> list[Fact]:
    now = growth.now
    in_time = "of the last calls took no longer"
    return [
        Fact("Calls per second", rate(growth.rate("grpc_server_handled_total"))),
        Fact("Median", _latency(growth, 0.5), f"half {in_time}"),
        Fact("p99", _latency(growth, 0.99), f"99 % {in_time}"),
        Fact("In hand", number(now.value("clf_calls_in_hand")), "calls that wait or are worked on"),
        Fact(
            "Failures", number(now.value("clf_failures_total")), f"{rate(growth.rate('clf_failures_total'))} per second"
        ),
        Fact("Consul", "registered" if now.value("clf_registered") else "not registered"),
    ]


def _latency(growth: Growth, share: float) -> str:
    found = growth.latency(share)
    return "no calls" if found is None else duration(found)
