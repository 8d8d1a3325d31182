"""The port for health and metrics: /status, /ready, /metrics, and 404 for the rest."""

import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, NamedTuple

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST

log = structlog.get_logger(__name__)

_JSON = "application/json"
_CLOSE_SECONDS = 0.05  # closing takes that long at most


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    content_type: str
    body: bytes


Route = Callable[[], Answer]


def routes(not_ready_because: Callable[[], str | None], metrics: Callable[[], bytes]) -> dict[str, Route]:
    """What the port answers. `not_ready_because` gives None when traffic may come."""

    def ready() -> Answer:
        reason = not_ready_because()
        if reason is None:
            return Answer(200, _JSON, orjson.dumps({"status": "ready"}))
        return Answer(503, _JSON, orjson.dumps({"status": "not ready", "reason": reason}))

    return {
        "/status": lambda: Answer(200, _JSON, orjson.dumps({"status": "ok"})),
        "/ready": ready,
        "/metrics": lambda: Answer(200, CONTENT_TYPE_LATEST, metrics()),
    }


class HttpServer:
    """Serves the routes on threads of its own, until closed."""

    def __init__(self, host: str, port: int, table: dict[str, Route]) -> None:
        """Start to serve; port 0 takes a free one.

        Raises:
            OSError: the port is taken or may not be used.
        """
        self._server = _Server((host, port), _handler(table))
        self.host, self.port = host, int(self._server.server_address[1])
        serve = partial(self._server.serve_forever, poll_interval=_CLOSE_SECONDS)
        self._thread = threading.Thread(target=serve, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # the default of 5 makes callers wait whole seconds for a connection

    def server_bind(self) -> None:
        """Bind, without the base class's question to the name server, which may take long and is of no use here."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "clf", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class says so
        """A caller that hangs up is its own business."""


def _safely(route: Route) -> Answer:
    try:
        return route()
    except Exception:
        log.exception("http_failed", reason="This is a bug. The work itself goes on.")
        return Answer(500, _JSON, _error("This is a bug; the log has more."))


def _error(sentence: str) -> bytes:
    return orjson.dumps({"error": sentence})


def _handler(table: dict[str, Route]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds a slow caller may hold a thread
        server_version = "clf"
        sys_version = ""

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            route = table.get(self.path.partition("?")[0])
            answer = _safely(route) if route else Answer(404, _JSON, _error(f"Try {', '.join(table)}."))
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if with_body:
                self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Probes come every second; they are not worth a line."""

    return Handler
