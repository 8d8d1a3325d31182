"""Registration and discovery on a real Consul agent: servers come, go and crash, and so does the agent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from integration_tests.consul_agent import ConsulAgent, why_unavailable
from integration_tests.serving import ServeProcess
from integration_tests.system import wait_until
from worker.cli import main
from worker.client import ClassifierClient, Document

pytestmark = pytest.mark.timeout(900)  # the first test builds the agent, where `make` did not
SERVICES = ("clf-grpc", "clf-health")
DOCUMENT = Document("https://site.example/", "", "anything", "en")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[ConsulAgent]:
    """An agent that forgets everything when it is started again."""
    if reason := why_unavailable():
        pytest.skip(reason)
    with ConsulAgent(tmp_path / "consul", say=print) as started:
        yield started


def server(directory: Path, agent: ConsulAgent, *options: str) -> ServeProcess:
    """A server that registers itself."""
    registration = ["--register", "--consul", f"http://{agent.address}", "--check-interval", "1"]
    return ServeProcess(directory, ["--no-scoring", *registration, *options])


def passing(agent: ConsulAgent, name: str) -> list[str]:
    """Where the passing instances of a service are."""
    found = agent.call("GET", f"/v1/health/service/{name}?passing").body
    return sorted(f"{entry['Service']['Address']}:{entry['Service']['Port']}" for entry in found)


def entries(agent: ConsulAgent) -> dict[str, Any]:
    """What the agent has registered, by service name."""
    found: dict[str, Any] = agent.call("GET", "/v1/agent/services").body
    return {entry["Service"]: entry for entry in found.values()}


def clf(*arguments: str) -> Result:
    """Call `clf` in this process."""
    return CliRunner().invoke(main, list(arguments))


def test_a_server_is_registered_while_it_serves(agent: ConsulAgent, tmp_path: Path) -> None:
    """Both services pass, at their ports, with tags and a check on /status; SIGTERM takes them out before the drain."""
    with server(tmp_path / "server", agent, "--tags", "blue, dc1", "--lame-duck", "3") as serving:
        wait_until(lambda: passing(agent, "clf-grpc") == [serving.grpc], "clf-grpc passes")
        wait_until(lambda: passing(agent, "clf-health") == [serving.health], "clf-health passes")
        assert serving.metric("clf_registered") == 1
        assert all(entries(agent)[name]["Tags"] == ["blue", "dc1"] for name in SERVICES)
        checks = agent.call("GET", "/v1/agent/checks").body.values()
        assert {check["ServiceName"] for check in checks} == set(SERVICES)
        assert all(check["Type"] == "http" for check in checks)
        wait_until(lambda: "/status" in str(agent.call("GET", "/v1/agent/checks").body), "Consul has asked /status")
        serving.process.terminate()
        wait_until(lambda: not passing(agent, "clf-grpc"), "it is taken out")
        assert serving.process.poll() is None, "callers are still answered for a while"
        assert serving.terminate() in (0, 4), "the second signal may come before it has stopped"
    assert entries(agent) == {}


def test_a_crash_is_noticed(agent: ConsulAgent, tmp_path: Path) -> None:
    """A killed server is critical at the next check, so nobody is sent there any more."""
    with server(tmp_path / "server", agent) as serving:
        wait_until(lambda: passing(agent, "clf-grpc") == [serving.grpc], "clf-grpc passes")
        serving.kill()
        wait_until(lambda: not passing(agent, "clf-grpc"), "the check has failed")
    found = agent.call("GET", "/v1/health/service/clf-grpc").body
    [check] = [check for check in found[0]["Checks"] if check["ServiceName"] == "clf-grpc"]
    assert check["Status"] == "critical"


def test_the_agent_comes_late_and_forgets(agent: ConsulAgent, tmp_path: Path) -> None:
    """Without an agent a server serves all the same; it registers when there is one, and again when that forgot."""
    agent.stop()
    with server(tmp_path / "server", agent) as serving:
        wait_until(lambda: serving.events("not_registered"), "the server says so")
        assert serving.metric("clf_registered") == 0
        with ClassifierClient([serving.grpc], timeout=5) as client:
            assert client.classify(DOCUMENT).labels == ("none",)
        for _ in range(2):
            agent.start()
            wait_until(lambda: passing(agent, "clf-grpc") == [serving.grpc], "it is registered")
            agent.stop()
        assert serving.terminate() == 0
        assert serving.events("not_deregistered")


def test_registered_from_outside(agent: ConsulAgent, tmp_path: Path) -> None:
    """`clf register` and `clf deregister` do the same for a server that does not; the latter after its end, too."""
    own = ["--consul", agent.address, "--service-file", str(tmp_path / "server" / "service.json")]
    with ServeProcess(tmp_path / "server", ["--no-scoring", "--processes", "2"]) as serving:
        done = clf("register", *own, "--advertise", "localhost")
        assert done.exit_code == 0, done.output
        assert done.output.count("Registered clf-") == 4
        ports = {serving.services[name].rpartition(":")[2] for name in ("clf-grpc", "clf-grpc-1")}
        wait_until(lambda: len(passing(agent, "clf-grpc")) == 2, "both processes pass")
        assert set(passing(agent, "clf-grpc")) == {f"localhost:{port}" for port in ports}
        assert clf("register", *own, "--advertise", "localhost").exit_code == 0, "once more changes nothing"
        assert len(agent.call("GET", "/v1/agent/services").body) == 4
        serving.terminate()
    refused = clf("register", *own)
    assert (refused.exit_code, "cannot be read" in refused.output) == (3, True)
    done = clf("deregister", *own)
    assert (done.exit_code, done.output.count("Deregistered clf-")) == (0, 4)
    assert entries(agent) == {}
    assert "Nothing of" in clf("deregister", *own).output
    agent.stop()
    failed = clf("deregister", *own)
    assert (failed.exit_code, "Consul does not answer at" in failed.output) == (3, True)


def test_the_client_follows_the_registry(agent: ConsulAgent, tmp_path: Path) -> None:
    """Servers that join are called, those that leave are not, and while the agent is away the known ones stay."""
    target = f"consul://{agent.address}/clf-grpc"
    with server(tmp_path / "first", agent) as first:
        wait_until(lambda: passing(agent, "clf-grpc"), "the first one is registered")
        with ClassifierClient(target, timeout=5) as client:
            assert known(client) == {first.grpc}
            with server(tmp_path / "second", agent) as second:
                wait_until(lambda: known(client) == {first.grpc, second.grpc}, "the client knows both")
                agent.freeze()
                assert client.classify(DOCUMENT).labels == ("none",)
                agent.thaw()
                assert second.terminate() == 0
            wait_until(lambda: known(client) == {first.grpc}, "the client has forgotten the second")
            agent.stop()
            for _ in range(20):
                assert client.classify(DOCUMENT).labels == ("none",)
            agent.start()
            wait_until(lambda: passing(agent, "clf-grpc"), "the first one is registered again")
            assert client.classify(DOCUMENT).labels == ("none",)


def known(client: ClassifierClient) -> set[str]:
    """The servers a client has."""
    return {server.address for server in client._fleet.servers}  # noqa: SLF001 - nothing else tells
