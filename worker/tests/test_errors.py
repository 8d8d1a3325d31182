"""Client errors become one of four verdicts."""

from dataclasses import dataclass

import pytest
from confluent_kafka import KafkaError

from worker.kafka.errors import REJOINING, translate
from worker.stream.errors import (
    AbortableError,
    BreakerOpenError,
    FatalError,
    FencedError,
    RetriableError,
    StreamError,
)


@dataclass(frozen=True)
class Told:
    """What a client error tells."""

    called: str = "SOME_ERROR"
    is_fatal: bool = False
    is_retriable: bool = False
    needs_abort: bool = False

    def name(self) -> str:
        """Its name."""
        return self.called

    def fatal(self) -> bool:
        """As given."""
        return self.is_fatal

    def retriable(self) -> bool:
        """As given."""
        return self.is_retriable

    def txn_requires_abort(self) -> bool:
        """As given."""
        return self.needs_abort

    def str(self) -> str:
        """The client's words."""
        return "Broker: Not coordinator"


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Told(), FatalError),
        (Told(is_fatal=True), FatalError),
        (Told(is_retriable=True), RetriableError),
        (Told(is_retriable=True, is_fatal=True), FatalError),
        (Told(needs_abort=True), AbortableError),
        (Told(needs_abort=True, is_retriable=True), AbortableError),
        (Told("_FENCED", is_fatal=True), FencedError),
        (Told("PRODUCER_FENCED", needs_abort=True), FencedError),
        (Told("INVALID_PRODUCER_EPOCH", is_retriable=True), FencedError),
        (Told("FENCED_INSTANCE_ID"), FencedError),
    ],
)
def test_the_verdict(error: Told, verdict: type[StreamError]) -> None:
    """Fenced before all, then abort, then retry unless fatal; what says nothing of itself is fatal."""
    assert type(translate(error, "testing")) is verdict


def test_the_sentence() -> None:
    """It has the client's words, the error's name and what was being done; a fenced worker is told about slots."""
    sentence = str(translate(Told("NOT_COORDINATOR"), "committing the transaction"))
    assert sentence == "Broker: Not coordinator (NOT_COORDINATOR) while committing the transaction"
    assert "--slot" in str(translate(Told("PRODUCER_FENCED"), "sending"))


def test_the_clients_own_errors_fit() -> None:
    """A real client error can be translated, and names are spelled as the client spells them."""
    fenced = KafkaError(KafkaError._FENCED, "Producer fenced", fatal=True)
    assert type(translate(fenced, "x")) is FencedError
    assert type(translate(KafkaError(KafkaError._TIMED_OUT, "slow", retriable=True), "x")) is RetriableError
    assert type(translate(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), "x")) is FatalError
    names = {
        KafkaError(code).name()
        for code in (
            KafkaError.ILLEGAL_GENERATION,
            KafkaError.REBALANCE_IN_PROGRESS,
            KafkaError.UNKNOWN_MEMBER_ID,
            KafkaError.STALE_MEMBER_EPOCH,
            KafkaError._WAIT_COORD,
        )
    }
    assert names == REJOINING
    for name in ("PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", "FENCED_INSTANCE_ID"):
        assert KafkaError(getattr(KafkaError, name)).name() == name


def test_an_open_breaker_is_fatal() -> None:
    """Whoever handles fatal errors handles it too."""
    assert issubclass(BreakerOpenError, FatalError)
    assert not issubclass(FatalError, (AbortableError, RetriableError, FencedError))
