"""The scenarios of `clf bench grpc`: what callers of the 100 ms path get, in good times and bad."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from schemas.classification import Classification
from worker.bench.busy_worker import BusyWorker
from worker.bench.latency import OK, PERCENTILES, REFUSED, Latencies
from worker.bench.load import METHOD, Load, Served, bare_servicer, closed, job_for, serving, start_server
from worker.bench.trained import BenchError
from worker.clock import Clock

# Targets: seconds, or shares of all calls.
IN_TIME = 0.1
AT_ONCE = 0.005
WARM = {50.0: 0.002, 99.0: 0.010, 99.9: 0.025}
FIRST_CALL = 0.020
OVERLOADED_P99 = 0.050
SHARE_OF_BARE = 0.70
ANSWERED_BESIDE_FROZEN = 0.999

_IN_FLIGHT = 8  # of a closed loop: enough to keep a server busy, no more than gRPC holds before it sheds
_OVERLOAD = 3
_PROMPT = 5.0  # seconds a first call may take in all, beyond which it counts as that

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        rate: calls a second of the open loops.
        hedged_rate: those of the hedging client.
        seconds: of each run.
        repeat: runs; latencies of all of them are taken together, of rates the median.
        idle_seconds: the pause before a first call.
    """

    rate: float
    hedged_rate: float
    seconds: float
    repeat: int
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class Line:
    """One measure beside its target."""

    measure: str
    target: str
    measured: str
    met: bool | None
    """None where there is no target."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one scenario gave."""

    name: str
    lines: list[Line]
    latencies: dict[str, Latencies] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            "scenario": self.name,
            "lines": [
                {"measure": line.measure, "target": line.target, "measured": line.measured, "met": line.met}
                for line in self.lines
            ],
            "latencies": {name: found.as_json() for name, found in self.latencies.items()},
            **self.facts,
        }


class GrpcBench:
    """Starts servers, puts load on them, and says what came of it. Everything it starts it also ends."""

    def __init__(self, models: Path, load: Load, reply: Classification, plan: Plan, clock: Clock, say: Say) -> None:
        """`models` is the store; `reply` is what the reference returns whatever it is asked."""
        self._models = models
        self._reply = reply
        self._directory = load.directory
        self._plan = plan
        self._clock = clock
        self._say = say
        self._load = load
        self._servers = 0
        self._capacity: float | None = None

    # --- one server ---------------------------------------------------------------------------------------------

    def warm(self) -> Outcome:
        """Latency at a steady rate, of a server that is warm."""
        with self._server() as server:
            found, per_run = self._at_rate(server)
        return Outcome("warm", _percentile_lines(found, self._plan.rate, WARM), {"clf serve": found}, per_run)

    def capacity(self) -> Outcome:
        """Calls a second of one process, beside the bare servicer in turn."""
        rows: dict[str, list[float]] = {"clf serve": [], "bare servicer": []}
        with self._server() as ours, bare_servicer(self._reply, self._directory) as bare:
            for number in range(self._plan.repeat):
                for name, server in (("clf serve", ours), ("bare servicer", bare)):
                    job = closed(job_for([server], 1, self._plan.seconds / 2), _IN_FLIGHT)
                    rows[name].append(self._load.throughput(job))
                    self._say(f"capacity, round {number + 1}: {name}: {rows[name][-1]:,.0f} calls/s")
        shares = [mine / reference for mine, reference in zip(*rows.values(), strict=True)]
        share = statistics.median(shares)
        self._capacity = statistics.median(rows["clf serve"])
        lines = [
            Line("calls/s of one process", "", f"{self._capacity:,.0f}", None),
            _at_least("as a share of a bare servicer", share, SHARE_OF_BARE),
        ]
        return Outcome("capacity", lines, facts={"calls_per_second": rows, "shares": shares})

    def overload(self) -> Outcome:
        """Three times the calls that one process can answer; the bare servicer under the same for comparison."""
        rate = _OVERLOAD * (self._capacity or self._measure_capacity())
        found: list[Latencies] = []
        reference: list[Latencies] = []
        with self._server() as ours, bare_servicer(self._reply, self._directory) as bare:
            for number in range(self._plan.repeat):
                for server, runs in ((ours, found), (bare, reference)):
                    job = replace(job_for([server], rate, self._plan.seconds / 2), connections=8, seed=number)
                    runs.append(self._load.latencies(job))
                self._say(f"overload at {rate:,.0f} calls/s, round {number + 1}: {found[-1].codes}")
        joined, bare_joined = Latencies.joined(found), Latencies.joined(reference)
        return _overload_outcome(joined, bare_joined, rate, self._plan.seconds / 2 * self._plan.repeat)

    def idle(self) -> Outcome:
        """The first call after a pause, with keep-warm and without, on a connection that stood idle as long."""
        with ExitStack() as stack:
            servers = {
                "clf serve": stack.enter_context(self._server()),
                "without keep-warm": stack.enter_context(self._server("--keep-warm", "0")),
            }
            calls = {name: stack.enter_context(_connected(server)) for name, server in servers.items()}
            for call in calls.values():
                for message in self._load.messages[:20]:
                    call(message)
            self._say(f"waiting {self._plan.idle_seconds:g} s")
            self._clock.sleep(self._plan.idle_seconds)
            first = {name: self._timed(call) for name, call in calls.items()}
            second = {name: self._timed(call) for name, call in calls.items()}
        lines = [
            _at_most(f"first call after {self._plan.idle_seconds:g} s idle", first["clf serve"], FIRST_CALL),
            Line("the same without keep-warm", "", _ms(first["without keep-warm"]), None),
        ]
        return Outcome("idle", lines, facts={"first_seconds": first, "second_seconds": second})

    # --- two servers and the hedging client ---------------------------------------------------------------------

    def frozen(self) -> Outcome:
        """Two servers, one of which is stopped by SIGSTOP while calls go on."""
        runs, metrics = [], []
        for number in range(self._plan.repeat):
            with self._server() as first, self._server() as second:
                job = replace(job_for([first, second], self._plan.hedged_rate, self._plan.seconds), seed=number)
                with self._load.hedged(job) as run:
                    self._clock.sleep(job.warmup_seconds + self._plan.seconds / 4)
                    since = self._clock.time()
                    first.freeze()
                    found, counted = run.finish(since)
                first.thaw()
            runs.append(found)
            metrics.append(dict(counted))
            self._say(f"frozen, round {number + 1}: {found.codes}, {found.share_within(IN_TIME):.3%} within 100 ms")
        joined = Latencies.joined(runs)
        answered = float(((joined.status == OK) & (joined.seconds <= IN_TIME)).mean())
        lines = [_at_least("one of two servers frozen: answered within 100 ms", answered, ANSWERED_BESIDE_FROZEN)]
        return Outcome("frozen", lines, {"hedging client": joined}, {"client_metrics": metrics})

    def restart(self) -> Outcome:
        """Two servers restarted one after the other, again and again, while calls go on."""
        runs, restarts = [], 0
        for number in range(self._plan.repeat):
            with ExitStack() as stack:
                servers = [self._restartable(stack) for _ in range(2)]
                job = replace(job_for(servers, self._plan.hedged_rate, self._plan.seconds), seed=number)
                with self._load.hedged(job) as run:
                    self._clock.sleep(job.warmup_seconds)
                    while run.running:
                        servers.append(self._restarted(stack, servers.pop(0)))
                        restarts += 1
                    found, _ = run.finish()
            runs.append(found)
            self._say(f"restart, round {number + 1}: {found.codes}")
        joined = Latencies.joined(runs)
        failed = len(joined) - len(joined.of(OK))
        lines = [Line(f"{restarts} restarts, {len(joined):,} calls: failed", "0", f"{failed}", failed == 0)]
        return Outcome("restart", lines, {"hedging client": joined}, {"restarts": restarts})

    # --- parts --------------------------------------------------------------------------------------------------

    def beside_worker(self, worker: BusyWorker) -> Outcome:
        """Latency at the steady rate while a worker has more to do than it can."""
        rates: list[float] = []
        with self._server() as server:
            found, per_run = self._at_rate(server, lambda: worker.running(rates.append))
        lines = [
            *_percentile_lines(found, self._plan.rate, {99.9: IN_TIME}),
            Line("documents/s of the worker meanwhile", "", f"{statistics.median(rates):,.0f}", None),
        ]
        facts = {**per_run, "worker_documents_per_second": rates}
        return Outcome("worker", lines, {"clf serve beside a worker at full load": found}, facts)

    def _at_rate(
        self, server: Served, beside: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> tuple[Latencies, dict[str, Any]]:
        runs = []
        for number in range(self._plan.repeat):
            job = replace(job_for([server], self._plan.rate, self._plan.seconds), seed=number)
            with beside():
                runs.append(self._load.latencies(job))
            self._say(f"{self._plan.rate:g} calls/s, round {number + 1}: p99.9 {_ms(runs[-1].percentile(99.9))}")
        return Latencies.joined(runs), {"runs": [run.as_json() for run in runs]}

    def _measure_capacity(self) -> float:
        self.capacity()
        if self._capacity is None:
            raise BenchError("The capacity could not be measured.")
        return self._capacity

    def _timed(self, call: Callable[[bytes], bytes]) -> float:
        began = self._clock.monotonic()
        call(self._load.messages[0])
        return self._clock.monotonic() - began

    def _server(self, *options: str) -> AbstractContextManager[Served]:
        self._servers += 1
        return serving(self._models, self._directory / f"server-{self._servers}", self._clock, *options)

    def _restartable(self, stack: ExitStack) -> Served:
        self._servers += 1
        directory = self._directory / f"server-{self._servers}"
        server = start_server(self._models, directory, self._clock, "--lame-duck", "1")
        stack.callback(server.stop)
        return server

    def _restarted(self, stack: ExitStack, server: Served) -> Served:
        server.stop()
        self._servers += 1
        directory = self._directory / f"server-{self._servers}"
        port = ("--grpc-port", str(server.port))
        again = start_server(self._models, directory, self._clock, "--lame-duck", "1", *port)
        stack.callback(again.stop)
        return again


@contextmanager
def _connected(server: Served) -> Iterator[Callable[[bytes], bytes]]:
    """A plain gRPC client, connected."""
    with grpc.insecure_channel(server.target) as channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        yield lambda message: method(message, timeout=_PROMPT)


def _percentile_lines(found: Latencies, rate: float, targets: Mapping[float, float]) -> list[Line]:
    """A call that was not answered counts as one that took all the 100 ms it had."""
    lines = []
    whole = replace(found, seconds=np.where(found.status == OK, found.seconds, np.maximum(found.seconds, IN_TIME)))
    for percent in PERCENTILES:
        measure, seconds = f"p{percent:g} at {rate:g} calls/s", whole.percentile(percent)
        target = targets.get(percent)
        lines.append(Line(measure, "", _ms(seconds), None) if target is None else _at_most(measure, seconds, target))
    failed = len(found) - len(found.of(OK))
    return [*lines, Line("calls not answered", "", f"{failed} of {len(found):,}", None)]


def _at_most(measure: str, seconds: float, target: float) -> Line:
    return Line(measure, f"<= {target * 1000:g} ms", _ms(seconds), seconds <= target)


def _at_least(measure: str, share: float, target: float) -> Line:
    return Line(measure, f">= {100 * target:g} %", f"{share:.2%}", share >= target)


def _overload_outcome(found: Latencies, bare: Latencies, rate: float, seconds: float) -> Outcome:
    accepted, refused = found.of(OK), found.of(*REFUSED)
    good = ((found.status == OK) & (found.seconds <= IN_TIME)) | ((found.status != OK) & (found.seconds <= AT_ONCE))
    bare_in_time = len(bare.of(OK)) / seconds
    lines = [
        Line(
            f"{_OVERLOAD} times overload ({rate:,.0f} calls/s): answered in time or refused within 5 ms",
            "100 %",
            f"{float(good.mean()):.2%}",
            bool(good.all()),
        ),
        _at_most("p99 of the accepted", accepted.percentile(99), OVERLOADED_P99),
        Line("p50 / p99 / worst of the refused", "<= 5 ms", _three(refused), refused.worst <= AT_ONCE),
        Line("answered in time, calls/s", "", f"{len(accepted) / seconds:,.0f}", None),
        Line("the same of the bare servicer", "", f"{bare_in_time:,.0f}", None),
    ]
    latencies = {"accepted": accepted, "refused": refused, "bare servicer, all": bare}
    return Outcome("overload", lines, latencies, {"codes": found.codes, "rate": rate})


def _three(found: Latencies) -> str:
    return " / ".join(_ms(seconds) for seconds in (found.percentile(50), found.percentile(99), found.worst))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"
