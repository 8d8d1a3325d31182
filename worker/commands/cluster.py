"""What every command that talks to Kafka begins with, and how it says that it cannot."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import click

from models.bundle import BundleError
from models.store import StoreError
from worker import logs
from worker.config import Cluster, Logging
from worker.kafka import settings as kafka_settings
from worker.kafka.admin import Cluster as Admin
from worker.kafka.admin import ClusterError, TopicInfo
from worker.kafka.bootstrap import bootstrap_servers
from worker.kafka.settings import Settings, SettingsError
from worker.lifecycle import ExitCode
from worker.stream.errors import StreamError

# librdkafka repeats a failed connection on standard error twenty times a second; our own message says it once.
_QUIET = 2

Found = TypeVar("Found")


def client_settings(cluster: Cluster, scope: str) -> Settings:
    """The settings common to all clients of kind `scope` (consumer, producer or admin).

    Raises:
        SettingsError: no cluster is named, or the properties file cannot be used.
    """
    properties = kafka_settings.read_properties(cluster.kafka_config)
    return {
        "log_level": _QUIET,
        **kafka_settings.common(bootstrap_servers(cluster), properties, scope),
    }


def topic_info(cluster: Cluster, topic: str) -> TopicInfo:
    """What matters of a topic that has to exist.

    Raises:
        ClusterError: no broker answers, or there is no such topic.
        SettingsError: as `client_settings`.
    """
    found = Admin(client_settings(cluster, "admin")).topics([topic])
    return _existing(found, topic)


def partitions_of(cluster: Cluster, topic: str) -> int:
    """How many partitions a topic has that has to exist. Asks for less rights than `topic_info`; raises the same."""
    found = Admin(client_settings(cluster, "admin")).partitions([topic])
    return _existing(found, topic)


def _existing(found: Mapping[str, Found], topic: str) -> Found:
    if topic not in found:
        raise ClusterError(
            f"Topic {topic} does not exist. `clf topics create` creates the topics; --documents, --classifications and "
            "--dead-letters name others."
        )
    return found[topic]


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn the errors a person can act on into one line and the documented exit code.

    Logs go to standard error, and only errors do: what a command has to say it says itself.
    """
    logs.configure(Logging(log_level="error"))
    try:
        yield
    except (ClusterError, SettingsError, StoreError, BundleError) as error:
        raise _failure(error, ExitCode.CANNOT_START) from error
    except StreamError as error:
        raise _failure(error, ExitCode.FATAL) from error


def _failure(error: Exception, exit_code: int) -> click.ClickException:
    failure = click.ClickException(str(error))
    failure.exit_code = exit_code  # type: ignore[misc]  # click's own way: it reads the attribute of the instance
    return failure
