"""Every setting of the worker: frozen dataclasses whose fields are the options of the command line."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import click

from schemas.document import DEFAULT_MAX_BYTES
from worker.options import FiniteRange, option
from worker.stream.policy import OnFailure

SHARE = FiniteRange(0, 1)
SECONDS = FiniteRange(0, min_open=True)
COUNT = click.IntRange(min=1)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Delivery(StrEnum):
    """What a downstream reader may rely on."""

    EXACTLY_ONCE = "exactly-once"
    AT_LEAST_ONCE = "at-least-once"


class GroupProtocol(StrEnum):
    """How the consumer group hands out partitions."""

    CLASSIC = "classic"
    CONSUMER = "consumer"


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which Kafka, and how to reach it."""

    bootstrap_servers: str = option(
        "", "Kafka brokers as host:port, comma-separated. [default: the local broker of `clf kafka start`]"
    )
    kafka_config: Path | None = option(
        None,
        "Properties file (key=value lines) with librdkafka settings: security.protocol, sasl.*, ssl.*, tuning. A key "
        "that starts with consumer. or producer. goes to that client only.",
        type=FILE,
    )


@dataclass(frozen=True, slots=True)
class Topics:
    """The three topics."""

    documents: str = option("documents", "Topic that documents are read from.")
    classifications: str = option("classifications", "Topic that results are published to.")
    dead_letters: str = option("documents.dead-letter", "Topic for records that cannot be classified.")


@dataclass(frozen=True, slots=True)
class Group:
    """Membership of the consumer group."""

    group: str = option("clf", "Consumer group. All workers of one group share the documents among them.")
    group_protocol: GroupProtocol = option(
        GroupProtocol.CLASSIC, "Rebalance protocol: classic (cooperative) or consumer (KIP-848, Kafka 4)."
    )
    slot: str = option(
        "auto",
        "Name of this worker's place in the group, the same after every restart and never shared: it makes the "
        "transactional id. `auto` takes the first free number on this host.",
    )
    revoke_timeout: float = option(
        5.0, "Seconds for finishing what is in flight when partitions are taken away.", type=SECONDS
    )


@dataclass(frozen=True, slots=True)
class Batching:
    """When a batch closes, and how large documents may be."""

    max_records: int = option(2000, "A batch closes at this many records ...", type=COUNT)
    max_bytes: int = option(16_000_000, "... or this many bytes ...", type=COUNT)
    max_age: float = option(0.1, "... or when its first record has waited this many seconds.", type=SECONDS)
    max_document_bytes: int = option(DEFAULT_MAX_BYTES, "Documents above this size become dead letters.", type=COUNT)


@dataclass(frozen=True, slots=True)
class Guarantee:
    """Delivery and its limits."""

    delivery: Delivery = option(
        Delivery.EXACTLY_ONCE,
        "exactly-once publishes results and offsets in one transaction; at-least-once may repeat results.",
    )
    transaction_timeout: float = option(
        10.0,
        "Seconds until the broker aborts the transaction of a dead worker; readers of its partitions wait that long.",
        type=FiniteRange(1, 900),
    )
    drain_timeout: float = option(30.0, "Seconds for finishing what is in hand on SIGTERM.", type=SECONDS)


@dataclass(frozen=True, slots=True)
class Failures:
    """What happens to records that cannot be classified."""

    on_decode_failure: OnFailure = option(OnFailure.DEAD_LETTER, "What to do with a record that is no document.")
    on_score_failure: OnFailure = option(OnFailure.DEAD_LETTER, "What to do with a document the scorer fails on.")
    dead_letter_limit: float = option(
        0.5,
        "Stop (exit 4) when more than this share of the last records are dead letters; 1 never stops.",
        type=SHARE,
    )
    dead_letter_window: int = option(1000, "How many records that share is taken over.", type=COUNT)


@dataclass(frozen=True, slots=True)
class Scoring:
    """The models."""

    models: Path = option(
        Path("model-store"), "Directory of the model store.", type=click.Path(file_okay=False, path_type=Path)
    )
    scoring: bool = option(
        True,  # noqa: FBT003 - the default of a flag
        "--no-scoring gives every document one constant result, to measure the stream itself.",
    )


@dataclass(frozen=True, slots=True)
class Http:
    """The port for health and metrics."""

    http_host: str = option("127.0.0.1", "Address the health and metrics port listens on; 0.0.0.0 for all.")
    http_port: int = option(
        9464, "Port for /status, /ready and /metrics; 0 takes a free one.", type=click.IntRange(0, 65535)
    )
    service_file: Path = option(
        Path("service.json"),
        "File that tells which ports were taken.",
        type=click.Path(dir_okay=False, path_type=Path),
    )


@dataclass(frozen=True, slots=True)
class Logging:
    """The log, on standard error."""

    log_level: str = option(
        "info", "Least level that is logged.", type=click.Choice(["debug", "info", "warning", "error"])
    )
    log_format: LogFormat = option(LogFormat.AUTO, "JSON lines, or text; auto takes text on a terminal.")


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Everything `clf worker` needs to run."""

    cluster: Cluster
    topics: Topics
    group: Group
    batching: Batching
    guarantee: Guarantee
    failures: Failures
    scoring: Scoring
    http: Http
    logging: Logging
