"""The port for health and metrics: /status, /ready, /metrics, a page for people at /, and 404 for the rest."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from socketserver import TCPServer
from typing import Any, NamedTuple

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST

log = structlog.get_logger(__name__)

_JSON = "application/json"
_CLOSE_SECONDS = 0.05  # closing takes that long at most
# Each has a thread. Answers take milliseconds, so whoever has been here longest when one more comes is no good caller.
_MOST_CONNECTIONS = 64


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = {}


Route = Callable[[], Answer]


def routes(
    not_ready_because: Callable[[], str | None], metrics: Callable[[], bytes], page: Route | None = None
) -> dict[str, Route]:
    """What the port answers. `not_ready_because` gives None when traffic may come; `page` is what people get."""

    def ready() -> Answer:
        reason = not_ready_because()
        if reason is None:
            return Answer(200, _JSON, orjson.dumps({"status": "ready"}))
        return Answer(503, _JSON, orjson.dumps({"status": "not ready", "reason": reason}))

    table = {
        "/status": lambda: Answer(200, _JSON, orjson.dumps({"status": "ok"})),
        "/ready": ready,
        "/metrics": lambda: Answer(200, CONTENT_TYPE_LATEST, metrics()),
    }
    return table if page is None else {**table, "/": page}


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

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._lock = threading.Lock()
        self._open: dict[socket, None] = {}  # the oldest first
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind, without the base class's question to the name server, which may take long and is of no use here."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "clf", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class says so
        """Answer on a thread of its own; the oldest connection makes room where there are too many."""
        with self._lock:
            self._open[request] = None
            if len(self._open) > _MOST_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with suppress(OSError):  # it has just gone by itself
                    oldest.shutdown(SHUT_RDWR)  # its thread finds that out, and closes it
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as above
        """Close a connection, whoever ended it."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

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
        timeout = 10  # seconds that a caller may say nothing
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
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Probes come every second; they are not worth a line."""

    return Handler
