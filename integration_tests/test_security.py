"""A cluster that asks who is there and what they may do: who gets in, who does not, and how they learn why."""

import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
import trustme

from integration_tests.conftest import Unique
from integration_tests.secure_broker import PASSWORD, WRONG_PASSWORD, Right, SecureBroker, secure_broker
from integration_tests.system import CLF, STOP_TIMEOUT_S, THOROUGH, System, WorkerProcess, numbered
from schemas.document import Document
from worker.lifecycle import ExitCode
from worker.tests.tools import small_store

pytestmark = pytest.mark.broker

README = Path(__file__).parents[1] / "README.md"
COLUMNS = (
    "program",
    "topic `documents`",
    "topic `classifications`",
    "topic `documents.dead-letter`",
    "group `clf`",
    "transactional id `clf-0`",
)
SOON_S = 60.0  # on a busy machine; it takes about four


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """One for all these tests, which have users and topics of their own."""
    with secure_broker(tmp_path_factory.mktemp("secure")) as running:
        yield running


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a small English model."""
    return small_store(tmp_path_factory.mktemp("small"))


@pytest.fixture
def system(broker: SecureBroker, unique: Unique, tmp_path: Path) -> Iterator[System]:
    """Three empty topics and a group, on this broker."""
    made = System(broker.kafka, tmp_path, unique("documents"), unique("results"), unique("dead"), unique("group"))
    with made.with_topics(partitions=2):
        yield made


def documented(program: str, system: System) -> list[Right]:
    """The rights that the README gives a program, on the topics and the group of this system."""
    table = README.read_text("utf-8").partition(f"| {' | '.join(COLUMNS)} |")[2].partition("\n\n")[0]
    [row] = [line for line in table.split("\n") if line.startswith(f"| `clf {program}` |")]
    cells = [re.findall(r"[A-Z_]+", cell) for cell in row.strip("|").split("|")[1:]]
    kinds = ("topic", "topic", "topic", "group", "transactional-id")
    names = (*system.topics, system.group, f"{system.group}-0")
    return [
        Right(operation, kind, name)
        for operations, kind, name in zip(cells, kinds, names, strict=True)
        for operation in operations
    ]


def named(kind: str) -> str:
    """A name for a user of this test alone; that of a certificate may not be long."""
    return f"{kind}-{uuid.uuid4().hex[:8]}"


class Access(NamedTuple):
    """How a program reaches the broker: by which port, and as whom."""

    servers: str
    kafka_config: Path

    def options(self) -> list[str]:
        """For any command; they come last, so they win."""
        return ["--bootstrap-servers", self.servers, "--kafka-config", str(self.kafka_config)]


Enter = Callable[[SecureBroker, str], Access]


def by_password(broker: SecureBroker, user: str) -> Access:
    """SCRAM over TLS."""
    broker.add_user(user)
    return Access(broker.sasl, broker.scram_file(user, user))


def by_certificate(broker: SecureBroker, user: str) -> Access:
    """Mutual TLS."""
    return Access(broker.mutual, broker.certificate_file(user, user))


def run(system: System, access: Access, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command of `clf`, on the topics of the system."""
    topics = system.options()[2:8]
    command = [*CLF, *arguments, *topics, *access.options()]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=system.directory, timeout=STOP_TIMEOUT_S, check=False
    )


def worker(system: System, access: Access, *options: str, name: str = "worker") -> WorkerProcess:
    """A worker that has not said anything yet."""
    command = [*CLF, "worker", *system.options(), "--slot", "0", *access.options(), *options]
    return WorkerProcess(command, system.directory / name)


def keeps_the_secret(*texts: str) -> bool:
    """Whether no password is in any of these."""
    return not any(secret in text for text in texts for secret in (PASSWORD, WRONG_PASSWORD))


@pytest.mark.parametrize("enter", [by_password, pytest.param(by_certificate, marks=THOROUGH)])
def test_the_documented_rights_are_enough(
    broker: SecureBroker, system: System, sample: list[Document], store: Path, enter: Enter
) -> None:
    """With the rights of the README and no others, documents go in, come out once, and are audited."""
    access = {}
    for program in ("send", "worker", "tail", "verify"):
        user = named(program)
        access[program] = enter(broker, user)
        broker.grant(user, documented(program, system))
    pages = system.directory / "pages.jsonl"
    pages.write_bytes(b"".join(document.to_json() + b"\n" for document in numbered(sample, 60)))

    sent = run(system, access["send"], "send", str(pages))
    assert (sent.returncode, sent.stdout[:22]) == (0, "Delivered 60 documents"), sent.stderr
    process = worker(system, access["worker"], "--models", str(store))
    try:
        system.await_settled(60)
        assert process.terminate() == ExitCode.CLEAN
    finally:
        process.kill()
    tail = run(system, access["tail"], "tail", "--no-follow", "--json")
    urls = [orjson.loads(line)["url"] for line in tail.stdout.splitlines()]
    assert sorted(urls) == sorted(f"https://site.example/{number}" for number in range(60)), tail.stderr
    verify = ("verify", "--group", system.group, "--models", str(store), "--recompute", "1", "--max-lag", "0")
    audit = run(system, access["verify"], *verify)
    assert (audit.returncode, audit.stderr) == (0, ""), audit.stdout
    assert keeps_the_secret(process.log(), sent.stderr, tail.stderr, audit.stdout)


@THOROUGH
def test_the_rights_of_the_other_tools(broker: SecureBroker, system: System) -> None:
    """They get by with what the README says."""
    system.kafka.produce(system.documents, [b"no document"])
    with system.worker("--no-scoring", name="super") as process:
        system.await_settled(1)
        assert process.terminate() == ExitCode.CLEAN
    user = named("operator")
    access = by_password(broker, user)
    broker.grant(user, [Right("READ", "topic", system.dead_letters)])
    assert run(system, access, "dead-letters", "list").returncode == 0
    broker.grant(user, documented("send", system))
    assert run(system, access, "dead-letters", "replay", "--all", "--yes").returncode == 0
    looker = named("looker")
    access = by_password(broker, looker)
    broker.grant(
        looker, [Right(right, "topic", name) for right in ("DESCRIBE", "DESCRIBE_CONFIGS") for name in system.topics]
    )
    checked = run(system, access, "topics", "check")
    assert checked.returncode == 0, checked.stderr


def test_whoever_is_refused_learns_why(broker: SecureBroker, system: System) -> None:
    """Each way to be refused ends a worker within seconds, with exit code 3 and what to look at."""
    user, stranger = named("user"), trustme.CA()
    broker.add_user(user)
    right = broker.scram_file("right", user)
    plain = broker.directory / "plain.properties"
    plain.write_text("security.protocol=PLAINTEXT\n", "utf-8")
    cases = {
        r"sasl\.\* .* not accepted": Access(broker.sasl, broker.scram_file("wrong", user, WRONG_PASSWORD)),
        r"no authority in ssl\.ca\.location": Access(broker.sasl, broker.scram_file("ca", user, authority=stranger)),
        r"another host name": Access(broker.sasl.replace("127.0.0.1", "localhost"), right),
        r"takes none .* ssl\.certificate\.location": Access(broker.mutual, broker.no_certificate_file("none")),
        r"not this one: see ssl\.cert": Access(broker.mutual, broker.certificate_file("other", user, stranger)),
        r"security\.protocol .* PLAINTEXT, is not what": Access(broker.sasl, plain),
        r"DESCRIBE on topic .* READ and WRITE include": Access(broker.sasl, right),
    }
    processes = {
        pattern: worker(system, access, "--no-scoring", "--group", str(number), name=str(number))
        for number, (pattern, access) in enumerate(cases.items())
    }
    try:
        for pattern, process in processes.items():
            assert process.process.wait(SOON_S) == ExitCode.CANNOT_START, process.log()
            [event] = process.events("cannot_start")
            assert re.search(pattern, str(event["reason"])), event
            assert keeps_the_secret(process.log())
    finally:
        for process in processes.values():
            process.kill()


def lacking(system: System, which: "Missing | Taken") -> tuple[Right, list[Right]]:
    """One of the worker's documented rights, and the others."""
    rights = documented("worker", system)
    name = system.topics[which.number] if which.kind == "topic" else None
    [gone] = [right for right in rights if right[:2] == which[:2] and name in (None, right.name)]
    rights.remove(gone)
    return gone, rights


def named_right(which: "Missing | Taken") -> str:
    """The name of its test."""
    return "-".join(str(value) for value in which[:3])


class Missing(NamedTuple):
    """Which of the worker's rights is missing, whether the topic may be seen all the same, and the exit code."""

    operation: str
    kind: str
    number: int  # of the topic, in the order of `System.topics`
    exit_code: int
    visible: bool = True


DENIED, LATER = ExitCode.CANNOT_START, ExitCode.FATAL
MISSING = [
    Missing("READ", "topic", 0, LATER),
    Missing("WRITE", "topic", 1, LATER),
    Missing("READ", "group", 0, DENIED),
    Missing("WRITE", "transactional-id", 0, DENIED),
    *(
        pytest.param(missing, marks=THOROUGH)
        for missing in [
            Missing("WRITE", "topic", 2, LATER),
            Missing("READ", "topic", 0, DENIED, visible=False),
            Missing("WRITE", "topic", 1, DENIED, visible=False),
            *(Missing("DESCRIBE_CONFIGS", "topic", number, DENIED) for number in range(3)),
        ]
    ),
]


@pytest.mark.parametrize("missing", MISSING, ids=named_right)
def test_each_documented_right_is_needed(
    broker: SecureBroker, system: System, sample: list[Document], missing: Missing
) -> None:
    """Without any one of them a worker ends, names it, and has committed nothing."""
    user = named("worker")
    access = by_password(broker, user)
    gone, rights = lacking(system, missing)
    if missing.kind == "topic" and missing.visible:
        rights.append(Right("DESCRIBE", "topic", gone.name))
    broker.grant(user, rights)
    system.send(numbered(sample, 20))
    system.kafka.produce(system.documents, [b"no document"])
    process = worker(system, access, "--no-scoring")
    try:
        assert process.process.wait(SOON_S) == missing.exit_code, process.log()
    finally:
        process.kill()
    said = gone if missing.visible else gone._replace(operation="DESCRIBE")
    [event] = process.events("cannot_start" if missing.exit_code == DENIED else "fatal")
    assert str(said) in str(event["reason"]).partition("needs the right ")[2]
    assert system.settled() == 0
    assert system.results() == system.letters() == []


class Taken(NamedTuple):
    """Which of the worker's rights is taken away."""

    operation: str
    kind: str
    number: int = 0  # as above


TAKEN = [
    Taken("WRITE", "topic", 1),
    *(
        pytest.param(taken, marks=THOROUGH)
        for taken in [Taken("READ", "topic"), Taken("READ", "group"), Taken("WRITE", "transactional-id")]
    ),
]


@pytest.mark.parametrize("taken", TAKEN, ids=named_right)
def test_a_right_that_is_taken_away(
    broker: SecureBroker, system: System, sample: list[Document], store: Path, taken: Taken
) -> None:
    """A running worker ends with exit code 4 and names it; when it is given back, nothing is lost or doubled."""
    user = named("worker")
    access = by_password(broker, user)
    gone, rights = lacking(system, taken)
    broker.grant(user, [*rights, gone])
    options = ("--models", str(store), "--max-records", "5")
    system.send(numbered(sample, 30))
    process, successor = worker(system, access, *options), None
    try:
        system.await_settled(30)
        broker.take_away(user, gone)
        system.send(numbered(sample, 30, "https://later.example/"))
        assert process.process.wait(SOON_S) == ExitCode.FATAL, process.log()
        [event] = process.events("fatal")
        assert str(gone) in str(event["reason"]).partition("needs the right ")[2]
        broker.grant(user, [gone])
        successor = worker(system, access, *options, name="successor")
        system.await_settled(60)
        assert successor.terminate() == ExitCode.CLEAN
    finally:
        process.kill()
        if successor is not None:
            successor.kill()
    verify = ("verify", "--group", system.group, "--models", str(store), "--recompute", "1", "--max-lag", "0")
    plain = broker.directory / "none.properties"
    plain.write_text("", "utf-8")
    audit = run(system, Access(broker.kafka.bootstrap_servers, plain), *verify)
    assert audit.returncode == 0, audit.stdout
