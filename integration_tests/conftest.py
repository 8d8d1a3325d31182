"""The broker that integration tests run on, and names that no other test uses."""

import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration_tests.broker import Kafka
from integration_tests.docker_broker import docker_broker
from integration_tests.system import SAMPLE, System, sample_documents, train
from schemas.document import Document
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
    return sample_documents()


@pytest.fixture(scope="session")
def model_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a model for each language of the sample corpus, trained by `clf train`."""
    store = tmp_path_factory.mktemp("models")
    for path in SAMPLE:
        train(path, store)
    return store


@pytest.fixture
def system(kafka: Kafka, unique: Unique, tmp_path: Path) -> Iterator[System]:
    """Three empty topics of four partitions, and a group; the topics are deleted at the end."""
    made = System(kafka, tmp_path, unique("documents"), unique("results"), unique("dead"), unique("group"))
    with made.with_topics():
        yield made
