"""What every command that talks to Kafka begins with, and how it says that it cannot."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import click

from worker import logs
from worker.config import Cluster, Logging
from worker.kafka import settings as kafka_settings
from worker.kafka.admin import Cluster as Admin
from worker.kafka.admin import ClusterError, TopicInfo
from worker.kafka.bootstrap import bootstrap_servers
from worker.kafka.local_base import BrokerError
from worker.kafka.settings import Settings, SettingsError
from worker.lifecycle import ExitCode
from worker.stream.errors import StreamError

# librdkafka repeats a failed connection on standard error twenty times a second; our own message says it once.
_QUIET = 2

ACKNOWLEDGE_SECONDS = 60.0
QUEUE_BYTES = 128 * 2**20

_REFUSALS = (ClusterError, SettingsError, BrokerError)

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


def sender_settings(cluster: Cluster, topic: str) -> Settings:
    """The settings of a producer into one topic, of bounded memory, that gives up in time.

    Raises:
        ClusterError: no broker answers, or there is no such topic.
        SettingsError: as `client_settings`.
    """
    found = existing_topics(Admin(client_settings(cluster, "admin")), [topic])[topic]
    own: Settings = {
        "message.timeout.ms": round(ACKNOWLEDGE_SECONDS * 1000),
        "queue.buffering.max.kbytes": QUEUE_BYTES // 1024,
    }
    return kafka_settings.producer({**own, **client_settings(cluster, "producer")}, found.max_message_bytes)


def existing_topics(admin: Admin, names: Collection[str]) -> dict[str, TopicInfo]:
    """What matters of topics that have to exist. Raises what `sender_settings` raises."""
    found = admin.topics(names)
    return {name: _existing(found, name) for name in names}


def partitions_of(cluster: Cluster, topic: str) -> int:
    """How many partitions a topic has that has to exist. Raises what `sender_settings` raises."""
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
def clear_errors(*also: type[Exception]) -> Iterator[None]:
    """Turn the errors a person can act on, and those of type `also`, into one line and the documented exit code.

    Logs go to standard error, and only errors do: what a command has to say it says itself.
    """
    logs.configure(Logging(log_level="error"))
    refusals: tuple[type[Exception], ...] = (*_REFUSALS, *also)
    try:
        yield
    except refusals as error:
        raise _failure(error, ExitCode.CANNOT_START) from error
    except StreamError as error:
        raise _failure(error, ExitCode.FATAL) from error


def _failure(error: Exception, exit_code: int) -> click.ClickException:
    failure = click.ClickException(str(error))
    failure.exit_code = exit_code  # type: ignore[misc]  # click's own way: it reads the attribute of the instance
    return failure
