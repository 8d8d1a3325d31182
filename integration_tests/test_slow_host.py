"""A server whose cgroup runs out of CPU quota: it says so, leaves, and comes back; with a real cgroup."""

import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2

from integration_tests.plain_calls import Caller
from integration_tests.serving import ServeProcess
from integration_tests.system import CLOCK, THOROUGH, wait_until
from schemas.document import Document

CGROUPS = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
QUOTA_US = 15_000
THROTTLED = 'clf_host_slow{reason="cpu_throttled"}'
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
REQUEST = Document("u", "Football", "a goal", "en").to_protobuf()


class Cgroup:
    """A new cgroup with the `cpu` controller, of version 1 or 2."""

    def __init__(self) -> None:
        """Skips the test where none can be made."""
        self._v1 = (CGROUPS / "cpu" / "cpu.cfs_quota_us").exists()
        self._path = CGROUPS / ("cpu" if self._v1 else "") / f"clf-test-{uuid.uuid4().hex[:8]}"
        try:
            self._path.mkdir()
        except OSError as error:
            pytest.skip(f"no cgroup can be made here: {error}")
        if not (self._path / ("cpu.cfs_quota_us" if self._v1 else "cpu.max")).exists():
            self.remove()
            pytest.skip("cgroups are mounted without the cpu controller")

    def prefer(self) -> None:
        """Before whatever else this machine does: only the quota is to be felt."""
        name, most = ("cpu.shares", 262_144) if self._v1 else ("cpu.weight", 10_000)
        (self._path / name).write_text(str(most))

    def take(self, pid: int) -> None:
        """Move a process, with all its threads, into it."""
        (self._path / "cgroup.procs").write_text(str(pid))

    def limit(self, quota_us: int | None) -> None:
        """So much CPU time in each tenth of a second; None: as much as there is."""
        if self._v1:
            (self._path / "cpu.cfs_quota_us").write_text(str(quota_us or -1))
        else:
            (self._path / "cpu.max").write_text(f"{quota_us or 'max'} {PERIOD_US}")

    def remove(self) -> None:
        """It must be empty."""
        self._path.rmdir()


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    """One for a test."""
    made = Cgroup()
    yield made
    wait_until(lambda: removed(made), "the kernel lets the cgroup go")


def gently(condition: Callable[[], object]) -> Callable[[], object]:
    """The same, asked seldom: a throttled server has little time, and that is for the calls."""

    def ask() -> object:
        CLOCK.sleep(0.4)
        return condition()

    return ask


def removed(cgroup: Cgroup) -> bool:
    """Whether it could be removed; a process that has just ended may still count."""
    with suppress(OSError):
        cgroup.remove()
        return True
    return False


@contextmanager
def calls(address: str) -> Iterator[None]:
    """Callers that call all the time, whatever they are told."""
    over = threading.Event()

    def call() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -15)  # as the server, see `prefer`
        with Caller(address) as caller:
            while not over.wait(0.002):
                caller.call(REQUEST)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@THOROUGH  # it needs a core to itself, or the host is slow before it is throttled
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make cgroups")
def test_a_throttled_server_leaves_and_comes_back(cgroup: Cgroup, tmp_path: Path) -> None:
    """Slow by quota: not ready, for that reason, by HTTP and gRPC; with its time back it is ready again."""
    options = ["--no-scoring", "--slow-window", "0.5", "--no-pin"]
    with ServeProcess(tmp_path / "server", options) as server:
        cgroup.prefer()
        cgroup.take(server.process.pid)
        with calls(server.grpc), Caller(server.grpc) as caller:
            health = caller.watch()
            wait_until(gently(lambda: server.metric("clf_p99_drift_ratio") > 0), "it knows what is usual")
            assert server.metric(THROTTLED) == 0
            cgroup.limit(QUOTA_US)
            wait_until(gently(lambda: server.get("/ready")[0] == 503), "it leaves")
            reason = json.loads(server.get("/ready")[1])["reason"]
            cgroup.limit(None)
            assert reason.startswith("the host is slow: ")
            assert "cpu_throttled" in reason
            wait_until(gently(lambda: server.get("/ready")[0] == 200), "it comes back")
            wait_until(lambda: server.metric(THROTTLED) == 0, "the reason has passed")
            wait_until(lambda: health.seen[:3] == [SERVING, NOT_SERVING, SERVING], "whoever watches was told")
            health.cancel()
        assert "cpu_throttled" in str(server.events("host_slow")[0]["shares"])
        assert server.events("host_well")
        assert server.terminate() == 0
