"""Remote stores between real processes: a web server at the other end, copies at once, kills, a full disk."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Event
from time import perf_counter

import pytest

from models.bundle import BundleContent, write_bundle
from models.reader import WEIGHTS_NAME
from models.remote import RemoteStore
from models.remote_files import UnreachableError
from models.store import Store, StoreError
from models.tests.remote_stores import Told, WebServer, names, web_server

ROOT = Path(__file__).parents[2]
TEXTS = ["The museum opened."]

# Loads what is active, with files of at most argv[3] bytes.
LOADER = """
import resource, sys
from pathlib import Path
from models.opening import open_store
from models.store import StoreError
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    print(sorted(open_store(sys.argv[1], cache=Path(sys.argv[2])).load_active()))
except StoreError as error:
    sys.exit(str(error))
"""

# Opens a local store, and says what was imported for it.
LOCAL = """
import sys
import worker.commands.models, worker.commands.worker, worker.commands.classify
from models.opening import open_store
open_store(sys.argv[1]).load_active()
print(sorted({"fsspec", "cryptography", "aiohttp"} & set(sys.modules)))
"""


def run(code: str, *arguments: object) -> "subprocess.Popen[str]":
    """A process that runs this."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def origin(tmp_path: Path, content: BundleContent) -> Store:
    """The store at the other end, with one active model, which has one file that no client reads in one request."""
    store = Store(tmp_path / "origin")
    write_bundle(store.path("en", "v1"), "v1", content, pipeline=Random(7).randbytes(8_000_000))  # noqa: S311 - no secret
    store.activate("en", "v1")
    return store


@pytest.fixture
def server(origin: Store) -> Iterator[WebServer]:
    """A web server in front of it."""
    with web_server(origin.root) as server:
        yield server


def test_a_store_behind_a_web_server(server: WebServer, origin: Store, tmp_path: Path) -> None:
    """Models are listed, copied and loaded over HTTP, and stay usable while the server fails and after it is gone."""
    told = Told()
    remote = RemoteStore(server.url, tmp_path / "cache", watch=told)
    assert (remote.languages(), remote.versions("en"), remote.active("fr")) == (["en"], ["v1"], None)
    assert remote.load_active()["en"].predict(TEXTS) == origin.load("en", "v1").predict(TEXTS)
    with pytest.raises(StoreError, match=r"no version 'v9'"):
        remote.load("en", "v9")
    with pytest.raises(StoreError, match="could not be written"):
        remote.activate("en", "v1")
    server.failing = "ACTIVE"
    assert remote.active("en") == "v1", "a file that is not given is not a file that is not there"
    assert len(told.warnings) == 1
    server.failing = "/"
    assert remote.active("en") == "v1"
    assert remote.load_active().keys() == {"en"}
    assert len(told.warnings) == 1
    assert "503" in told.warnings[0]
    with pytest.raises(UnreachableError, match="503"):
        RemoteStore(server.url, tmp_path / "empty").load_active()
    server.failing = None
    assert remote.active("en") == "v1"
    server.shutdown()
    server.server_close()
    assert remote.load_active().keys() == {"en"}
    assert len(told.warnings) == 2


def test_processes_that_copy_at_once(server: WebServer, origin: Store, tmp_path: Path) -> None:
    """Four processes start with an empty cache: all have the model, and each file was copied once."""
    processes = [run(LOADER, server.url, tmp_path / "cache") for _ in range(4)]
    assert [process.communicate(timeout=60) for process in processes] == [("['en']\n", "")] * 4
    files = origin.manifest("en", "v1").files
    assert {name: server.given[f"/en/v1/{name}"] for name in files} == dict.fromkeys(files, 1)
    assert names(RemoteStore(server.url, tmp_path / "cache").root / "en") == ["ACTIVE", "v1"]


def test_a_process_is_killed_while_it_copies(server: WebServer, tmp_path: Path) -> None:
    """What it leaves is never seen as a model; the next one is not held up, and removes it."""
    remote = RemoteStore(server.url, tmp_path / "cache")
    server.stalled = Event()
    process = run(LOADER, server.url, tmp_path / "cache")
    unfinished = remote.root / "en" / ".v1.tmp" / WEIGHTS_NAME
    start = perf_counter()
    while not unfinished.exists():
        assert process.poll() is None, process.communicate()
        assert perf_counter() - start < 30
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert unfinished.exists()
    server.stalled.set()
    server.stalled = None
    assert remote.load_active().keys() == {"en"}
    assert names(remote.root / "en") == ["ACTIVE", "v1"]


def test_a_disk_that_is_full(server: WebServer, tmp_path: Path) -> None:
    """When a file cannot be written the message says where and what to do; nothing is left, and room repairs it."""
    process = run(LOADER, server.url, tmp_path / "cache", 1000)
    out, error = process.communicate(timeout=60)
    assert (out, process.returncode) == ("", 1)
    for part in ("could not be copied to", str(tmp_path / "cache"), "File too large", "--model-cache"):
        assert part in error
    remote = RemoteStore(server.url, tmp_path / "cache")
    assert names(remote.root / "en") == []
    assert remote.load_active().keys() == {"en"}


def test_local_stores_pay_for_no_network(origin: Store) -> None:
    """Commands and local stores import neither fsspec nor cryptography."""
    assert run(LOCAL, origin.root).communicate(timeout=60) == ("[]\n", "")
