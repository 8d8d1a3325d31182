"""The broker that integration tests run on, and names that no other test uses."""

import os
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration_tests.broker import Kafka
from integration_tests.docker_broker import docker_broker
from integration_tests.system import CLF, System
from schemas.document import Document, decode_document
from worker.kafka.local_broker import LocalBroker, delete_data

Unique = Callable[[str], str]


@pytest.fixture(scope="session")
def bootstrap_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker for the session.

    CLF_BOOTSTRAP_SERVERS names a running cluster, CLF_TEST_BROKER=docker starts a container
    (image: CLF_TEST_KAFKA_IMAGE); otherwise a local broker is started, and stopped at the end.
    """
    kind = os.environ.get("CLF_TEST_BROKER", "local")
    if given := os.environ.get("CLF_BOOTSTRAP_SERVERS"):
        yield given
    elif kind == "docker":
        with docker_broker() as servers:
            yield servers
    elif kind == "local":
        yield from _local_broker(tmp_path_factory.mktemp("kafka"))
    else:
        pytest.fail(f"CLF_TEST_BROKER is {kind!r}; it may be `local` or `docker`.")


def _local_broker(directory: Path) -> Iterator[str]:
    broker = LocalBroker(say=print)
    try:
        yield broker.start(directory, follow_parent=True).bootstrap_servers
    finally:
        broker.stop()
        delete_data(directory)


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[LocalBroker]:
    """A broker for tests that kill it: not started yet, ended and removed after the test.

    Start it with `own_broker.start(tmp_path / "kafka", follow_parent=True)`.
    """
    broker = LocalBroker(say=print)
    yield broker
    broker.kill()
    delete_data(tmp_path / "kafka")


@pytest.fixture(scope="session")
def kafka(bootstrap_servers: str) -> Kafka:
    """Helpers for the session's broker."""
    return Kafka(bootstrap_servers)


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> Unique:
    """Makes names of topics, groups and transactions that belong to this test alone: `unique("documents")`."""
    test = re.sub(r"[^A-Za-z0-9_.-]+", "-", request.node.name)[:60]
    tail = uuid.uuid4().hex[:8]
    return lambda name: f"{name}.{test}.{tail}"


@pytest.fixture(scope="session")
def sample() -> list[Document]:
    """The documents of the sample corpus, all languages in turn."""
    folder = Path(__file__).parent.parent / "training" / "sample"
    by_language = [
        [decode_document(line) for line in path.read_bytes().split(b"\n") if line]
        for path in sorted(folder.glob("*.jsonl"))
    ]
    return [document for group in zip(*by_language, strict=False) for document in group]


@pytest.fixture(scope="session")
def model_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a model for each language of the sample corpus, trained by `clf train`."""
    store = tmp_path_factory.mktemp("models")
    folder = Path(__file__).parent.parent / "training" / "sample"
    for path in sorted(folder.glob("*.jsonl")):
        command = [*CLF, "train", "--data", str(path), "--lang", path.stem, "--models", str(store)]
        subprocess.run([*command, "--search", "none"], check=True, capture_output=True)
    return store


@pytest.fixture
def system(kafka: Kafka, unique: Unique, tmp_path: Path) -> Iterator[System]:
    """Three empty topics of four partitions, and a group; the topics are deleted at the end."""
    made = System(kafka, tmp_path, unique("documents"), unique("results"), unique("dead"), unique("group"))
    topics = (made.documents, made.classifications, made.dead_letters)
    for topic, size in zip(topics, (1_048_588, 1_200_000, 1_200_000), strict=True):
        kafka.create_topic(topic, partitions=4, config={"max.message.bytes": str(size)})
    yield made
    kafka.delete_topics(*topics)
