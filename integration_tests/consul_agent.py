"""A real HashiCorp Consul agent on this machine, for tests: built from its Go module once, then started in no time.

`python -m integration_tests.consul_agent build` builds it ahead of the tests.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import platformdirs

from integration_tests.system import wait_until
from worker.clock import SystemClock
from worker.kafka.local_base import BrokerError, Say, locked, silent

MODULE = Path(__file__).parent / "consul"
MIN_GO = (1, 21)
INSTALL_GO = "Install it with `sudo apt install golang-go` (Debian) or `brew install go` (macOS)"
# Two thirds of the seconds of a plain build: nothing for a debugger, no inlining, no C compiler (CGO_ENABLED below).
BUILD = (
    "build",
    "-v",
    "-mod=readonly",
    "-trimpath",
    "-buildvcs=false",
    "-ldflags=-s -w",
    "-gcflags=all=-l -dwarf=false",
)
BUILD_TIMEOUT_S = 900.0
LOCK_TIMEOUT_S = 1_000.0  # longer than one build, so that the second of two callers finds what the first one built
SOURCES = {".go", ".mod", ".sum"}
STEP = 50  # a line for the user at every so many packages
LAST_LINES = 20

HOST = "127.0.0.1"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
CALL_TIMEOUT_S = 10.0


class ConsulError(Exception):
    """There is no agent to be had; the text says why."""


# --- building it -----------------------------------------------------------------------------------------------------


def version(module: Path = MODULE) -> str:
    """The version of Consul that the module names."""
    match = re.search(
        r"^\s*(?:require )?github\.com/hashicorp/consul v(\S+)", (module / "go.mod").read_text("utf-8"), re.MULTILINE
    )
    if match is None:
        raise ConsulError(f"{module / 'go.mod'} requires no github.com/hashicorp/consul.")
    return match[1]


def program_path(module: Path = MODULE) -> Path:
    """Where the program of this module is, or will be: in the user's cache directory, under a hash of its sources."""
    digest = hashlib.sha256("\0".join(BUILD).encode())
    for path in sorted(path for path in module.rglob("*") if path.suffix in SOURCES):
        digest.update(f"\0{path.relative_to(module).as_posix()}\0".encode() + path.read_bytes())
    return platformdirs.user_cache_path("clf") / "consul" / f"{version(module)}-{digest.hexdigest()[:12]}" / "consul"


def why_unavailable() -> str | None:
    """Why there is no agent to be had here; None where it is built, or can be as far as one sees without trying."""
    try:
        if not program_path().exists():
            _find_go()
    except ConsulError as error:
        return str(error)
    return None


def _find_go() -> str:
    wanted = ".".join(map(str, MIN_GO))
    go = shutil.which("go")
    if go is None:
        raise ConsulError(f"Building Consul needs Go {wanted} or newer and there is no `go`. {INSTALL_GO}.")
    said = subprocess.run([go, "version"], capture_output=True, text=True, errors="replace", check=False).stdout
    match = re.search(r"\bgo(\d+)\.(\d+)", said)
    if match is None or (int(match[1]), int(match[2])) < MIN_GO:
        raise ConsulError(f"Building Consul needs Go {wanted} or newer, {go} says {said.strip()!r}. {INSTALL_GO}.")
    return go


def program(say: Say = silent) -> Path:
    """Build the agent when that was not done yet, which takes a minute or two; returns its path.

    Raises:
        ConsulError: there is no Go, or it could not build it (with the last lines it said).
    """
    target = program_path()
    if target.exists():
        return target
    root = target.parent.parent
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / f"{target.parent.name}.lock", SystemClock(), LOCK_TIMEOUT_S, say):
        if not target.exists():
            _build(_find_go(), target, say)
    return target


def _build(go: str, target: Path, say: Say) -> None:
    say(f"Building HashiCorp Consul {version()} for the tests (once, a minute or two, into {target.parent}) ...")
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="part-", dir=target.parent) as part:
        with subprocess.Popen(
            [go, *BUILD, "-o", f"{part}/consul", "."],
            cwd=MODULE,
            env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            timer = threading.Timer(BUILD_TIMEOUT_S, process.kill)
            timer.start()
            try:
                tail = _follow(process.stdout, say)
                process.wait()
            finally:
                timer.cancel()
                process.kill()
        if process.returncode != 0:
            raise ConsulError(f"Go could not build Consul (exit code {process.returncode}):\n" + "\n".join(tail))
        Path(part, "consul").replace(target)
    say(f"HashiCorp Consul {version()} is built ({target.stat().st_size // 2**20} MB).")


def _follow(lines: IO[str] | None, say: Say) -> deque[str]:
    """Read what Go says to its end, with a line for the user now and then; returns the end of what is no progress."""
    counts = {"modules downloaded": 0, "packages compiled": 0}
    tail: deque[str] = deque(maxlen=LAST_LINES)
    for line in lines or ():
        if line.startswith("go: downloading"):
            what = "modules downloaded"
        elif re.fullmatch(r"[\w.~/-]+\n", line):
            what = "packages compiled"
        else:
            tail.append(line.rstrip())
            continue
        counts[what] += 1
        if counts[what] % STEP == 0:
            say(f"  {counts[what]} {what} ...")
    return tail


# --- running it ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What the HTTP API said: status, index for blocking queries (0 without one), and the body (JSON, or text)."""

    status: int
    index: int
    body: Any


class ConsulAgent:
    """One server of its own, alone in its cluster, for the time of a `with` block; started on entry.

    It can be stopped and started again on the same port. The port is reserved in between: nobody else gets it, and who
    connects is refused.
    """

    def __init__(self, directory: Path, *, remembers: bool = False, say: Say = silent) -> None:
        """Reserve the ports.

        Args:
            directory: for its log, its settings and its data; made when missing.
            remembers: whether registrations survive a restart; a start then takes two seconds, not a third of one.
            say: takes the progress of the build, if there has to be one.
        """
        self._directory = directory.absolute()
        self._remembers = remembers
        self._program = program(say)
        self._reserved = [_reserve() for _ in range(3)]
        self._ports = [int(reserved.getsockname()[1]) for reserved in self._reserved]
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False

    @property
    def address(self) -> str:
        """Host and port of the HTTP API."""
        return f"{HOST}:{self._ports[0]}"

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process else None

    @property
    def log_file(self) -> Path:
        """What the agent says, every request included."""
        return self._directory / "consul.log"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start it and wait until it has a leader and knows itself; nothing when it runs.

        Raises:
            ConsulError: it ended before that.
            AssertionError: it was not ready in time.
        """
        if self._process is not None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        settings = self._directory / "consul.json"
        settings.write_text(json.dumps(self._settings(), indent=2), "utf-8")
        mode = ["-server", "-bootstrap-expect=1"] if self._remembers else ["-dev"]
        command = [str(self._program), *mode, f"-config-file={settings}"]
        if sys.platform != "linux":
            self._release()  # elsewhere two cannot have one port, not even when only one listens
        elif setpriv := shutil.which("setpriv"):
            # KILL: it ends with the tests even when they die while it is frozen.
            command = [setpriv, "--pdeathsig", "KILL", "--", *command]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._directory, start_new_session=True
            )
        try:
            wait_until(self._ready, f"Consul is ready; its log is {self.log_file}", START_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it (SIGTERM, then SIGKILL), without any farewell to what is registered; nothing when it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        self.thaw()  # a frozen one would not hear it
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Stop the process where it stands (SIGSTOP): connections are accepted, and nothing answers."""
        if self._process is not None and not self._frozen:
            self._process.send_signal(signal.SIGSTOP)
            os.waitpid(self._process.pid, os.WUNTRACED)  # returns when the last of its threads stands still
            self._frozen = True

    def thaw(self) -> None:
        """Let a frozen process go on."""
        if self._process is not None and self._frozen:
            self._process.send_signal(signal.SIGCONT)
            self._frozen = False

    def close(self) -> None:
        """End it and give the ports back."""
        self.stop()
        self._release()

    def call(self, method: str, path: str, body: object = None, timeout_s: float = CALL_TIMEOUT_S) -> Answer:
        """One request to the HTTP API, for example `call("GET", "/v1/health/service/clf?passing")`.

        Raises:
            OSError: nobody listens (ConnectionRefusedError), or no answer in time (TimeoutError).
        """
        connection = HTTPConnection(self.address, timeout=timeout_s)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            said = response.read().decode("utf-8", "replace")
            is_json = "json" in response.headers.get("Content-Type", "")
            index = int(response.headers.get("X-Consul-Index", 0))
            return Answer(response.status, index, json.loads(said) if is_json else said)
        finally:
            connection.close()

    def _ready(self) -> bool:
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            last = self.log_file.read_text("utf-8", "replace").splitlines()[-LAST_LINES:]
            raise ConsulError(f"Consul ended with exit code {code}; its last lines:\n" + "\n".join(last))
        try:
            answer = self.call("GET", "/v1/health/service/consul?passing")
        except (OSError, HTTPException):
            return False
        return answer.status == 200 and answer.body != []

    def _release(self) -> None:
        for reserved in self._reserved:
            reserved.close()

    def _settings(self) -> Mapping[str, object]:
        http, server, serf = self._ports
        off = -1
        return {
            "node_name": "clf-test",
            "bind_addr": HOST,
            "client_addr": HOST,
            "ports": {
                "http": http,
                "server": server,
                "serf_lan": serf,
                "serf_wan": off,
                "dns": off,
                "grpc": off,
                "https": off,
            },
            "connect": {"enabled": False},
            "performance": {"raft_multiplier": 1},
            "disable_update_check": True,
            "log_level": "DEBUG",
            **({"data_dir": str(self._directory / "data")} if self._remembers else {}),
        }


def _reserve() -> socket.socket:
    """A socket on a free port that never listens: the agent may, because both allow it, and nobody else gets the port.

    Serf talks UDP too, so the number is free there as well (and only probably stays so: Go does not share such ports).
    """
    while True:
        reserved, datagrams = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind((HOST, 0))
        with datagrams:
            try:
                datagrams.bind(reserved.getsockname())
            except OSError:
                reserved.close()
                continue
        return reserved


# --- the command line ------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Build it ahead of the tests. Without Go this says so and is no failure: the tests that need it are skipped."""
    parser = argparse.ArgumentParser(prog="python -m integration_tests.consul_agent", description=main.__doc__)
    parser.add_argument("command", choices=["build"])
    parser.parse_args(arguments)
    say = partial(print, flush=True)
    if reason := why_unavailable():
        say(f"Left out: the tests on a real Consul. {reason}")
        return 0
    try:
        say(f"HashiCorp Consul {version()} for the tests: {program(say)}")
    except (ConsulError, BrokerError, OSError) as error:
        say(f"Error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
