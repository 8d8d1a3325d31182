"""The port for health and metrics, over real sockets on this machine."""

import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import orjson
import pytest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from worker.clock import SystemClock
from worker.serve.http import Answer, HttpServer, routes


class App:
    """What the routes ask."""

    def __init__(self) -> None:
        self.reason: str | None = "no partitions"
        self.metrics = b"clf_x 1\n"

    def exposition(self) -> bytes:
        """The metrics, unless that fails."""
        if not self.metrics:
            raise RuntimeError("broken")
        return self.metrics


@pytest.fixture
def app() -> App:
    """Not ready yet."""
    return App()


@pytest.fixture
def server(app: App) -> Iterator[HttpServer]:
    """A server on a free port."""
    made = HttpServer("127.0.0.1", 0, routes(lambda: app.reason, app.exposition))
    yield made
    made.close()


def ask(server: HttpServer, path: str, method: str = "GET") -> tuple[HTTPResponse, bytes]:
    """One answer and its body."""
    connection = HTTPConnection(server.host, server.port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def test_status(server: HttpServer) -> None:
    """It lives, in JSON, whether or not it is ready."""
    answer, body = ask(server, "/status")
    assert (answer.status, answer.headers["Content-Type"], body) == (200, "application/json", b'{"status":"ok"}')


def test_ready_says_why_not(server: HttpServer, app: App) -> None:
    """503 with the reason until there is none."""
    answer, body = ask(server, "/ready")
    assert (answer.status, orjson.loads(body)) == (503, {"status": "not ready", "reason": "no partitions"})
    app.reason = None
    answer, body = ask(server, "/ready")
    assert (answer.status, orjson.loads(body)) == (200, {"status": "ready"})


def test_metrics(server: HttpServer) -> None:
    """In Prometheus' own content type."""
    answer, body = ask(server, "/metrics")
    assert (answer.status, answer.headers["Content-Type"], body) == (200, CONTENT_TYPE_LATEST, b"clf_x 1\n")


def test_the_page_for_people(app: App) -> None:
    """Where there is one it stands at /, with the headers it asks for; whatever else one tries is not found."""
    page = Answer(200, "text/html", b"<p>", {"Content-Security-Policy": "default-src 'none'"})
    server = HttpServer("127.0.0.1", 0, routes(lambda: app.reason, app.exposition, lambda: page))
    try:
        for path in ("/", "/?x=1"):
            answer, body = ask(server, path)
            assert (answer.status, answer.headers["Content-Security-Policy"], body) == (
                200,
                "default-src 'none'",
                b"<p>",
            )
        for path in ("/index.html", "/status.js", "/status/", "/./"):
            assert ask(server, path)[0].status == 404
    finally:
        server.close()


@pytest.mark.parametrize("path", ["/", "/statusx", "/status/", "/../etc/passwd", "/%2e%2e", "*"])
def test_the_rest_is_not_found(server: HttpServer, path: str) -> None:
    """404 tells what there is, and echoes nothing of what was asked for."""
    answer, body = ask(server, path)
    assert answer.status == 404
    assert orjson.loads(body) == {"error": "Try /status, /ready, /metrics."}


def test_a_query_string_does_not_matter(server: HttpServer) -> None:
    """Probes may add one."""
    assert ask(server, "/status?verbose=1&x=?")[0].status == 200


def test_head_has_no_body(server: HttpServer) -> None:
    """HEAD answers as GET would, with the length and without the body."""
    answer, body = ask(server, "/status", "HEAD")
    assert (answer.status, answer.headers["Content-Length"], body) == (200, "15", b"")
    assert ask(server, "/ready", "HEAD")[0].status == 503


@pytest.mark.parametrize("method", ["POST", "DELETE", "BREW"])
def test_other_methods_are_refused(server: HttpServer, method: str) -> None:
    """Nothing here can be written to."""
    assert ask(server, "/status", method)[0].status == 501


def test_a_slow_caller_holds_up_nobody(server: HttpServer) -> None:
    """Callers that connect and say little or nothing leave the others their answers."""
    slow = [socket.create_connection((server.host, server.port)) for _ in range(20)]
    try:
        for connection in slow[:10]:
            connection.sendall(b"GET /status HT")
        clock = SystemClock()
        started = clock.monotonic()
        assert ask(server, "/status")[0].status == 200
        assert clock.monotonic() - started < 2
    finally:
        for connection in slow:
            connection.close()


def test_a_crowd_of_silent_callers_holds_up_nobody(server: HttpServer) -> None:
    """However many there are, their threads stay few: whoever came first makes room, and good callers are answered."""
    before = threading.active_count()
    crowd = [socket.create_connection((server.host, server.port)) for _ in range(100)]
    try:
        assert ask(server, "/status")[0].status == 200
        crowd[0].settimeout(5)
        assert crowd[0].recv(1) == b"", "the first one was hung up on"
        crowd[-1].sendall(b"GET /status HTTP/1.0\r\n\r\n")
        assert crowd[-1].recv(15) == b"HTTP/1.0 200 OK"
        assert threading.active_count() - before < 70
    finally:
        for connection in crowd:
            connection.close()


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 50]
)
def test_garbage_does_no_harm(server: HttpServer, garbage: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """TLS on the plain port and other nonsense is answered or hung up on, and nothing is printed."""
    with socket.create_connection((server.host, server.port), timeout=5) as connection:
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    assert ask(server, "/status")[0].status == 200
    assert capfd.readouterr() == ("", "")


def test_a_failing_route_does_not_stop_the_server(server: HttpServer, app: App) -> None:
    """When the metrics cannot be written the caller gets a 500 without details, and the next one its answer."""
    app.metrics = b""
    answer, body = ask(server, "/metrics")
    assert (answer.status, orjson.loads(body)) == (500, {"error": "This is a bug; the log has more."})
    assert ask(server, "/status")[0].status == 200


def test_a_port_in_use(server: HttpServer) -> None:
    """A second server on the same port is refused, rather than sharing it."""
    with pytest.raises(OSError, match="in use"):
        HttpServer(server.host, server.port, {})


def test_starting_asks_no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken DNS, as in many a container, must not delay the start."""

    def never(_: object = "") -> str:
        raise AssertionError("the name of this host was looked up")

    monkeypatch.setattr(socket, "getfqdn", never)
    HttpServer("127.0.0.1", 0, {}).close()


def test_closed_is_closed(app: App) -> None:
    """After `close` the port is free again, and no thread of the server is left."""
    server = HttpServer("127.0.0.1", 0, routes(lambda: app.reason, app.exposition))
    ask(server, "/status")
    server.close()
    with pytest.raises(ConnectionRefusedError):
        ask(server, "/status")
    HttpServer(server.host, server.port, {}).close()
    assert "http" not in {thread.name for thread in threading.enumerate()}
