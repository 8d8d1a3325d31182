"""The one place that reads client errors: each becomes Retriable, Abortable, Fenced or Fatal."""

from typing import Protocol

from worker.stream.errors import AbortableError, FatalError, FencedError, RetriableError, StreamError

_FENCED = frozenset({"_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", "FENCED_INSTANCE_ID"})

# The group moved on under a plain offset commit; the same commit is right again once it has settled.
REJOINING = frozenset(
    {"ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS", "UNKNOWN_MEMBER_ID", "STALE_MEMBER_EPOCH", "_WAIT_COORD"}
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


def translate(error: ClientError, doing: str) -> StreamError:
    """The error of ours that says what must be done. `doing` completes "... while ..."."""
    sentence = f"{error.str()} ({error.name()}) while {doing}"
    if error.name() in _FENCED:
        return FencedError(
            f"{sentence}. Another worker started with this worker's slot, or the transaction timed out. "
            "Give every worker its own --slot."
        )
    if error.txn_requires_abort():
        return AbortableError(sentence)
    if error.retriable() and not error.fatal():
        return RetriableError(sentence)
    return FatalError(sentence)
