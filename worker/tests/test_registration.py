"""What Consul is told, request by request, and what becomes of a server that it cannot be told about."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from structlog.testing import capture_logs

from worker.config import Consul
from worker.registration import Registrar, Registry, RegistryError, Service, services

PORTS = {"clf-grpc": "127.0.0.1:50051", "clf-health": "127.0.0.1:9465"}


class Agent:
    """Records what it is asked, and knows what it was told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.services: dict[str, Any] = {}
        self.status = 200

    def answer(self, method: str, path: str, body: Any) -> Any:  # noqa: ANN401 - JSON
        """What the agent's API would say."""
        self.requests.append((method, path, body))
        if path == "/v1/agent/service/register":
            self.services[body["id"]] = {"Service": body["name"], "Meta": body["meta"]}
        elif path.startswith("/v1/agent/service/deregister/"):
            del self.services[path.rpartition("/")[2]]
        return self.services


@pytest.fixture
def agent() -> Agent:
    """An agent without a port."""
    return Agent()


@pytest.fixture
def address(agent: Agent) -> Iterator[str]:
    """Where it listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def _answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            agent.headers.append(dict(self.headers))
            data = json.dumps(agent.answer(self.command, self.path, body)).encode()
            self.send_response(agent.status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_each_service_has_the_health_port_of_its_process() -> None:
    """Of several processes, too, and with addresses of either kind."""
    found = services({**PORTS, "clf-grpc-1": "[::1]:50052", "clf-health-1": "[::1]:9466"})
    assert found == [
        Service("clf-grpc", "127.0.0.1", 50051, "127.0.0.1", 9465),
        Service("clf-health", "127.0.0.1", 9465, "127.0.0.1", 9465),
        Service("clf-grpc", "::1", 50052, "::1", 9466),
        Service("clf-health", "::1", 9466, "::1", 9466),
    ]


@pytest.mark.parametrize("ports", [{"clf-worker": "127.0.0.1:1"}, {"clf-grpc": "nowhere"}])
def test_foreign_service_files_are_refused(ports: dict[str, str]) -> None:
    """A worker's, for example, or one that a person has edited."""
    with pytest.raises(RegistryError, match="no service of clf serve"):
        services(ports)


def test_what_is_registered(agent: Agent, address: str, tmp_path: Path) -> None:
    """Names, addresses, tags, an HTTP check on /status that begins as passing, and when to give a dead one up."""
    config = Consul(address, consul_token="secret", tags="a, b", check_interval=2.5, critical_timeout=90)  # noqa: S106 - a test's
    ids = Registry(config, tmp_path / "service.json").register(services(PORTS))
    assert ids == ["clf-grpc-127.0.0.1-50051", "clf-health-127.0.0.1-9465"]
    assert {(method, path) for method, path, _ in agent.requests} == {("PUT", "/v1/agent/service/register")}
    body = agent.requests[0][2]
    assert (body["name"], body["id"], body["address"], body["port"]) == ("clf-grpc", ids[0], "127.0.0.1", 50051)
    assert body["tags"] == ["a", "b"]
    assert body["meta"]["clf-service-file"] == str(tmp_path / "service.json")
    assert body["checks"] == [
        {
            "http": "http://127.0.0.1:9465/status",
            "interval": "2.5s",
            "timeout": "2s",
            "DeregisterCriticalServiceAfter": "90s",
            "status": "passing",
        }
    ]
    assert agent.headers[0]["X-Consul-Token"] == "secret"


@pytest.mark.parametrize(
    ("host", "advertise", "expected"),
    [
        ("0.0.0.0", "", (None, "127.0.0.1")),  # noqa: S104 - not listened on
        ("::", "", (None, "127.0.0.1")),
        ("0.0.0.0", "10.0.0.7", ("10.0.0.7", "10.0.0.7")),  # noqa: S104 - as above
        ("10.0.0.8", "", ("10.0.0.8", "10.0.0.8")),
        ("::1", "", ("::1", "[::1]")),
    ],
)
def test_which_address_others_get(
    agent: Agent, address: str, host: str, advertise: str, expected: tuple[str | None, str]
) -> None:
    """A wildcard is no address: the agent on the same machine fills in its own, unless one is given."""
    Registry(Consul(address, advertise=advertise), Path("f")).register([Service("clf-grpc", host, 1, host, 2)])
    body = agent.requests[0][2]
    assert (body.get("address"), body["checks"][0]["http"]) == (expected[0], f"http://{expected[1]}:2/status")


def test_only_its_own_are_deregistered(agent: Agent, address: str, tmp_path: Path) -> None:
    """Those of another server, another service file or another host stay."""
    mine, other = (Registry(Consul(address), tmp_path / name) for name in ("a.json", "b.json"))
    mine.register(services(PORTS))
    other.register(services({"clf-grpc": "127.0.0.1:1", "clf-health": "127.0.0.1:2"}))
    agent.services["foreign"] = {"Service": "clf-grpc", "Meta": None}
    assert mine.deregister() == ["clf-grpc-127.0.0.1-50051", "clf-health-127.0.0.1-9465"]
    assert set(agent.services) == {"clf-grpc-127.0.0.1-1", "clf-health-127.0.0.1-2", "foreign"}
    assert mine.deregister() == []


@pytest.mark.parametrize("url", ["ftp://consul:8500", "http://", "consul://x"])
def test_the_agents_url_is_checked(url: str) -> None:
    """At once, in words for people."""
    with pytest.raises(RegistryError, match="is no URL of a Consul agent"):
        Registry(Consul(url), Path("f"))


def test_what_an_agent_may_say_instead(agent: Agent, address: str) -> None:
    """It is not there, or it refuses: each has its sentence, and the token is in neither."""
    with pytest.raises(RegistryError, match="Consul does not answer at"):
        Registry(Consul("127.0.0.1:1"), Path("f")).registered()
    agent.status = 403
    with pytest.raises(RegistryError, match="refuses") as refused:
        Registry(Consul(address, consul_token="secret"), Path("f")).registered()  # noqa: S106 - a test's
    assert "secret" not in str(refused.value)


def test_the_registrar_tries_again(agent: Agent, address: str) -> None:
    """One warning while Consul refuses; then it is registered, once, and again when Consul has forgotten."""
    told: list[bool] = []
    registrar = Registrar(Registry(Consul(address), Path("f")), services(PORTS), told.append)
    with capture_logs() as logs:
        agent.status = 500
        registrar.step()
        registrar.step()
        agent.status = 200
        registrar.step()
        registrar.step()
        agent.services.clear()
        registrar.step()
    assert told == [False, False, True, True, True]
    assert [line["event"] for line in logs] == ["not_registered", "registered", "registered"]
    assert len(agent.services) == 2


def test_the_registrar_takes_it_out(agent: Agent, address: str) -> None:
    """When it is closed, nothing of the server is left; an agent that is gone by then is worth a warning."""
    registry = Registry(Consul(address), Path("f"))
    registrar = Registrar(registry, services(PORTS), lambda _: None)
    registrar.start()
    with capture_logs() as logs:
        registrar.close()
        assert agent.services == {}
        agent.status = 500
        again = Registrar(registry, services(PORTS), lambda _: None)
        again.start()
        again.close()
    assert "deregistered" in {line["event"] for line in logs}
    assert logs[-1]["event"] == "not_deregistered"
