"""deploy/aurora/clf.aurora: read by Aurora's own language, and its command lines run as Thermos would run them."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from pystachio.config import Config

from integration_tests.consul_agent import ConsulAgent, why_unavailable
from integration_tests.system import free_port, wait_until
from worker.clock import SystemClock
from worker.serve.service_file import ServiceFileError, read_service_file

ROOT = Path(__file__).parents[1]
JOB = ROOT / "deploy" / "aurora" / "clf.aurora"
SCHEMA = (Path(__file__).parent / "deploy" / "aurora_schema.txt").read_text("utf-8")
GB = 2**30


def jobs(text: str = "") -> Any:  # noqa: ANN401 - pystachio has no types
    """The jobs of the file, or of `text`, and the names of the language."""
    environment = Config(str(JOB), schema=SCHEMA).environment
    if text:
        exec(compile(text, "job", "exec"), environment)  # noqa: S102 - Aurora's files are Python
    return environment["jobs"], environment


def bound(**values: str) -> Any:  # noqa: ANN401 - as above
    """The first job as one instance of it gets it."""
    (job, *_), names = jobs()
    ports = {"grpc": free_port(), "health": free_port()}
    job = job.bind(
        mesos=names["MesosContext"](instance=0, hostname="127.0.0.1"), thermos=names["ThermosContext"](ports=ports)
    )
    job, missing = job.bind(**values).interpolate()
    assert (job.check().ok(), missing) == (True, []), job.check()
    return job


def test_the_job() -> None:
    """Five processes, 1 CPU, 4 GB and 3 GB, four instances in each data centre, one on a host, one by one."""
    made, _ = jobs()
    assert [str(job.cluster()) for job in made] == ["dc1", "dc2"]
    job = bound()
    task = job.task()
    names = [str(process.name()) for process in task.processes()]
    assert names == ["fetch", "run", "register", "deregister", "remove-logs"]
    assert [str(process.name()) for process in task.processes() if process.final().get()] == ["deregister"]
    resources = task.resources()
    assert (resources.cpu().get(), resources.ram().get(), resources.disk().get()) == (1.0, 4 * GB, 3 * GB)
    assert (job.instances().get(), dict(job.constraints().get())) == (4, {"host": "limit:1"})
    update = job.update_config()
    assert (update.batch_size().get(), update.watch_secs().get()) == (1, 300)
    orders = {tuple(str(name) for name in constraint.order()) for constraint in task.constraints()}
    assert orders == {("fetch", name) for name in ("run", "register", "remove-logs")}


@pytest.mark.parametrize(
    "change",
    ["task = task(resource = 1)", "jobs = [Service(cluster = 'dc1')]", "task = task(processes = [Process(name = 1)])"],
)
def test_a_wrong_job(change: str) -> None:
    """What the language does not have, has as something else, or must have, is an error."""
    try:
        made, environment = jobs(change)
    except AttributeError as error:
        assert "resource" in str(error)  # noqa: PT017 - of three ways to be wrong, one raises
        return
    assert not (made[0] if "jobs" in change else environment["task"]).check().ok()


class Thermos:
    """Runs the processes of a task, one for each call, in one sandbox."""

    def __init__(self, job: Any, sandbox: Path) -> None:  # noqa: ANN401 - as above
        self._processes = {str(process.name()): process for process in job.task().processes()}
        self._sandbox = sandbox
        sandbox.mkdir()

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        """Start one, and leave it running."""
        command = ["/bin/bash", "-c", str(self._processes[name].cmdline())]
        return subprocess.Popen(command, cwd=self._sandbox, stdin=subprocess.DEVNULL)

    def run(self, name: str) -> None:
        """Run one to its end, again and again while it fails, as often as it may."""
        for _ in range(self._processes[name].max_failures().get() or 1):
            if self.start(name).wait(60) == 0:
                return
            SystemClock().sleep(0.2)  # Thermos waits for min_duration
        raise AssertionError(f"{name} failed too often")


@pytest.mark.timeout(900)  # the first test that needs the agent builds it, where `make` did not
def test_the_command_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched, run, registered, its old logs removed, stopped, and out of Consul again."""
    if reason := why_unavailable():
        pytest.skip(reason)
    with ConsulAgent(tmp_path / "consul", say=print) as agent:
        monkeypatch.setenv("CLF_SCORING", "false")
        job = bound(release=release(tmp_path).as_uri(), consul=f"http://{agent.address}", cluster="dc1")
        sandbox = tmp_path / "sandbox"
        thermos = Thermos(job, sandbox)
        thermos.run("fetch")
        server = thermos.start("run")
        try:
            thermos.run("register")
            (service,) = agent.call("GET", "/v1/health/service/clf-grpc").body
            assert service["Service"]["Port"] == port_of(sandbox)
            assert service["Service"]["Tags"] == ["dc1"]
            old = sandbox / "log" / "request-2026-11-01T00.log"
            old.touch()
            os.utime(old, (0, 0))
            new = sandbox / "log" / "request-2026-11-26T00.log"
            new.touch()
            thermos.run("remove-logs")
            assert (old.exists(), new.exists()) == (False, True)
            server.terminate()
            assert server.wait(40) == 0
            assert len(agent.call("GET", "/v1/health/service/clf-grpc").body) == 1
            thermos.run("deregister")
            assert agent.call("GET", "/v1/health/service/clf-grpc").body == []
        finally:
            server.kill()
            server.wait()


def release(directory: Path) -> Path:
    """An archive with bin/clf in it, which runs the clf under test."""
    clf = directory / "clf"
    clf.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m worker "$@"\n', "utf-8")
    clf.chmod(0o755)
    archive = directory / "clf.tar.gz"
    with tarfile.open(archive, "w:gz") as made:
        made.add(clf, "bin/clf")
    return archive


def port_of(sandbox: Path) -> int:
    """Where the server of this sandbox answers calls."""
    found: dict[str, str] = {}

    def told() -> bool:
        try:
            found.update(read_service_file(sandbox / "service.json"))
        except ServiceFileError:
            return False
        return True

    wait_until(told, "the server tells its ports")
    return int(found["clf-grpc"].rpartition(":")[2])
