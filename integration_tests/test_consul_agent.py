"""The Consul agent that tests of service discovery run on: a real one, that goes and comes back as they want it to."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest

from integration_tests import consul_agent
from integration_tests.consul_agent import ConsulAgent, main, program_path, why_unavailable
from integration_tests.system import wait_until

pytestmark = pytest.mark.timeout(900)  # the first test builds the agent, where `make` did not
START_AND_DIE = """
import os, sys, signal
from pathlib import Path
from integration_tests.consul_agent import ConsulAgent
agent = ConsulAgent(Path(sys.argv[1]))
agent.start()
agent.freeze()
print(agent.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulAgent]:
    """One agent for the tests here; whoever stops or freezes it repairs that."""
    if reason := why_unavailable():
        pytest.skip(reason)
    with ConsulAgent(tmp_path_factory.mktemp("consul"), say=print) as started:
        yield started


def register(agent: ConsulAgent, name: str, **check: str) -> None:
    """Register a service, named as its one instance, with a check."""
    answer = agent.call("PUT", "/v1/agent/service/register", {"Name": name, "Port": 1, "Check": check})
    assert answer.status == 200, answer.body


def passing(agent: ConsulAgent, name: str) -> list[str]:
    """The instances of a service that pass all their checks."""
    return [entry["Service"]["ID"] for entry in agent.call("GET", f"/v1/health/service/{name}?passing").body]


def test_a_service_passes_while_it_says_so(agent: ConsulAgent) -> None:
    """With a check by time to live a service is found after its first sign of life, and no more after the last."""
    register(agent, "ttl", TTL="1s")
    assert passing(agent, "ttl") == []
    assert agent.call("PUT", "/v1/agent/check/pass/service:ttl").status == 200
    assert passing(agent, "ttl") == ["ttl"]
    wait_until(lambda: passing(agent, "ttl") == [], "the time to live is over")
    assert agent.call("PUT", "/v1/agent/service/deregister/ttl").status == 200
    assert agent.call("GET", "/v1/health/service/ttl").body == []


class Healthy(BaseHTTPRequestHandler):
    """Says yes."""

    def do_GET(self) -> None:
        """Answer 200."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing about it."""


def test_the_agent_asks_a_service(agent: ConsulAgent) -> None:
    """With a check by HTTP the agent looks itself, and sees it when nobody answers any more."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        register(agent, "http", HTTP=f"http://127.0.0.1:{server.server_port}/ready", Interval="1s")
        wait_until(lambda: passing(agent, "http") == ["http"], "the check passes")
        server.shutdown()
    wait_until(lambda: passing(agent, "http") == [], "the check fails")


def test_a_blocking_query_returns_on_a_change(agent: ConsulAgent) -> None:
    """It waits as long as nothing happens, and answers at once when something does."""
    path = "/v1/health/service/blocking?index={}&wait={}"
    index = agent.call("GET", path.format(0, "1s")).index
    assert agent.call("GET", path.format(index, "50ms")).index == index
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(agent.call, "GET", path.format(index, "60s"), None, 60)
        register(agent, "blocking", TTL="60s", Status="passing")
        answer = waiting.result(10)
    assert answer.index > index
    assert [entry["Service"]["ID"] for entry in answer.body] == ["blocking"]


def test_it_comes_back_where_it_was(agent: ConsulAgent) -> None:
    """Stopped, it refuses connections; started again, it is on the same port and has forgotten everything."""
    register(agent, "forgotten", TTL="60s", Status="passing")
    address = agent.address
    agent.stop()
    assert agent.pid is None
    with pytest.raises(ConnectionRefusedError):
        agent.call("GET", "/v1/status/leader")
    agent.start()
    assert agent.address == address
    assert agent.call("GET", "/v1/status/leader").body != ""
    assert passing(agent, "forgotten") == []


def test_frozen_it_does_not_answer(agent: ConsulAgent) -> None:
    """A frozen agent takes connections and keeps silent; thawed it answers again, and it can be stopped frozen."""
    agent.freeze()
    with pytest.raises(TimeoutError):
        agent.call("GET", "/v1/status/leader", timeout_s=0.2)
    agent.thaw()
    assert agent.call("GET", "/v1/status/leader").status == 200
    agent.freeze()
    agent.stop()
    agent.start()


def test_it_can_remember(agent: ConsulAgent, tmp_path: Path) -> None:
    """With data on disk what was registered is still there after a restart."""
    del agent  # it says whether there is one to be had
    with ConsulAgent(tmp_path, remembers=True) as lasting:
        register(lasting, "lasting", TTL="60s", Status="passing")
        lasting.stop()
        lasting.start()
        assert [entry["Service"]["ID"] for entry in lasting.call("GET", "/v1/health/service/lasting").body] == [
            "lasting"
        ]
        pid = lasting.pid
    assert pid is not None
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_it_follows_its_parent(agent: ConsulAgent, tmp_path: Path) -> None:
    """Tests that are killed leave no agent behind, not even a frozen one."""
    del agent
    command = [sys.executable, "-c", START_AND_DIE, str(tmp_path)]
    parent = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    wait_until(lambda: not psutil.pid_exists(int(parent.stdout)), "the agent is gone")


# --- building it -----------------------------------------------------------------------------------------------------


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing was built yet, and the only programs are those in the folder `bin` of what is returned."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def fake_go(folder: Path, script: str) -> None:
    """A program named `go` that does what `script` says."""
    path = folder / "bin" / "go"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_without_go_nothing_is_built(no_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is one line that says what is missing, and no failure; a Go that is too old is none."""
    assert main(["build"]) == 0
    assert "there is no `go`" in capsys.readouterr().out
    fake_go(no_cache, "echo go version go1.20.4 linux/amd64")
    assert main(["build"]) == 0
    said = capsys.readouterr().out
    assert "go1.20.4" in said
    assert said.count("\n") == 1


def test_a_build_that_fails_says_why(no_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last lines of Go are shown, and nothing is left that could pass for an agent."""
    fake_go(
        no_cache,
        '[ "$1" = version ] && echo go version go1.26.8 x/y && exit\necho runtime\necho main.go:1: bad\nexit 1',
    )
    assert main(["build"]) == 1
    said = capsys.readouterr().out
    assert "exit code 1):\nmain.go:1: bad\n" in said
    assert [path for path in (no_cache / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_build_is_done_once(no_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What Go built is put in place, and then neither Go nor time is needed any more."""
    output = 'while [ "$1" != -o ]; do shift; done; echo x > "$2"'
    fake_go(no_cache, f'[ "$1" = version ] && echo go version go1.26.8 x/y && exit\n{output}')
    assert main(["build"]) == 0
    assert program_path().read_text() == "x\n"
    (no_cache / "bin" / "go").unlink()
    assert why_unavailable() is None
    assert main(["build"]) == 0
    assert capsys.readouterr().out.count("Building") == 1


def test_a_changed_module_is_another_program(tmp_path: Path) -> None:
    """Every source counts, those of the stubs too."""
    copy = tmp_path / "module"
    shutil.copytree(consul_agent.MODULE, copy)
    assert program_path(copy) == program_path()
    stub = next((copy / "stubs").rglob("*.go"))
    stub.write_text(stub.read_text() + os.linesep)
    assert program_path(copy) != program_path()
