"""The Java client: its own tests and its example, against the real `clf serve`."""

import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from integration_tests.consul_agent import ConsulAgent, why_unavailable
from integration_tests.serving import ServeProcess
from integration_tests.system import wait_until
from worker.kafka.local_base import BrokerError
from worker.kafka.local_jars import find_java, find_maven

PROJECT = Path(__file__).parent.parent / "deploy" / "clients" / "java"
CLF = Path(sys.executable).with_name("clf")
BUILD_TIMEOUT_S = 600

pytestmark = pytest.mark.slow


def maven(target: Path, *arguments: str) -> str:
    """Run Maven on the project, which leaves nothing in the checkout; returns what it said, or fails with that."""
    try:
        find_java()
        program = find_maven()
    except BrokerError as absent:
        pytest.skip(f"The Java client needs Java 17 or newer and Maven: {absent}")
    command = [program, "--batch-mode", "--no-transfer-progress", "--file", str(PROJECT), f"-DbuildDirectory={target}"]
    done = subprocess.run(
        [*command, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        pytest.fail(f"Maven ended with {done.returncode}:\n" + "\n".join(done.stdout.splitlines()[-60:]), pytrace=False)
    return done.stdout


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both tests build, so that the second finds what the first compiled."""
    return tmp_path_factory.mktemp("java")


@pytest.mark.timeout(BUILD_TIMEOUT_S)
def test_its_own_tests_pass(model_store: Path, target: Path) -> None:
    """It compiles without warnings, follows Consul, and covers frozen and restarting servers."""
    said = maven(target, "verify", f"-Dclf.command={CLF}", f"-Dclf.models={model_store}")
    for name in ("ServiceTest", "FaultsTest"):
        assert re.search(rf"Skipped: 0, .*\.{name}", said), f"{name} was skipped, or the real server was"


@pytest.mark.timeout(BUILD_TIMEOUT_S)
def test_the_example_crawler_classifies_a_file(model_store: Path, target: Path, tmp_path: Path) -> None:
    """The command of its README prints a line for each page, failures too, and how long they took."""
    pages = [
        {
            "url": "https://example.org/final",
            "title": "Cup final",
            "text": "The striker scored a late goal.",
            "lang": "en",
        },
        {"url": "https://example.org/fi", "text": "Myöhäinen maali.", "lang": "fi", "depth": 3},
        {"url": ""},
    ]
    file = tmp_path / "pages.jsonl"
    file.write_bytes(b"\n".join(map(orjson.dumps, pages)))
    with ServeProcess(tmp_path / "server", ["--models", str(model_store)]) as server:
        said, rounds = "DEADLINE_EXCEEDED", 0
        while "DEADLINE_EXCEEDED" in said and rounds < 3:  # a busy machine may take longer than a call's 100 ms
            rounds += 1
            said = maven(target, "--quiet", "compile", "exec:java", f"-Dexec.args={server.grpc} {file}")
    first, second, third, summary, latencies = said.replace("\x1b[0m", "").strip().splitlines()
    assert first.startswith("https://example.org/final  STATUS_CLASSIFIED  [sport]  ")
    assert second.startswith("https://example.org/fi  STATUS_UNSUPPORTED_LANGUAGE  []  ")
    assert third.startswith("  INVALID_ARGUMENT  [")
    assert summary == "3 pages: {INVALID_ARGUMENT=1, STATUS_CLASSIFIED=1, STATUS_UNSUPPORTED_LANGUAGE=1}"
    assert latencies.startswith("p50 ")


@pytest.mark.timeout(BUILD_TIMEOUT_S)
def test_the_example_finds_its_servers_in_consul(target: Path, tmp_path: Path) -> None:
    """A real agent tells the client where a server is that has registered itself."""
    if reason := why_unavailable():
        pytest.skip(reason)
    with ConsulAgent(tmp_path / "consul") as agent:
        registration = ["--no-scoring", "--register", "--consul", f"http://{agent.address}"]
        with ServeProcess(tmp_path / "server", registration) as server:
            wait_until(lambda: server.metric("clf_registered") == 1, "the server is registered")
            said = maven(target, "--quiet", "compile", "exec:java", f"-Dexec.args=consul://{agent.address}/clf-grpc")
            assert server.metric("clf_answered_documents_total") > 0
    assert "UNAVAILABLE" not in said
