"""librdkafka settings: our defaults, the user's properties file, what may not be changed, what may not be shown."""

import re
from collections.abc import Mapping
from pathlib import Path

from worker.config import GroupProtocol
from worker.kafka.turns import TURN_BYTES, TURN_RECORDS

Settings = dict[str, str | int | float | bool]

# The delivery guarantee rests on these; a file that sets them is refused, not overruled in silence.
OWNED = frozenset(
    {
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "group.id",
        "group.protocol",
        "isolation.level",
        "metadata.broker.list",  # librdkafka's older name of bootstrap.servers
        "partition.assignment.strategy",
        "partitioner",
        "transaction.timeout.ms",
        "transactional.id",
    }
)
_SECRET = re.compile(r"password|passphrase|secret|username|\.pem$|token|oauthbearer\.config|jaas", re.IGNORECASE)
# What the client takes as Python objects; a string would end in a stack trace.
_OBJECT = re.compile(r".*_cb|on_commit|on_delivery|logger|default\.topic\.config")
_SCOPES = ("consumer", "producer")

# A single document may be as large as the broker allows: its limit decides, not the client's (default 1 MB).
_MESSAGE_MAX_BYTES = 100_000_000
_LEAST_MESSAGE_MAX_BYTES = 1000
_BATCH_BYTES = 1_000_000  # librdkafka's own default

# What one answer to a fetch may hold, as compressed as it was sent; a larger batch comes whole. Those of 50 MB, the
# client's default, are more than a worker may hold.
_ANSWER_BYTES = 2**20


class SettingsError(ValueError):
    """The properties file, or a setting in it, cannot be used."""


def read_properties(path: Path | None) -> dict[str, str]:
    """The settings in a file of `key=value` lines; `#` and `!` start comments.

    Raises:
        SettingsError: a line is malformed, or sets what clf owns.
    """
    if path is None:
        return {}
    settings: dict[str, str] = {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The Kafka settings file {path} cannot be read: {error}.") from error
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if stripped and stripped[0] not in "#!":
            key, value = _parse(stripped, f"{path}, line {number}")
            settings[key] = value
    return settings


def _parse(line: str, where: str) -> tuple[str, str]:
    key, equals, value = (piece.strip() for piece in line.partition("="))
    if not equals or not key:
        raise SettingsError(f"{where}: expected key=value.")
    name = _without_scope(key)
    if name in OWNED:
        raise SettingsError(
            f"{where}: {key} is set by clf itself, because the delivery guarantee or an option depends on it. "
            "Remove the line."
        )
    if _OBJECT.fullmatch(name):
        raise SettingsError(f"{where}: {key} cannot be set in a file. Remove the line.")
    return key, value


def refused(reason: str) -> SettingsError:
    """The error for settings that the client itself does not take."""
    return SettingsError(f"The Kafka settings are not accepted: {reason}. See --kafka-config (CLF_KAFKA_CONFIG).")


def common(bootstrap_servers: str, properties: Mapping[str, str], scope: str) -> Settings:
    """What every client of kind `scope` (consumer, producer or admin) gets."""
    settings: Settings = {"bootstrap.servers": bootstrap_servers, "client.id": "clf"}
    for key, value in properties.items():
        prefix = key.partition(".")[0]
        if prefix not in _SCOPES:
            settings[key] = value
    for key, value in properties.items():
        prefix, _, rest = key.partition(".")
        if prefix == scope:
            settings[rest] = value
    return settings


def consumer(base: Settings, group: str, protocol: GroupProtocol) -> Settings:
    """The settings of the worker's consumer; those of `base` win where both may set one."""
    settings: Settings = {
        # What is fetched ahead, in all partitions together, is bounded by bytes and, since small records cost more than
        # their bytes, by their number; one answer more may come on top of that. So much is fetched in vain when a
        # partition has had its turn (`turns`).
        "queued.max.messages.kbytes": 2 * TURN_BYTES // 1024,
        "queued.min.messages": 2 * TURN_RECORDS,
        "fetch.max.bytes": _ANSWER_BYTES,
        # How long a partition waits once that bound was met. The default of a second starves a fast worker.
        "fetch.queue.backoff.ms": 20,
        "statistics.interval.ms": 1000,
        # New partitions are noticed so soon. The default of five minutes is long for the documents that wait there.
        "topic.metadata.refresh.interval.ms": 30_000,
        "auto.offset.reset": "earliest",
        "group.id": group,
        "group.protocol": str(protocol),
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }
    if protocol is GroupProtocol.CLASSIC:
        settings["partition.assignment.strategy"] = "cooperative-sticky"
        settings["session.timeout.ms"] = 10_000
        # A member learns of a rebalance with its next heartbeat; partitions on the move stand still until then.
        settings["heartbeat.interval.ms"] = 1000
    # What a producer may send is nothing to a consumer; but the client refuses a fetch.max.bytes below it.
    return {**settings, **base, "message.max.bytes": _LEAST_MESSAGE_MAX_BYTES}


def producer(base: Settings, max_message_bytes: int = _BATCH_BYTES) -> Settings:
    """The settings of every producer.

    `max_message_bytes` is the least `max.message.bytes` of the topics it writes to. Brokers hold whole batches to that
    limit, so a batch must not exceed it, or good records would be refused along with their neighbours.
    """
    return {
        "enable.idempotence": True,
        # The Java client's default: keyed records of both meet in the same partition.
        "partitioner": "murmur2_random",
        "message.max.bytes": _MESSAGE_MAX_BYTES,
        "batch.size": min(_BATCH_BYTES, max_message_bytes),
        "compression.type": "lz4",
        "delivery.report.only.error": True,
        **base,
    }


def transactional(settings: Settings, transactional_id: str, timeout_seconds: float) -> Settings:
    """The settings of a worker's transactional producer, from those of a producer."""
    timeout_ms = round(timeout_seconds * 1000)
    return {
        # Each transaction meets CONCURRENT_TRANSACTIONS while the last one is being completed, and waits this long.
        "retry.backoff.ms": 5,
        "transaction.timeout.ms": timeout_ms,
        "message.timeout.ms": timeout_ms,
        "socket.timeout.ms": timeout_ms,
        **settings,
        "transactional.id": transactional_id,
    }


def redacted(settings: Mapping[str, object]) -> dict[str, object]:
    """The settings as they may be logged: no secret, no callback."""
    return {
        key: "***" if _SECRET.search(key) else value for key, value in sorted(settings.items()) if not callable(value)
    }


def _without_scope(key: str) -> str:
    prefix, _, rest = key.partition(".")
    return rest if prefix in _SCOPES else key
