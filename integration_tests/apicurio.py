"""A real schema registry: Apicurio, whose application Maven Central has as one archive (142 MB, fetched once)."""

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

import platformdirs

from integration_tests.system import free_port, wait_until

VERSION: Final = "2.6.13.Final"
_ARTIFACT: Final = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
_FETCH_SECONDS: Final = 300.0
_START_SECONDS: Final = 120.0


class NoRegistryError(Exception):
    """It cannot be had here. The text says why."""


def installed() -> Path:
    """The runner's jar, in the user's cache directory, fetched when it is not there yet.

    Raises:
        NoRegistryError: there is no Java, no Maven, or no such artifact.
    """
    home = platformdirs.user_cache_path("clf") / "apicurio" / VERSION
    jar = home / f"apicurio-registry-app-{VERSION}-runner.jar"
    if jar.exists():
        return jar
    maven = shutil.which("mvn")
    if maven is None or shutil.which("java") is None:
        raise NoRegistryError("Apicurio needs Java and Maven.")
    home.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home.parent) as directory:
        command = [maven, "-q", "-B", _COPY, f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={directory}"]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_FETCH_SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise NoRegistryError(f"{_ARTIFACT} could not be fetched: {type(error).__name__}.") from error
        [archive] = Path(directory).glob("*.tar.gz")
        with tarfile.open(archive) as content:
            content.extractall(Path(directory) / "app", filter="data")
        (Path(directory) / "app").rename(home)
    return jar


@contextmanager
def apicurio(log: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """One that keeps everything in memory, for the time of the block: its URL for Confluent's clients, its process."""
    jar, port = installed(), free_port()
    options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    options += ["-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}"]
    with log.open("wb") as output:
        process = subprocess.Popen(["java", *options, "-jar", str(jar)], stdout=output, stderr=output)  # noqa: S607 - the one that `installed` found
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    try:
        wait_until(lambda: _answers(url, process), f"Apicurio answers; its log is {log}", _START_SECONDS)
        yield url, process
    finally:
        process.kill()
        process.wait()


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"Apicurio ended with {process.returncode}.")
    try:
        with urlopen(f"{url}/subjects", timeout=2) as answer:  # noqa: S310 - http to the loopback
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
