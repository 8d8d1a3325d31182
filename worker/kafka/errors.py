"""The one place that reads client errors: a table from their names to what must be done."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from worker.stream.errors import AbortableError, DeniedError, FatalError, FencedError, RetriableError, StreamError

# Each error at its mildest. Where the client says that the transaction must be aborted, or that it is itself unusable,
# that counts when it is the severer of the two (`_severity`): a coordinator that is not available for a moment is asked
# again, but not by a transaction that has failed over it.
#
# For a consumer, which has no transaction, to retry or to abort both mean: let the client go on. It joins again, looks
# for the new coordinator or leader and fetches again by itself.
#
# A delivery report and a consumer's message carry a bare code, without the client's opinion. Whatever is missing here
# ends the process then, so it has to be here if it may pass.
ACTIONS: Final[Mapping[str, type[StreamError]]] = {
    # --- retry: nothing happened yet. Mostly the client does so itself, and these come when its patience ended ---
    "COORDINATOR_LOAD_IN_PROGRESS": RetriableError,
    "COORDINATOR_NOT_AVAILABLE": RetriableError,
    "NOT_COORDINATOR": RetriableError,
    "CONCURRENT_TRANSACTIONS": RetriableError,  # the last transaction is still being completed
    "LEADER_NOT_AVAILABLE": RetriableError,
    "NOT_LEADER_FOR_PARTITION": RetriableError,
    "FENCED_LEADER_EPOCH": RetriableError,  # of the partition's leader, not of this producer
    "UNKNOWN_LEADER_EPOCH": RetriableError,
    "REPLICA_NOT_AVAILABLE": RetriableError,
    "OFFSET_NOT_AVAILABLE": RetriableError,
    "NOT_ENOUGH_REPLICAS": RetriableError,
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": RetriableError,  # the producer is idempotent: once more is not twice
    "KAFKA_STORAGE_ERROR": RetriableError,  # one broker's disk; another becomes the leader
    "UNSTABLE_OFFSET_COMMIT": RetriableError,  # offsets of a transaction that is being completed
    "REQUEST_TIMED_OUT": RetriableError,
    "NETWORK_EXCEPTION": RetriableError,
    # New topics are unknown to some brokers for a moment. One that is gone is noticed at the next start.
    "UNKNOWN_TOPIC_OR_PART": RetriableError,
    "UNKNOWN_TOPIC_ID": RetriableError,
    "INCONSISTENT_TOPIC_ID": RetriableError,
    "_TRANSPORT": RetriableError,
    "_ALL_BROKERS_DOWN": RetriableError,
    "_TIMED_OUT": RetriableError,  # of a commit: unknown outcome, see TransactionalPublisher.commit
    "_WAIT_COORD": RetriableError,
    "_PARTITION_EOF": RetriableError,  # the end for now, if somebody set enable.partition.eof
    # --- abort and rewind: what was sent does not count, the batch is run again ---
    # The group moved on (KIP-447): fresh metadata, or another member, will do.
    "ILLEGAL_GENERATION": AbortableError,
    "UNKNOWN_MEMBER_ID": AbortableError,
    "REBALANCE_IN_PROGRESS": AbortableError,
    "STALE_MEMBER_EPOCH": AbortableError,
    "FENCED_MEMBER_EPOCH": AbortableError,
    "_MAX_POLL_EXCEEDED": AbortableError,  # the client left the group, and joins again at the next poll
    # The coordinator forgot this producer, or lost count of it; the client gets a new epoch while it aborts (KIP-360).
    "UNKNOWN_PRODUCER_ID": AbortableError,
    "INVALID_PRODUCER_ID_MAPPING": AbortableError,
    "OUT_OF_ORDER_SEQUENCE_NUMBER": AbortableError,  # also what the transaction after a failed delivery meets
    # Of a delivery: the partition is not in the transaction, which ended without us. Elsewhere the client says fatal.
    "INVALID_TXN_STATE": AbortableError,
    "TRANSACTION_ABORTABLE": AbortableError,  # KIP-890
    "OPERATION_NOT_ATTEMPTED": AbortableError,  # because of another partition in the same request
    "UNKNOWN": AbortableError,  # an exception in the broker. The loop gives up after some attempts.
    "_MSG_TIMED_OUT": AbortableError,
    "_INCONSISTENT": AbortableError,  # deliveries failed; they say why
    "_PURGE_QUEUE": AbortableError,  # dropped by the client, because the transaction had failed already
    "_PURGE_INFLIGHT": AbortableError,
    # --- fenced: leave at once ---
    "_FENCED": FencedError,  # how the client calls the next two
    "PRODUCER_FENCED": FencedError,
    # Since KIP-588 brokers mean a transaction that timed out by this; the client takes it for the same.
    "INVALID_PRODUCER_EPOCH": FencedError,
    "FENCED_INSTANCE_ID": FencedError,
    # --- exit, and begin anew under the same slot. First what only a person can change; running the batch again would
    # only hide the reason behind five attempts ---
    "TOPIC_AUTHORIZATION_FAILED": DeniedError,
    "GROUP_AUTHORIZATION_FAILED": DeniedError,
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": DeniedError,
    "CLUSTER_AUTHORIZATION_FAILED": DeniedError,
    "SASL_AUTHENTICATION_FAILED": DeniedError,
    "_AUTHENTICATION": DeniedError,  # how the client calls the last one
    "MSG_SIZE_TOO_LARGE": FatalError,
    "RECORD_LIST_TOO_LARGE": FatalError,
    "INVALID_RECORD": FatalError,
    "POLICY_VIOLATION": FatalError,
    "INVALID_TRANSACTION_TIMEOUT": FatalError,
    "INVALID_SESSION_TIMEOUT": FatalError,
    "INCONSISTENT_GROUP_PROTOCOL": FatalError,
    "GROUP_MAX_SIZE_REACHED": FatalError,
    "UNSUPPORTED_VERSION": FatalError,
    # The client would go on behind records that it could not read, and they would be lost.
    "INVALID_MSG": FatalError,
    "_BAD_MSG": FatalError,
    "_BAD_COMPRESSION": FatalError,
    "_AUTO_OFFSET_RESET": FatalError,
    "_UNKNOWN_TOPIC": FatalError,  # deleted, or with fewer partitions than at the start: the next start says so
    "_UNKNOWN_PARTITION": FatalError,
    "_STATE": FatalError,  # a bug of ours, unless something lies behind it: see TransactionalPublisher
    "_FATAL": FatalError,
}

_ORDER = (RetriableError, AbortableError, FatalError)

_FENCED: Final = (
    "Another worker started with this worker's slot, or the transaction timed out. Give every worker its own --slot."
)
_CREDENTIALS: Final = "The credentials (sasl.* in --kafka-config) are not accepted."
# What helps, where the client's own words do not tell.
_ADVICE: Final = {
    "_FENCED": _FENCED,
    "PRODUCER_FENCED": _FENCED,
    "INVALID_PRODUCER_EPOCH": _FENCED,
    "FENCED_INSTANCE_ID": "Another member has the same group.instance.id. Give every worker its own, or none.",
    "SASL_AUTHENTICATION_FAILED": _CREDENTIALS,
    "_AUTHENTICATION": _CREDENTIALS,
    "INVALID_TRANSACTION_TIMEOUT": "Lower --transaction-timeout, or raise transaction.max.timeout.ms of the brokers.",
    "INVALID_SESSION_TIMEOUT": "The brokers allow group.min.session.timeout.ms to group.max.session.timeout.ms.",
    "INCONSISTENT_GROUP_PROTOCOL": "Another kind of consumer is in this --group.",
}

# What TLS refuses has no name of its own, and comes under several; what it says is OpenSSL's.
_TLS_ADVICE: Final = (
    (
        re.compile(r"certificate verify failed"),
        (
            "The broker's certificate is of no authority in ssl.ca.location (--kafka-config), or for another host name "
            "than the broker is reached by."
        ),
    ),
    (
        re.compile(r"SSL alert number (4[2-8]|116)\b"),  # RFC 8446, section 6: all that is said of certificates
        (
            "The broker asks for a certificate of this client, and takes none or not this one: see "
            "ssl.certificate.location and ssl.key.location in --kafka-config."
        ),
    ),
)


class ClientError(Protocol):
    """What confluent_kafka.KafkaError tells of an error."""

    def name(self) -> str:
        """The error's name, such as PRODUCER_FENCED."""

    def fatal(self) -> bool:
        """Whether the client is unusable from now on."""

    def retriable(self) -> bool:
        """Whether the same call may be made again."""

    def txn_requires_abort(self) -> bool:
        """Whether the transaction must be aborted."""

    def str(self) -> str:
        """The error as a sentence."""


class Needs(NamedTuple):
    """The rights a call needs, for naming the one that is missing; made by the functions below."""

    topics: Sequence[str] = ()
    group: str = ""
    transactional_id: str = ""
    cluster: str = "IDEMPOTENT_WRITE on the cluster"


NOTHING = Needs()


def on_topic(right: str, *topics: str) -> list[str]:
    """A right on each of these topics, by Kafka's name for it."""
    return [f"{right} on topic {topic}" for topic in sorted(topics)]


def on_group(right: str, group: str) -> str:
    """A right on a consumer group."""
    return f"{right} on group {group}"


def advice(error: ClientError, needs: Needs) -> str:
    """What helps, as a sentence; empty where the error's own words say it."""
    name = error.name()
    rights = {
        "TOPIC_AUTHORIZATION_FAILED": needs.topics,
        "GROUP_AUTHORIZATION_FAILED": [needs.group],
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": [needs.transactional_id],
        "CLUSTER_AUTHORIZATION_FAILED": [needs.cluster],
    }.get(name)
    if rights:
        return f"The user of this client needs the right {' and the right '.join(rights)}."
    return _ADVICE.get(name) or next((help_ for said, help_ in _TLS_ADVICE if said.search(error.str())), "")


def translate(error: ClientError, doing: str, needs: Needs = NOTHING) -> StreamError:
    """The error of ours that says what must be done. `doing` completes "... while ..."."""
    sentence, help_ = f"{error.str()} ({error.name()}) while {doing}", advice(error, needs)
    return _action(error)(f"{sentence}. {help_}" if help_ else sentence)


def _action(error: ClientError) -> type[StreamError]:
    listed = ACTIONS.get(error.name())
    if error.fatal():
        told: type[StreamError] = FatalError
    elif error.txn_requires_abort():
        told = AbortableError
    elif error.retriable():
        told = RetriableError
    else:
        return listed or FatalError
    return told if listed is None or _severity(told) > _severity(listed) else listed


def _severity(action: type[StreamError]) -> int:
    """Fenced and denied are as severe as fatal, and say more."""
    return _ORDER.index(action) if action in _ORDER else len(_ORDER)
