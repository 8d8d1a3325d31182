"""The broker that integration tests run on, and names that no other test uses."""

import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration_tests.broker import Kafka
from integration_tests.docker_broker import docker_broker
from worker.kafka.local_broker import LocalBroker

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
