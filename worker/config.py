"""The settings of `clf worker` and `clf serve`: frozen dataclasses whose fields are options of the command line."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import click

from schemas.document import DEFAULT_MAX_BYTES
from worker.document_options import FieldMapping, SchemaRegistry
from worker.options import FILE, FiniteRange, option
from worker.stream.policy import OnFailure

SHARE = FiniteRange(0, 1)
SECONDS = FiniteRange(0, min_open=True)
COUNT = click.IntRange(min=1)
PORT = click.IntRange(0, 65535)


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

    @property
    def names(self) -> tuple[str, str, str]:
        """All three, in this order."""
        return self.documents, self.classifications, self.dead_letters


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
    stuck_after: float = option(
        60.0,
        "Seconds without a commit, while records wait, after which the worker is not ready and logs what its threads "
        "do; after twice that it exits with 4. 0 switches this off.",
        type=FiniteRange(0),
    )


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
    max_deaths: int = option(
        3,
        "A document that was alone in hand when this many workers died (crashed, hung, killed) becomes a dead letter. "
        "0 looks for none: such a document stops its partition.",
        type=click.IntRange(min=0),
    )


@dataclass(frozen=True, slots=True)
class ModelStore:
    """Where the models are, and whose are loaded."""

    models: str = option(
        "model-store",
        "Model store: a directory, or a URL such as s3://bucket/models, whose models are copied and kept here.",
        type=click.Path(file_okay=False),
        metavar="DIRECTORY|URL",
    )
    model_cache: Path | None = option(
        None,
        "Directory for the models of a URL. [default: clf/models in the user's cache directory]",
        type=click.Path(file_okay=False, path_type=Path),
    )
    trusted_keys: Path | None = option(
        None,
        "PEM file of public keys (clf models keygen); models that none of them has signed are refused. "
        "[default: signatures are not looked at]",
        type=FILE,
    )


@dataclass(frozen=True, slots=True)
class Scoring(ModelStore):
    """The models, and whether they are used."""

    scoring: bool = option(
        True,  # noqa: FBT003 - the default of a flag
        "--no-scoring gives every document one constant result, to measure the stream itself.",
    )


@dataclass(frozen=True, slots=True)
class Reload:
    """Taking new active versions while the old ones serve."""

    reload_interval: float = option(
        2.0,
        "Seconds between looks at which versions are active (`clf models activate`); 0 serves those of the start.",
        type=FiniteRange(0),
    )


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the forecasts aim at."""

    drain_target: float = option(
        300.0,
        "Seconds in which a lag should be gone: clf_workers_useful tells how many workers that takes.",
        type=FiniteRange(1),
    )


@dataclass(frozen=True, slots=True)
class SlowHost:
    """Noticing that the host is why this process is slow."""

    slow_factor: float = option(
        3.0,
        "Not ready while the p99 of batches or calls is this many times the usual one and the host shows why: stolen "
        "or throttled CPU, pressure on IO or memory. 0 switches this off.",
        type=FiniteRange(0),
    )
    slow_window: float = option(
        30.0,
        "Seconds that each such p99 is taken over; the usual one is the median of the last 120.",
        type=FiniteRange(0.1),
    )


@dataclass(frozen=True, slots=True)
class Http:
    """The port for health and metrics."""

    http_host: str = option("127.0.0.1", "Address the health and metrics port listens on; 0.0.0.0 for all.")
    http_port: int = option(9464, "Port for /status, /ready and /metrics; 0 takes a free one.", type=PORT)
    service_file: Path = option(
        Path("service.json"),
        "File that tells which ports were taken.",
        type=click.Path(dir_okay=False, path_type=Path),
    )


@dataclass(frozen=True, slots=True)
class ServeHttp(Http):
    """The same port of `clf serve`, another by default: both run on one machine."""

    http_port: int = option(9465, "Port for /status, /ready and /metrics; 0 takes a free one.", type=PORT)


@dataclass(frozen=True, slots=True)
class Grpc:
    """The gRPC port, and what it takes in."""

    grpc_host: str = option("127.0.0.1", "Address the gRPC port listens on; 0.0.0.0 for all.")
    grpc_port: int = option(50051, "Port for calls; 0 takes a free one.", type=PORT)
    processes: int = option(
        1,
        "Server processes, one per core to be used. Each has ports of its own: the next ones up, or free ones with 0; "
        "the service file lists them all.",
        type=click.IntRange(1, 64),
    )
    core: int | None = option(
        None,
        "Which of its cores the threads that answer calls stay on, counted round; further processes take the next. "
        "[default: by chance]",
        type=click.IntRange(0),
    )
    pin: bool = option(
        True,  # noqa: FBT003 - the default of a flag
        "--no-pin lets them run on all cores, which costs half of the calls.",
    )
    threads: int = option(4, "Threads that answer calls, per process.", type=click.IntRange(1, 64))
    max_calls: int = option(
        16,
        "Calls in hand at once, per process, waiting or worked on. Further ones are refused at once "
        "(RESOURCE_EXHAUSTED).",
        type=COUNT,
    )
    min_time_left: float = option(
        0.002,
        "A call whose caller waits for less than this many seconds more is refused (DEADLINE_EXCEEDED): its answer "
        "would come too late.",
        type=FiniteRange(0),
    )
    max_message_bytes: int = option(
        4 * 2**20, "Requests above this size are refused (INVALID_ARGUMENT).", type=click.IntRange(1, 2**30)
    )
    max_batch: int = option(64, "Most documents of one ClassifyBatch.", type=COUNT)
    lame_duck: float = option(
        2.0,
        "Seconds to go on answering after SIGTERM, while callers learn that this server is not serving any more.",
        type=FiniteRange(0),
    )
    grace: float = option(5.0, "Seconds after that for finishing the calls in hand.", type=FiniteRange(0))


@dataclass(frozen=True, slots=True)
class Tls:
    """Encryption of the gRPC port; without a certificate it is plain text."""

    tls_cert: Path | None = option(
        None, "Certificate chain in PEM. Read again when the file changes, without a restart.", type=FILE
    )
    tls_key: Path | None = option(None, "Its private key in PEM.", type=FILE)
    tls_client_ca: Path | None = option(
        None, "Certificates in PEM that callers must have theirs from (mutual TLS).", type=FILE
    )


@dataclass(frozen=True, slots=True)
class KeepWarm:
    """What keeps the first call after a pause from being the slow one."""

    keep_warm: float = option(
        1.0,
        "Seconds between synthetic calls that keep models and code in memory; 0 makes none after the start.",
        type=FiniteRange(0),
    )


@dataclass(frozen=True, slots=True)
class RequestLog:
    """One JSON line per answered document, in hourly files, written off the path of the calls."""

    request_log: Path | None = option(
        None,
        "Directory for request-YYYY-mm-ddTHH.log (UTC). [default: no request log]",
        type=click.Path(file_okay=False, path_type=Path),
    )
    request_log_text: bool = option(False, "Log titles and texts of documents too.")  # noqa: FBT003 - the default of a flag
    request_log_days: float = option(7.0, "Files older than this many days are deleted.", type=SECONDS)
    request_log_bytes: int = option(
        2**30, "The oldest files are deleted when all together exceed this size.", type=COUNT
    )
    request_log_entries: int = option(
        10_000, "Entries that wait to be written; further ones are dropped and counted.", type=COUNT
    )


@dataclass(frozen=True, slots=True)
class Registration:
    """Registration with Consul, so that callers find the server."""

    register: bool = option(False, "Register with Consul while serving, and deregister on stop.")  # noqa: FBT003 - the default of a flag


@dataclass(frozen=True, slots=True)
class Consul:
    """The Consul agent, and what it is told."""

    consul: str = option("http://127.0.0.1:8500", "URL of the Consul agent.")
    consul_token: str = option("", "ACL token. Give it by the environment, where no process list shows it.")
    advertise: str = option(
        "", "Address that callers reach the ports at. [default: the one listened on, else that of the Consul agent]"
    )
    tags: str = option("", "Tags of the services, comma-separated.")
    check_interval: float = option(5.0, "Seconds between Consul's requests to /status.", type=FiniteRange(1))
    critical_timeout: float = option(
        60.0,
        "A service that has been critical for this many seconds is deregistered by Consul, which takes no less than "
        "60; a crashed server goes so.",
        type=FiniteRange(60),
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
    field_mapping: FieldMapping
    schema_registry: SchemaRegistry
    guarantee: Guarantee
    failures: Failures
    scoring: Scoring
    reload: Reload
    forecast: Forecast
    slow_host: SlowHost
    http: Http
    logging: Logging


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Everything `clf serve` needs to run."""

    scoring: Scoring
    reload: Reload
    slow_host: SlowHost
    grpc: Grpc
    tls: Tls
    keep_warm: KeepWarm
    request_log: RequestLog
    registration: Registration
    consul: Consul
    serve_http: ServeHttp
    logging: Logging
