"""The image that deploy/docker/Dockerfile makes, where an engine runs: `CLF_IMAGE=clf make deploy-check`.

Containers are started as compose.yml and Kubernetes start them: nothing writable but /tmp, and no capability.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from integration_tests.system import System, wait_until
from schemas.document import Document

IMAGE = os.environ.get("CLF_IMAGE", "")
SAFE = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host")
SECONDS = 120.0

pytestmark = [
    pytest.mark.skipif(not IMAGE, reason="CLF_IMAGE names no image; deploy/README.md tells how to make one"),
    pytest.mark.broker,
    pytest.mark.timeout(400),
]


def engine(*arguments: str, text: str = "") -> "subprocess.CompletedProcess[str]":
    """Ask the engine."""
    command = [shutil.which("docker") or "docker", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def docker(*arguments: str, text: str = "") -> str:
    """What the engine prints; it must do as it is told."""
    done = engine(*arguments, text=text)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


@contextmanager
def container(store: Path, *arguments: str) -> Iterator[str]:
    """A container with this command, removed at the end."""
    name = docker("run", "--detach", *SAFE, f"--volume={store}:/models:ro", IMAGE, *arguments)
    try:
        yield name
    finally:
        docker("rm", "--force", name)


def state(name: str) -> dict[str, object]:
    """What the engine knows of a container."""
    found: dict[str, object] = json.loads(docker("inspect", name))[0]["State"]
    return found


def healthy(name: str) -> bool:
    """Whether its health check says so; fails with its log when it has ended."""
    found = state(name)
    assert found["Running"], engine("logs", name).stderr
    health = found["Health"]
    assert isinstance(health, dict)
    return bool(health["Status"] == "healthy")


@pytest.fixture
def readable(model_store: Path) -> Path:
    """The store, readable for the user of the image too."""
    for path in [model_store, *model_store.rglob("*"), *model_store.parents]:
        if path.stat().st_uid == os.getuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    return model_store


def test_a_worker(system: System, readable: Path) -> None:
    """It is healthy, classifies a document with the native scorer, and stops in order when the engine says so."""
    options = [*system.options(), "--http-port", "0", "--slot", "1"]
    with container(readable, "worker", *options) as name:
        wait_until(lambda: healthy(name), "the container is healthy", SECONDS)
        text = "A late goal won the match for the home side, and the striker was cheered by the crowd."
        system.send([Document("https://site.example/", "Cup final", text, "en")])
        system.await_settled(1, SECONDS)
        (record,) = system.results()
        assert orjson.loads(record.value or b"")["status"] == "classified"
        assert "reference scorer" not in engine("logs", name).stderr
        assert docker("exec", name, "id", "-u") == "10001"
        assert "Read-only file system" in engine("exec", name, "touch", "/opt/x").stderr
        docker("stop", "--time=60", name)
        assert state(name)["ExitCode"] == 0


def test_a_server(readable: Path) -> None:
    """Two processes in one container: both are looked at by the health check, and a call is answered."""
    options = ["--processes=2", "--grpc-port=0", "--http-port=0"]
    with container(readable, "serve", *options) as name:
        wait_until(lambda: healthy(name), "the container is healthy", SECONDS)
        services = json.loads(docker("exec", name, "cat", "/tmp/service.json"))["services"]  # noqa: S108 - in the container
        assert set(services) == {"clf-grpc", "clf-health", "clf-grpc-1", "clf-health-1"}
        port = services["clf-grpc"].rpartition(":")[2]
        document = '{"url": "u", "text": "A late goal won the match.", "lang": "en"}\n'
        said = docker("exec", "--interactive", name, "clf", "classify", "--grpc", f"127.0.0.1:{port}", text=document)
        assert "u" in said
        docker("stop", "--time=60", name)
        assert state(name)["ExitCode"] == 0
