"""Where the servers are: how it is written, how it is looked up, and what is kept while nobody answers."""

import logging
import random
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from consul import ConsulException
from requests import RequestException

from worker.calling.addresses import AddressBook, Addresses, ConsulService, Dns, TargetError, parse
from worker.tests.client_fakes import ScriptedLookup

TIMEOUT_S = 5.0

# --- how it is written -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("10.0.0.7:50051", ("10.0.0.7:50051",)),
        ("clf-1.example:50051, clf-2.example:50052,", ("clf-1.example:50051", "clf-2.example:50052")),
        (["a:1", "b:2"], ("a:1", "b:2")),
        (("a:1",), ("a:1",)),
        ([" a:1 "], ("a:1",)),
        ("[::1]:50051", ("[::1]:50051",)),
        ("[fe80::1%eth0]:50051,a:65535", ("[fe80::1%eth0]:50051", "a:65535")),
    ],
)
def test_lists(targets: str | list[str], expected: Addresses) -> None:
    """Addresses in a sequence, or in one text with commas between."""
    assert parse(targets) == expected


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        ("dns:///clf.example:50051", "clf.example", 50051),
        ("dns://clf.example:50051", "clf.example", 50051),
        ("dns:///[::1]:7", "::1", 7),
    ],
)
def test_names_in_the_dns(target: str, host: str, port: int) -> None:
    """As gRPC writes them, and as one would write them without knowing how gRPC does."""
    assert parse(target) == Dns(host, port)


@pytest.mark.parametrize(
    ("target", "uri", "service", "tag", "dc"),
    [
        ("consul://agent:8501/clf-grpc", "http://agent:8501", "clf-grpc", None, None),
        ("consul://agent/clf-grpc", "http://agent:8500", "clf-grpc", None, None),
        ("consul+https://agent/clf-grpc/", "https://agent:8500", "clf-grpc", None, None),
        ("consul://[::1]:8500/clf-grpc", "http://[::1]:8500", "clf-grpc", None, None),
        ("consul://agent/clf-grpc?tag=blue&dc=east", "http://agent:8500", "clf-grpc", "blue", "east"),
    ],
)
def test_services_in_consul(target: str, uri: str, service: str, tag: str | None, dc: str | None) -> None:
    """Agent, service, and if need be tag and data centre; TLS to the agent by the scheme."""
    found = parse(target)
    assert isinstance(found, ConsulService)
    assert (found._consul.http.base_uri, found._consul.dc) == (uri, dc)
    assert (found._service, found._tag) == (service, tag)


@pytest.mark.parametrize(
    ("targets", "advice"),
    [
        *[
            (wrong, r"is no address: use host:port, such as 10\.0\.0\.7:50051 or \[::1\]:50051")
            for wrong in (
                *("a", "a:", ":1", "a:b", "a:0", "a:65536", "a:-1", "a:\u00b2", "a b:1", "a:1:2", "::1:50051"),
                *("a:1;b:2", "[]:1", "[::1]", "[::1:1", "a/b:1", "dns:///a", "dns:///", "dns://8.8.8.8/a:1"),
                *("dns:///a:1,b:2", ["a:1", ""], ["a:1,b:2"], ["dns:///a:1"], ["consul://agent:8500/clf-grpc"]),
            )
        ],
        ("", "No server is named: use host:port"),
        (" , ", "No server is named: use host:port"),
        ([], "No server is named: use host:port"),
        *[
            (wrong, r"is no Consul service: use consul://agent:8500/service, with \?tag=\.\.\. or &dc=\.\.\.")
            for wrong in (
                *("consul://", "consul://agent", "consul://agent/", "consul:///clf-grpc", "consul://agent/a/b"),
                *("consul://agent:x/clf-grpc", "consul://agent:70000/clf-grpc", "consul://[::1/clf-grpc"),
                *("consul://agent/clf-grpc?tags=blue", "consul://agent/clf-grpc?tag=blue&tag=green"),
            )
        ],
        *[
            (wrong, "is no kind of target: use host:port, dns:///host:port or consul://agent/service")
            for wrong in ("http://a:1", "://a:1", "DNS:///a:1")
        ],
    ],
)
def test_what_is_refused(targets: str | list[str], advice: str) -> None:
    """Whatever is none of these is refused, before anything is connected, with how to write it."""
    with pytest.raises(TargetError, match=advice):
        parse(targets)


# --- the DNS -----------------------------------------------------------------------------------------------------


def test_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, in one order, with the port that was asked for."""
    asked: list[tuple[object, ...]] = []

    def found(host: str, port: int, **more: object) -> list[tuple[object, ...]]:
        asked.append((host, port, more))
        return [(0, 0, 0, "", place) for place in (("10.0.0.9", 7), ("::1", 7, 0, 0), ("10.0.0.8", 7), ("10.0.0.9", 7))]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    assert Dns("clf.example", 7).addresses() == ("10.0.0.8:7", "10.0.0.9:7", "[::1]:7")
    assert asked == [("clf.example", 7, {"type": socket.SOCK_STREAM})]


def test_a_name_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of the resolver goes to whoever asks."""

    def missing(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", missing)
    with pytest.raises(OSError, match="not known"):
        Dns("no-such-host.invalid", 7).addresses()


# --- Consul ------------------------------------------------------------------------------------------------------


class Agent:
    """Answers, one after the other, what the test says: status, index, body; keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str, object]] = []
        self.asked: list[tuple[str, dict[str, str], str | None]] = []
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                agent.asked.append((url.path, query, self.headers.get("X-Consul-Token")))
                status, index, body = agent.answers.pop(0)
                self.send_response(status)
                self.send_header("X-Consul-Index", index)
                self.end_headers()
                self.wfile.write(orjson.dumps(body))

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"

    @property
    def queries(self) -> list[dict[str, str]]:
        """The queries, in order."""
        return [query for _, query, _ in self.asked]


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """A stand-in for a Consul agent."""
    monkeypatch.delenv("CONSUL_HTTP_TOKEN", raising=False)
    made = Agent()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def node(address: str, port: int, node_address: str = "") -> dict[str, Any]:
    """One instance of a service, as Consul shows it."""
    return {"Node": {"Address": node_address}, "Service": {"Address": address, "Port": port}}


def test_the_passing_instances(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asks for passing ones only; one without an address of its own has that of its node."""
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "secret")
    agent.answers = [(200, "7", [node("10.0.0.9", 2), node("", 1, "10.0.0.8"), node("::1", 3)])]
    service = ConsulService(f"http://{agent.address}", "clf-grpc", "blue", "east")
    assert service.addresses() == ("10.0.0.8:1", "10.0.0.9:2", "[::1]:3")
    assert agent.asked == [
        ("/v1/health/service/clf-grpc", {"passing": "1", "tag": "blue", "dc": "east"}, "secret"),
    ]


def test_the_next_question_waits_for_a_change(agent: Agent) -> None:
    """It is a blocking query with the index of the last answer, so that a change is known at once."""
    agent.answers = [(200, "7", [node("a", 1)]), (200, "9", []), (200, "9", [])]
    service = ConsulService(f"http://{agent.address}", "clf-grpc")
    assert service.pause == 0.1  # for an agent that answers at once all the same
    assert [service.addresses() for _ in range(3)] == [("a:1",), (), ()]
    assert agent.queries == [
        {"passing": "1"},
        {"passing": "1", "index": "7", "wait": "30s"},
        {"passing": "1", "index": "9", "wait": "30s"},
    ]


def test_an_index_that_goes_backwards(agent: Agent) -> None:
    """It is that of a server that began anew: the next question is answered at once."""
    agent.answers = [(200, "7", []), (200, "3", [node("a", 1)]), (200, "4", [node("b", 1)])]
    service = ConsulService(f"http://{agent.address}", "clf-grpc")
    assert [service.addresses() for _ in range(3)] == [(), ("a:1",), ("b:1",)]
    assert [query.get("index") for query in agent.queries] == [None, "7", None]


def test_after_a_failure_nothing_is_waited_for(agent: Agent) -> None:
    """An agent that comes back may have any index, so the first question after a failure is answered at once."""
    agent.answers = [(200, "7", []), (500, "0", "no leader"), (200, "3", [node("a", 1)])]
    service = ConsulService(f"http://{agent.address}", "clf-grpc")
    service.addresses()
    with pytest.raises(ConsulException, match="no leader"):
        service.addresses()
    assert service.addresses() == ("a:1",)
    assert [query.get("index") for query in agent.queries] == [None, "7", None]


def test_no_agent() -> None:
    """The error goes to whoever asks."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(RequestException):
        ConsulService(f"http://{address}", "clf-grpc").addresses()


# --- the address book ----------------------------------------------------------------------------------------------

A, AB = ("a:1",), ("a:1", "b:1")
DOWN = OSError("down")


class Scene:
    """An address book and what it tells."""

    def __init__(self, *answers: Addresses | Exception) -> None:
        self.told: list[Addresses] = []
        self.book = AddressBook(ScriptedLookup(answers), self.told.append)
        self.pauses = [self.book.ask() for _ in answers]


@pytest.fixture
def _steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses without their random part."""
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)


@pytest.mark.parametrize(
    ("answers", "told", "pauses"),
    [
        ([A], [A], [7.0]),
        ([A, A, AB, AB, A], [A, AB, A], [7.0] * 5),
        ([DOWN, A], [A], [0.5, 7.0]),
        ([A, DOWN, DOWN, A], [A], [7.0, 0.5, 1.0, 7.0]),
        ([A, DOWN, AB, DOWN], [A, AB], [7.0, 0.5, 7.0, 0.5]),
        ([A, (), (), A], [A], [7.0] * 4),
        ([A, (), AB], [A, AB], [7.0] * 3),
        ([(), (), A], [A], [7.0] * 3),
        ([DOWN] * 9, [], [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]),
    ],
)
@pytest.mark.usefixtures("_steady")
def test_what_is_known_stays(answers: list[Any], told: list[Addresses], pauses: list[float]) -> None:
    """Changes are told once; a registry that is down or lists nobody changes nothing, and is asked again later."""
    scene = Scene(*answers)
    assert (scene.told, scene.pauses) == (told, pauses)


def test_clients_do_not_come_back_at_once() -> None:
    """Pauses differ by a random quarter, and stay bounded however long it takes."""
    pauses = Scene(*[DOWN] * 2000).pauses
    assert len(set(pauses[10:])) > 1000
    assert all(22.5 <= pause <= 37.5 for pause in pauses[10:])


def test_trouble_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """What went wrong and who stays in use is said at the first failure, and when it is over."""
    caplog.set_level(logging.INFO, "worker.calling.addresses")
    Scene(AB, DOWN, DOWN, (), AB, AB, ())
    assert [record.getMessage() for record in caplog.records] == [
        "servers cannot be looked up (OSError: down); those known stay in use: a:1, b:1",
        "servers are looked up again: a:1, b:1",
        "servers cannot be looked up (no server is listed); those known stay in use: a:1, b:1",
    ]


def test_a_listener_that_fails_is_told_again() -> None:
    """An error on the other side does not end the thread that asks, nor is the change lost."""
    told: list[Addresses] = []

    def changed(addresses: Addresses) -> None:
        told.append(addresses)
        if len(told) == 1:
            raise RuntimeError("no thread could be started")

    book = AddressBook(ScriptedLookup([A, A, A]), changed)
    assert book.ask() < 1.0
    assert [book.ask(), book.ask()] == [7.0, 7.0]
    assert told == [A, A]


def test_it_asks_on_its_own_until_it_is_closed() -> None:
    """The first question is asked at once, on another thread; `close` ends that, and waits for nobody."""
    told = threading.Event()
    asked: list[str] = []

    class Lookup:
        pause = 0.0

        def addresses(self) -> Addresses:
            asked.append(threading.current_thread().name)
            return (f"a:{len(asked)}",)

    book = AddressBook(Lookup(), lambda found: told.set() if found == ("a:3",) else None)
    book.start()
    assert told.wait(TIMEOUT_S)
    book.close()
    book._thread.join(TIMEOUT_S)
    assert not book._thread.is_alive()
    assert set(asked) == {"clf-addresses"}
