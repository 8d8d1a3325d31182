"""Stores that tests can take away, slow down and count: a file system with faults, and a real web server."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from models.watching import Advance


class FaultyFileSystem(LocalFileSystem):  # type: ignore[misc] # fsspec has no annotations
    """Local files behind `faulty://`, as the class attributes say; a connection that is lost stays lost."""

    protocol = "faulty"
    down: ClassVar[bool] = False
    """Whether every request fails."""
    broken: ClassVar[str] = ""
    """A part of a path; requests for such paths fail."""
    hanging: ClassVar[Event | None] = None
    """Requests wait until this is set."""
    opened: ClassVar[Counter[str]] = Counter()
    """How often each file was opened, by its last name."""

    def __init__(self, **options: object) -> None:
        self._lost = False
        self._fail("a connection")
        super().__init__(**options)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(str(path).removeprefix("faulty://")))

    @classmethod
    def reset(cls) -> None:
        """As new."""
        cls.down, cls.broken, cls.hanging, cls.opened = False, "", None, Counter()

    def ls(self, path: str, detail: bool = False, **options: object) -> Any:  # noqa: ANN401, FBT001, FBT002 - fsspec's signature
        """The names in a directory."""
        self._fail(path)
        return super().ls(path, detail, **options)

    def info(self, path: Any, **options: object) -> Any:  # noqa: ANN401 - fsspec's signature
        """What is known of a file."""
        self._fail(path)
        return super().info(path, **options)

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: object) -> Any:  # noqa: ANN401 - fsspec's signature
        self._fail(path)
        self.opened[Path(path).name] += 1
        return super()._open(path, mode, block_size, **options)

    def _fail(self, path: object) -> None:
        if self.hanging is not None:
            self.hanging.wait(60)
        self._lost = self._lost or self.down
        if self._lost or (self.broken and self.broken in str(path)):
            raise OSError(113, "No route to host")


fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)


class Told:
    """A `models.watching.Watch` that keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.copies: list[tuple[str, int]] = []
        self.bytes = 0

    @contextmanager
    def copying(self, what: str, total_bytes: int) -> Iterator[Advance]:
        """Keep it."""
        self.copies.append((what, total_bytes))
        yield self._advance

    def warn(self, sentence: str) -> None:
        """Keep it."""
        self.warnings.append(sentence)

    def _advance(self, count: int) -> None:
        self.bytes += count


class WebServer(ThreadingHTTPServer):
    """Serves a directory, with pages that list it, counts what it gave, and fails for some paths on demand."""

    def __init__(self, directory: Path) -> None:
        self.given: Counter[str] = Counter()
        self.failing: str | None = None
        self.stalled: Event | None = None
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(directory)))

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(SimpleHTTPRequestHandler):
    server: WebServer

    def do_GET(self) -> None:
        """One file or listing; of a large file only the half while the server is stalled."""
        if self._fails():
            self.send_error(503)
            return
        self.server.given[self.path] += 1
        if self.server.stalled is not None and self.path.endswith("weights.npy"):
            data = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.server.stalled.wait(60)
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        """The size of a file."""
        if self._fails():
            self.send_error(503)
        else:
            super().do_HEAD()

    def _fails(self) -> bool:
        return self.server.failing is not None and self.server.failing in self.path

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Nothing."""


@contextmanager
def web_server(directory: Path) -> Iterator[WebServer]:
    """A web server for the time of the block."""
    server = WebServer(directory)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        if server.stalled is not None:
            server.stalled.set()
        server.shutdown()
        thread.join()
        server.server_close()


def flip(path: Path, where: int = -1) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)


def names(directory: Path) -> list[str]:
    """What lies in a directory, hidden or not, but for the lock."""
    return sorted(path.name for path in directory.iterdir() if path.name != ".lock")
