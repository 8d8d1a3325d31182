"""The container for the tests, as far as it can be tested without a Docker engine."""

from unittest.mock import MagicMock

import pytest

from integration_tests import docker_broker


def test_no_engine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an engine the session fails with a sentence, not with a traceback of urllib3."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(pytest.fail.Exception, match="no Docker engine answers"):
        docker_broker.require_engine()


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Testcontainers asks for its engine when a container is described; a stand-in answers."""
    monkeypatch.setattr("testcontainers.core.container.DockerClient", MagicMock())


@pytest.mark.usefixtures("no_engine")
def test_one_node_can_commit_transactions() -> None:
    """The container is told to keep one copy of the transaction log, and to make no topics by itself."""
    container = docker_broker.container(docker_broker.DEFAULT_IMAGE)
    assert container.kraft_enabled
    assert container.env["KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR"] == "1"
    assert container.env["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] == "1"
    assert container.env["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("image", ["confluentinc/cp-kafka:6.2.0", "apache/kafka:4.1.0"])
def test_unfit_images_are_refused(image: str) -> None:
    """An image that testcontainers cannot run is refused by name before anything is pulled."""
    with pytest.raises(pytest.fail.Exception, match=image):
        docker_broker.container(image)
