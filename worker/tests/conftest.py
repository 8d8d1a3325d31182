"""What holds for every test of the worker, and the mock cluster that some share."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from confluent_kafka import Producer

from worker.tests.mock_clients import DOCUMENTS, PATIENCE, RESULTS
from worker.tests.mock_cluster import MockCluster


@pytest.fixture(autouse=True)
def no_width_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as without a terminal, wherever the tests run; pytest-xdist says how wide its own is."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Logging is global: put it back."""
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:], root.level = handlers, level
    structlog.configure(**config)


@pytest.fixture(scope="module")
def whole_mock_cluster() -> Iterator[MockCluster]:
    """One mock broker for all tests of a file, with three documents."""
    made = MockCluster()
    made.create_topic(DOCUMENTS)
    made.create_topic(RESULTS, 2)
    producer = Producer({"bootstrap.servers": made.bootstrap_servers})
    for number in range(3):
        producer.produce(DOCUMENTS, b"%d" % number, partition=0)
    assert producer.flush(PATIENCE) == 0
    yield made
    made.close()


@pytest.fixture
def mock_cluster(whole_mock_cluster: MockCluster) -> Iterator[MockCluster]:
    """The same, with no errors left over, and without all that the client has to say about them."""
    logging.disable(logging.CRITICAL)
    yield whole_mock_cluster
    whole_mock_cluster.relent()
    logging.disable(logging.NOTSET)
