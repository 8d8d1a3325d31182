"""Java, Maven and the jars of the local broker: found, checked, fetched once, kept outside the checkout."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import zipfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from worker.clock import Clock, SystemClock
from worker.kafka.local_base import BrokerError, Say, locked, silent

MIN_JAVA = 17
FETCH_TIMEOUT_S = 900.0
LOCK_TIMEOUT_S = 1_000.0  # longer than one fetch, so that the second of two callers finds the jars of the first
LISTING = "jars.json"
INSTALL_JAVA = (
    "Install it with `sudo apt install openjdk-17-jre-headless` (Debian) or `brew install openjdk@17` (macOS)"
)
INSTALL_MAVEN = "Install it with `sudo apt install maven` (Debian) or `brew install maven` (macOS)"
UNREACHABLE = re.compile(
    r"unknown host|name resolution|connect timed out|connection (refused|timed out|reset)|unreachable|"
    r"no route to host|cannot access|could not transfer|offline mode",
    re.IGNORECASE,
)


def settings_directory() -> Path:
    """Where pom.xml, server.properties and log4j2.properties are: in the wheel, otherwise in the checkout."""
    here = Path(__file__).resolve()
    for candidate in (here.parent / "local", here.parents[2] / "deploy" / "kafka"):
        if (candidate / "pom.xml").is_file():
            return candidate
    raise BrokerError(f"The broker's settings (pom.xml) are missing beside {here.parent}. Install clf-worker again.")


def _program(name: str, home_variable: str) -> str | None:
    home = os.environ.get(home_variable)
    if home and os.access(Path(home) / "bin" / name, os.X_OK):
        return str(Path(home) / "bin" / name)
    return shutil.which(name)


def find_java() -> str:
    """Path of a java that can run Kafka 4 (JAVA_HOME first, then PATH); raises BrokerError when there is none."""
    java = _program("java", "JAVA_HOME")
    if java is None:
        raise BrokerError(f"The local broker needs Java {MIN_JAVA} or newer and there is no `java`. {INSTALL_JAVA}.")
    said = _java_version_text(java)
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    if match is None:
        raise BrokerError(f"`{java} -version` does not tell its version, it says: {said[:300]!r}. {INSTALL_JAVA}.")
    if int(match[1]) < MIN_JAVA:
        raise BrokerError(
            f"The local broker needs Java {MIN_JAVA} or newer, {java} is Java {match[1]}. {INSTALL_JAVA}, "
            "then point JAVA_HOME at it."
        )
    return java


def _java_version_text(java: str) -> str:
    try:
        result = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrokerError(f"`{java} -version` failed: {error}. {INSTALL_JAVA}.") from error
    return result.stderr + result.stdout


def find_maven() -> str:
    """Path of mvn (MAVEN_HOME first, then PATH); raises BrokerError when there is none."""
    maven = _program("mvn", "MAVEN_HOME")
    if maven is None:
        raise BrokerError(
            f"Fetching the local broker's jars needs Maven (once) and there is no `mvn`. {INSTALL_MAVEN}, "
            "or set CLF_BOOTSTRAP_SERVERS to use an existing cluster."
        )
    return maven


@dataclass(frozen=True, slots=True)
class JarCache:
    """The jars that one POM asks for, under `root/<Kafka version>-<hash of the POM>/`."""

    pom: Path
    root: Path

    @classmethod
    def default(cls) -> "JarCache":
        """The project's own POM, in the user's cache directory (XDG_CACHE_HOME on Linux)."""
        return cls(settings_directory() / "pom.xml", platformdirs.user_cache_path("clf") / "kafka")

    @property
    def version(self) -> str:
        """The Kafka version that the POM names."""
        match = re.search(r"<kafka\.version>\s*([\w.-]+)\s*</kafka\.version>", self.pom.read_text("utf-8"))
        if match is None:
            raise BrokerError(f"{self.pom} names no <kafka.version>. Restore the file.")
        return match[1]

    @property
    def directory(self) -> Path:
        """Where the jars are, or will be."""
        digest = hashlib.sha256(self.pom.read_bytes()).hexdigest()[:12]
        return self.root / f"{self.version}-{digest}"

    def ensure(self, say: Say = silent, clock: Clock | None = None) -> Path:
        """Return the directory of verified jars, fetching them first when they are missing or damaged.

        Safe to call from any number of processes at once: one fetches, the others wait for it.

        Raises:
            BrokerError: Maven is missing, cannot reach its repository, or the disk is full.
        """
        if not self.problem():
            return self.directory
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with locked(self.root / f"{self.directory.name}.lock", clock or SystemClock(), LOCK_TIMEOUT_S, say):
                if self.problem():
                    self._fetch(say)
        except OSError as error:
            raise BrokerError(
                f"The broker's jars cannot be kept in {self.root}: {error.strerror or error}. Free some space there "
                "(45 MB are needed), or point XDG_CACHE_HOME at a writable directory."
            ) from error
        return self.directory

    def problem(self, directory: Path | None = None) -> str:
        """Why the cached jars cannot be used; empty when they can."""
        directory = directory or self.directory
        try:
            sizes = json.loads((directory / LISTING).read_text("utf-8"))
            if sizes != {jar.name: jar.stat().st_size for jar in directory.glob("*.jar")}:
                return f"the jars in {directory} are not those that {LISTING} names"
            found = broker_version(directory / f"kafka_2.13-{self.version}.jar")
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            return f"{directory} holds no complete set of jars: {error}"
        return "" if found == self.version else f"the broker's jar is version {found!r}, not {self.version}"

    def _fetch(self, say: Say) -> None:
        name = self.directory.name
        for stale in self.root.glob(f"{name}.part-*"):
            shutil.rmtree(stale, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f"{name}.part-", dir=self.root))
        try:
            say(f"Fetching Apache Kafka {self.version} with Maven (once, 45 MB, into {self.directory}) ...")
            _run_maven(find_maven(), self.pom, part, say)
            sizes = {jar.name: jar.stat().st_size for jar in part.glob("*.jar")}
            (part / LISTING).write_text(json.dumps(sizes), "utf-8")
            if problem := self.problem(part):
                raise BrokerError(f"Maven fetched something else than {self.pom} asks for: {problem}. Try again.")
            shutil.rmtree(self.directory, ignore_errors=True)
            part.rename(self.directory)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        say(f"Apache Kafka {self.version} is ready to start ({len(sizes)} jars).")


def broker_version(jar: Path) -> str:
    """The version in the manifest of Kafka's broker jar; raises KeyError, OSError or BadZipFile without one."""
    with zipfile.ZipFile(jar) as archive:
        manifest = archive.read("META-INF/MANIFEST.MF").decode("utf-8", "replace")
    match = re.search(r"^Version:\s*(\S+)", manifest, re.MULTILINE)
    return match[1] if match else ""


def _run_maven(maven: str, pom: Path, target: Path, say: Say) -> None:
    """Copy what the POM asks for into `target`; checksums are enforced, and earlier misses are tried again."""
    options = ["--batch-mode", "--update-snapshots", "--strict-checksums", "--file", str(pom)]
    command = [maven, *options, "validate", f"-DoutputDirectory={target}"]
    tail: deque[str] = deque(maxlen=200)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        timer = threading.Timer(FETCH_TIMEOUT_S, process.kill)
        timer.start()
        try:
            _follow(process, tail, say)
        finally:
            timer.cancel()
            process.kill()
    if process.returncode != 0:
        raise BrokerError(_explain_maven(process.returncode, tail))


def _follow(process: subprocess.Popen[str], tail: deque[str], say: Say) -> None:
    """Read what Maven says to its end, with a line for the user at every 25th file."""
    fetched = 0
    for line in process.stdout or ():
        tail.append(line.rstrip())
        fetched += line.startswith(("Downloaded", "[INFO] Downloaded")) and ".jar" in line
        if fetched and fetched % 25 == 0 and ".jar" in line:
            say(f"  {fetched} files fetched ...")
    process.wait()


def _explain_maven(code: int, tail: deque[str]) -> str:
    said = "\n".join(line for line in tail if "ERROR" in line) or "\n".join(tail)
    if "No space left on device" in said:
        advice = "The disk is full: free 100 MB for the jars and Maven's own repository"
    elif UNREACHABLE.search(said):
        advice = (
            "It cannot reach its repository: connect to the network, or name a mirror or proxy in ~/.m2/settings.xml"
        )
    elif code < 0:
        advice = f"It was stopped (signal {-code}) or took more than {FETCH_TIMEOUT_S:.0f} s: try again"
    else:
        advice = "Its own words are below"
    return (
        f"Maven could not fetch the broker's jars (exit code {code}). {advice}, "
        f"or set CLF_BOOTSTRAP_SERVERS to use an existing cluster.\n{said[:2000]}"
    )
