"""The tools of `make deploy-check` that are built from Go modules: kustomize, kubeconform, a reader of compose files.

Also finds what other modules ship: the schemas of custom resources.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import platformdirs
import pytest

from worker.clock import SystemClock
from worker.kafka.local_base import locked

SOURCES = Path(__file__).parent / "go"
PACKAGES = ("./compose", "github.com/yannh/kubeconform/cmd/kubeconform", "sigs.k8s.io/kustomize/kustomize/v5")
BUILD_TIMEOUT_S = 1_500.0
DOWNLOAD_TIMEOUT_S = 300.0

_GO = shutil.which("go") or ""
NEEDS_GO = pytest.mark.skipif(not _GO, reason="its tools are built with Go 1.24 or newer")


def run(command: list[str], text: str = "") -> str:
    """What a tool prints, given `text`; it must end well, or what it says is the error."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


@cache
def tool(name: str) -> str:
    """The path of one of the tools; all are built when one is missing, which takes minutes."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(SOURCES.rglob("*")) if path.is_file()))
    target = platformdirs.user_cache_path("clf") / "deploy-tools" / digest.hexdigest()[:12]
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.parent / f"{target.name}.lock", SystemClock(), BUILD_TIMEOUT_S, print):
        if not target.exists():
            with tempfile.TemporaryDirectory(prefix="part-", dir=target.parent) as part:
                command = [
                    _GO,
                    "build",
                    "-mod=readonly",
                    "-trimpath",
                    "-ldflags=-s -w",
                    "-o",
                    f"{part}/bin/",
                    *PACKAGES,
                ]
                environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
                subprocess.run(command, cwd=SOURCES, env=environment, check=True, timeout=BUILD_TIMEOUT_S)
                Path(part, "bin").rename(target)
    return str(target / name)


@cache
def module(path: str, version: str, checksum: str) -> Path:
    """Where a Go module lies after it was downloaded; `checksum` is what `go.sum` would say of it."""
    done = subprocess.run(
        [_GO, "mod", "download", "-json", f"{path}@{version}"],
        cwd=SOURCES,
        capture_output=True,
        text=True,
        check=False,
        timeout=DOWNLOAD_TIMEOUT_S,
    )
    found = json.loads(done.stdout)
    assert found.get("Sum") == checksum, f"{path}@{version}: {found.get('Error') or found.get('Sum')}"
    return Path(found["Dir"])


def main() -> None:
    """Build them before the tests ask for them; without Go there is nothing to do."""
    if _GO:
        tool("kustomize")


if __name__ == "__main__":
    main()
