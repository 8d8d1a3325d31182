"""A Kafka container for the integration tests, where a Docker engine answers."""

import gc
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import docker  # type: ignore[import-untyped] # ships no annotations
import pytest
from docker.errors import DockerException  # type: ignore[import-untyped] # as above
from testcontainers.community.kafka import KafkaContainer

DEFAULT_IMAGE = "confluentinc/cp-kafka:8.2.3"
START_TIMEOUT_S = 120

# testcontainers sets replication for the offsets topic only; one node cannot replicate transactions either.
SETTINGS = {
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "1",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
    "KAFKA_TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS": "1000",
}


def container(image: str) -> KafkaContainer:
    """A container that is configured and not started; needs an engine (testcontainers connects at once)."""
    name, _, tag = image.rpartition(":")
    if "cp-" not in name or not re.match(r"([7-9]|\d\d+)\.", tag):
        pytest.fail(
            f"CLF_TEST_KAFKA_IMAGE is {image!r}; testcontainers runs Confluent's images (cp-kafka) with a version tag "
            f"of at least 7.0.0, for example {DEFAULT_IMAGE}.",
            pytrace=False,
        )
    broker = KafkaContainer(image).with_kraft()
    for variable, value in SETTINGS.items():
        broker.with_env(variable, value)
    return broker


@contextmanager
def docker_broker() -> Iterator[str]:
    """Bootstrap servers of a container that lives as long as the context; fails the session without an engine."""
    image = os.environ.get("CLF_TEST_KAFKA_IMAGE") or DEFAULT_IMAGE
    require_engine()
    broker = container(image)
    try:
        broker.start(timeout=START_TIMEOUT_S)
        yield broker.get_bootstrap_server()
    finally:
        broker.stop()


def require_engine() -> None:
    """Fail with a sentence when no Docker engine answers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the client leaves its socket open when nobody answers
        problem = _engine_problem()
        gc.collect()
    if problem:
        pytest.fail(
            f"CLF_TEST_BROKER=docker, but no Docker engine answers: {problem}. Start one, or leave CLF_TEST_BROKER out "
            "to run on the local broker.",
            pytrace=False,
        )


def _engine_problem() -> str:
    try:
        client = docker.from_env(timeout=10)
        try:
            client.ping()
        finally:
            client.close()
    except DockerException as error:
        return str(error)
    return ""
